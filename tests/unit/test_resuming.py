"""A node that begins at a kept state is the same node; one that is not proved is passed over."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from aitbc_node.canonical import decode, encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.errors import DiskError
from aitbc_node.events import (
    AppendBase,
    AppendBlock,
    AppendCertificate,
    SaveSnapshot,
    SnapshotAsked,
    Snapshotted,
)
from aitbc_node.ledger import objects
from aitbc_node.ledger.audit import audit
from aitbc_node.machine import MachineConfig
from aitbc_node.replaying import Span, replay
from aitbc_node.resuming import newest_base, proved
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.snapshots import SLOTS, Snapshot
from aitbc_node.storage.store import Store
from aitbc_node.types import BlockId, Height
from aitbc_node.validators import ValidatorSet, validator_set
from aitbc_sim.citizens import a_payment
from aitbc_sim.pump import Pump
from aitbc_sim.testing import fake_verify

VICTIM = 0


@pytest.fixture
def pump() -> Iterator[Pump]:
    """Run a mesh that has made some payments final, and goes on after the test's own."""
    pump = Pump().start()
    pump.run_to(2)
    for nonce in range(6):
        assert pump.outcomes(1, a_payment("alice", "bob", 5, nonce=nonce)) == ["ok"]
        pump.run_to(3 + nonce)
    yield pump
    pump.run_to(max(pump.heights()) + 5)
    pump.settle()
    assert len(pump.roots()) == 1
    assert audit(pump.machine(VICTIM).view.state) == []


def keep(pump: Pump) -> Height:
    """Have the state kept; return of which block."""
    answer = pump.answer(VICTIM, pump.order(VICTIM, SnapshotAsked))
    assert isinstance(answer, Snapshotted)
    assert answer.bytes_written > 1_000
    return answer.height


def newest(pump: Pump) -> Snapshot:
    """Return the newest snapshot of the node as it was written."""
    kept = pump.snapshots_of(pump.nodes[VICTIM])
    found = next(kept.load(height_max=Height(1_000)))
    return replace(found, rows=tuple(found.rows))


def test_a_start_from_a_kept_state(pump: Pump) -> None:
    """It begins at the snapshot, executes the blocks behind it, and votes again."""
    height = keep(pump)
    pump.run_to(height + 4)

    pump.restart(VICTIM)

    assert pump.nodes[VICTIM].resumed_at == height
    tip = pump.machine(VICTIM).view.height
    assert tip >= height + 4
    pump.run_to(tip + 6)
    assert pump.machine(VICTIM).view.last_voted_height > tip
    assert pump.nodes[VICTIM].notes["vote.refused"] == 0


def test_a_snapshot_of_the_newest_block(pump: Pump) -> None:
    """With nothing behind it the next block still follows: time, votes, validators are there."""
    height = keep(pump)

    pump.restart(VICTIM)

    assert pump.nodes[VICTIM].resumed_at == height
    assert pump.machine(VICTIM).view.height == height


def test_there_is_nothing_to_keep_before_the_first_block() -> None:
    """The genesis is a file already."""
    pump = Pump().start()

    answer = pump.answer(VICTIM, pump.order(VICTIM, SnapshotAsked), limit_ms=1)

    assert isinstance(answer, Refusal)
    assert answer.code == Code.E_CONFLICT


def test_states_are_kept_by_themselves() -> None:
    """Every so many blocks; the two newest are there."""
    pump = Pump(config=MachineConfig(snapshot_blocks=4)).start()
    pump.run_to(14)

    found = pump.snapshots_of(pump.nodes[VICTIM]).load(height_max=Height(1_000))
    assert [snapshot.height for snapshot in found] == [12, 8]

    pump.restart(VICTIM)
    assert pump.nodes[VICTIM].resumed_at == 12
    pump.run_to(18)


def test_a_torn_snapshot_falls_back_to_the_log(pump: Pump) -> None:
    """Nothing is lost with it but time."""
    height = keep(pump)
    for slot in SLOTS:
        if pump.nodes[VICTIM].data.exists(slot):
            pump.nodes[VICTIM].data.truncate(slot, 500)

    pump.restart(VICTIM)

    assert pump.nodes[VICTIM].resumed_at == 0
    assert pump.machine(VICTIM).view.height >= height


def test_a_log_that_lost_its_end_begins_lower(pump: Pump) -> None:
    """A snapshot that is ahead of the log is not used; the log comes first."""
    height = keep(pump)
    block, (*_, last) = newest(pump).block, newest(pump).offer.links
    header = replace(block.header, height=Height(height + 100))
    contents = dict(pump.machine(VICTIM).view.state.contents)
    ahead = SaveSnapshot(
        0, replace(block, header=header), (replace(last, header=header),), contents
    )
    pump.snapshots_of(pump.nodes[VICTIM]).save(ahead)

    pump.restart(VICTIM)

    assert pump.nodes[VICTIM].resumed_at == height


def a_richer(snapshot: Snapshot) -> Snapshot:
    """Give everybody more coins, in a file that is whole."""
    rows = []
    for row in snapshot.rows:
        if row.kind == objects.ACCOUNT:
            account = decode(row.content, objects.Account)
            more = tuple((ticker, amount + 1) for ticker, amount in account.balances)
            rows.append(replace(row, content=encode(replace(account, balances=more))))
        else:
            rows.append(row)
    return replace(snapshot, rows=tuple(rows))


def a_poorer(snapshot: Snapshot) -> Snapshot:
    """Leave an account out."""
    place = next(n for n, row in enumerate(snapshot.rows) if row.kind == objects.ACCOUNT)
    return replace(snapshot, rows=snapshot.rows[:place] + snapshot.rows[place + 1 :])


def with_link(snapshot: Snapshot, **fields: object) -> Snapshot:
    """Change the link that proves the block itself."""
    *links, last = snapshot.offer.links
    changed = (*links, replace(last, **fields))
    return replace(snapshot, offer=replace(snapshot.offer, links=changed))


def other_voters(snapshot: Snapshot) -> Snapshot:
    """Say that fewer validators have voted."""
    return with_link(snapshot, voters=validator_set(snapshot.voters.members[:3]))


def nobody_voted(snapshot: Snapshot) -> Snapshot:
    """Say that nobody has."""
    return with_link(snapshot, voters=ValidatorSet(()))


def another_block(snapshot: Snapshot) -> Snapshot:
    """Name a block that is not in the log."""
    contents = replace(snapshot.offer.contents, block_id=BlockId(b"?" * 32))
    return replace(snapshot, offer=replace(snapshot.offer, contents=contents))


def unknown_kind(snapshot: Snapshot) -> Snapshot:
    """Bring an object that a later release has."""
    return replace(snapshot, rows=(*snapshot.rows, replace(snapshot.rows[0], kind="oracle")))


def not_canonical(snapshot: Snapshot) -> Snapshot:
    """Write an object as nobody would."""
    return replace(snapshot, rows=(replace(snapshot.rows[0], content=b"\xc1"), *snapshot.rows[1:]))


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (a_richer, "its root is not that of the header"),
        (a_poorer, "its root is not that of the header"),
        (other_voters, "its voters are not those of the header"),
        (nobody_voted, "its voters are not those of the header"),
        (another_block, "the log has no such block"),
        (unknown_kind, "of unknown kind 'oracle'"),
        (not_canonical, "that this build cannot read"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_the_log_does_not_prove_is_not_believed(pump: Pump, lie: object, why: str) -> None:
    """A whole file with a false state: the header of its block says otherwise."""
    height = keep(pump)
    store = pump.nodes[VICTIM].store
    assert store is not None

    found = proved(lie(newest(pump)), store.block(height))  # type: ignore[operator]  # one of the above

    assert isinstance(found, str)
    assert why in found


def test_a_false_snapshot_falls_back_to_the_log(pump: Pump) -> None:
    """A node whose only snapshot was tampered with starts from its log, in the others' state."""
    keep(pump)
    true, node = newest(pump), pump.nodes[VICTIM]
    contents = dict(pump.machine(VICTIM).view.state.contents)
    key = next(key for key in contents if key[0] == objects.ACCOUNT)
    contents[key] = objects.Account(99, None, ())
    node.data.truncate(SLOTS[0], 0)
    false = SaveSnapshot(0, true.block, true.offer.links, contents)
    pump.snapshots_of(node).save(false)
    assert newest(pump).height == true.height, "it is whole"

    pump.restart(VICTIM)

    assert node.resumed_at == 0


def test_a_replay_begins_at_a_kept_state(pump: Pump) -> None:
    """Only the blocks behind it are executed, and the answer says where it began."""
    height = keep(pump)
    pump.run_to(height + 4)
    disk = pump.nodes[VICTIM].data
    copy = type(disk)()
    store = Store(copy, None, chain=pump.genesis.hash())
    store.recover()
    assert pump.nodes[VICTIM].store is not None
    copy_log(pump, store, height + 4)
    for slot in SLOTS:
        if disk.exists(slot):
            copy.replace(slot, bytes(disk.files[slot]))

    behind = replay(copy, pump.genesis, Span(None, None, 3), deadline_s=60, verify=fake_verify)
    across = replay(copy, pump.genesis, Span(height, None, None), deadline_s=60, verify=fake_verify)

    assert (behind.start, behind.blocks, behind.ok) == (f"snapshot {height}", 4, True)
    assert (across.start, across.blocks, across.ok) == ("genesis", height + 4, True)
    assert behind.state_root == across.state_root


def copy_log(pump: Pump, store: Store, height: int) -> None:
    """Write the node's final blocks into another store."""
    source = pump.nodes[VICTIM].store
    assert source is not None
    for at in range(1, height + 1):
        final = source.block(Height(at))
        assert final is not None
        store.run(AppendBlock(final.certificate.block_id, final.block))
        store.run(AppendCertificate(final.certificate))


def test_a_log_that_begins_at_a_state_of_peers_needs_one() -> None:
    """Nobody can tell what the blocks behind it lead to, without one: what helps is said."""
    disk = begun_at_a_state()
    store = Store(disk, None)
    store.recover()

    with pytest.raises(DiskError, match="begins at height 4") as caught:
        newest_base(store, [])

    assert "delete the data folder" in caught.value.hint


def begun_at_a_state() -> MemoryDisk:
    """Let a log begin at block 4, with two more behind it."""
    pump = Pump().start()
    pump.run_to(6)
    source, disk = pump.nodes[0].store, MemoryDisk()
    assert source is not None
    store = Store(disk, None)
    store.recover()
    for height in range(1, 3):
        append(store, source, height)
    base = source.block(Height(4))
    assert base is not None
    store.run(AppendBase(base))
    for height in (5, 6):
        append(store, source, height)
    return disk


def append(store: Store, source: Store, height: int) -> None:
    """Copy one final block."""
    final = source.block(Height(height))
    assert final is not None
    store.run(AppendBlock(final.certificate.block_id, final.block))
    store.run(AppendCertificate(final.certificate))


def test_a_log_may_begin_above_the_genesis() -> None:
    """What was in it is gone, and what is behind the state is found again."""
    store = Store(begun_at_a_state(), None)
    recovered = store.recover()

    assert (store.first_height, store.last_height, recovered.last_height) == (4, 6, 6)
    assert [final.certificate.height for final in recovered.finals] == [4, 5, 6]
    assert [store.block(Height(height)) is not None for height in range(8)] == [
        False, False, False, False, True, True, True, False,
    ]  # fmt: skip
    assert [final.certificate.height for final in store.finals_above(Height(5))] == [6]
    assert store.read_blocks(Height(3), Height(6)) == ()
    assert len(store.read_blocks(Height(4), Height(6))) == 3
    assert len(store.read_blocks(Height(6), Height(9))) == 1
