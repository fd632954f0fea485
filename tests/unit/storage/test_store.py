"""The store: what survives, what may not be durable before what."""

import msgspec
import pytest

from aitbc_node.blocks import (
    NO_COMMIT,
    Block,
    Certificate,
    CommitVote,
    FinalBlock,
    Header,
    block_id,
)
from aitbc_node.errors import DiskError
from aitbc_node.events import (
    AppendBlock,
    AppendCertificate,
    AppendTransactions,
    SaveDataVersion,
    SaveEvidence,
    SaveSignState,
)
from aitbc_node.limits import MIB
from aitbc_node.storage import store as store_module
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.sign_state import NOTHING_SIGNED
from aitbc_node.storage.store import Recovered, Store
from aitbc_node.types import BlockId, Hash, Height, PublicKey, Round, Signature

EMPTY = Hash(bytes(32))


def a_block(height: int, *txs: bytes, proposer: bytes = b"p") -> Block:
    """Build a block that only the store takes for one."""
    header = Header(
        version=1,
        chain_id="aitbc-test-1",
        height=Height(height),
        parent_id=BlockId(bytes(32)),
        time_ms=1000 * height,
        proposer=PublicKey(proposer * 32),
        tx_root=EMPTY,
        tx_count=len(txs),
        state_root=EMPTY,
        receipts_root=EMPTY,
        last_commit_hash=EMPTY,
        validators_hash=EMPTY,
        next_validators_hash=EMPTY,
        params_hash=EMPTY,
        app_version=1,
        evidence_root=EMPTY,
    )
    return Block(header, txs, NO_COMMIT, ())


def a_final(block: Block) -> FinalBlock:
    """Build a final block."""
    vote = CommitVote(0, 5, Signature(b"v" * 64))
    certificate = Certificate(block.header.height, Round(0), block_id(block.header), (vote,))
    return FinalBlock(block, certificate)


def append(store: Store, block: Block, *, final: bool = True) -> None:
    """Log a block and perhaps its certificate."""
    store.run(AppendBlock(block_id(block.header), block))
    if final:
        store.run(AppendCertificate(a_final(block).certificate))


def a_store(data: MemoryDisk, keys: MemoryDisk | None = None) -> tuple[Store, Recovered]:
    """Open a store."""
    store = Store(data, keys)
    return store, store.recover()


def a_chain(data: MemoryDisk, count: int) -> Store:
    """Open a store and fill it with final blocks."""
    store, _ = a_store(data)
    for height in range(1, count + 1):
        append(store, a_block(height, b"tx%d" % height))
    return store


def test_a_new_store_is_empty() -> None:
    """Nothing is invented at the first start."""
    store, recovered = a_store(MemoryDisk(), MemoryDisk())

    assert (list(recovered.finals), recovered.pending, recovered.journal) == ([], (), ())
    assert recovered.sign_state is None
    assert (store.last_height, store.block(Height(1))) == (0, None)


@pytest.mark.proves("A17")
def test_final_blocks_survive_a_restart() -> None:
    """What was final before is read back, in order, from disk."""
    data = MemoryDisk()
    a_chain(data, 5)

    store, recovered = a_store(data)

    expected = [a_final(a_block(height, b"tx%d" % height)) for height in range(1, 6)]
    assert list(recovered.finals) == expected
    assert store.block(Height(3)) == expected[2]
    assert store.read_blocks(Height(2), Height(9)) == tuple(expected[1:])
    assert store.read_blocks(Height(6), Height(9)) == ()


def test_blocks_that_are_not_final_yet_come_back_as_pending() -> None:
    """A body that this node may be locked on is still here; losers of decided heights are not."""
    data = MemoryDisk()
    store = a_chain(data, 1)
    loser, winner = a_block(2, proposer=b"q"), a_block(2)
    first, second = a_block(3), a_block(3, proposer=b"q")
    append(store, loser, final=False)
    append(store, winner)
    append(store, first, final=False)
    append(store, second, final=False)

    _, recovered = a_store(data)

    assert recovered.last_height == 2
    assert recovered.pending == (
        (block_id(first.header), first),
        (block_id(second.header), second),
    )


def test_a_block_is_logged_once() -> None:
    """Proposing the same block in a later round costs no space."""
    data = MemoryDisk()
    store, _ = a_store(data)
    append(store, a_block(1), final=False)
    size = data.size("blocks.log")

    append(store, a_block(1), final=False)

    assert data.size("blocks.log") == size


class RecordingDisk(MemoryDisk):
    """Note the order of writes and syncs over several folders."""

    def __init__(self, name: str, journal: list[str]) -> None:
        super().__init__()
        self.name = name
        self.journal = journal

    def write_at(self, name: str, offset: int, data: bytes) -> None:
        self.journal.append(f"write {self.name}/{name}")
        super().write_at(name, offset, data)

    def sync(self, name: str) -> None:
        self.journal.append(f"sync {self.name}/{name}")
        super().sync(name)

    def sync_folder(self) -> None:
        self.journal.append(f"sync {self.name}")


def test_the_sign_state_is_never_newer_on_disk_than_the_log() -> None:
    """A certificate written without a sync is synced before the next sign state is written."""
    journal: list[str] = []
    keys = RecordingDisk("keys", journal)
    store = Store(RecordingDisk("data", journal), keys)
    store.recover()
    store.create_sign_state()
    append(store, a_block(1))
    journal.clear()

    store.run(SaveSignState(NOTHING_SIGNED))
    store.run(SaveSignState(NOTHING_SIGNED))

    sign = ["write keys/sign_state", "sync keys/sign_state"]
    assert journal == ["sync data/blocks.log", *sign, *sign]


def test_an_appended_block_is_durable_on_return() -> None:
    """A block is synced with the certificate before it, in one go."""
    journal: list[str] = []
    store = Store(RecordingDisk("data", journal), None)
    store.recover()
    append(store, a_block(1))
    journal.clear()

    append(store, a_block(2), final=False)

    assert journal == ["write data/blocks.log", "sync data/blocks.log"]


def test_the_sign_state_survives_a_restart() -> None:
    """The newest saved state is recovered; without a file there is none."""
    data, keys = MemoryDisk(), MemoryDisk()
    store, _ = a_store(data, keys)
    store.create_sign_state()
    state = msgspec.structs.replace(NOTHING_SIGNED, height=Height(7), step=2)
    store.run(SaveSignState(state))

    _, recovered = a_store(data, keys)

    assert recovered.sign_state == state


def test_a_key_without_history_starts_at_the_height_that_was_given() -> None:
    """A restored key can be told to sign nothing below a height."""
    keys = MemoryDisk()
    store, _ = a_store(MemoryDisk(), keys)
    store.create_sign_state(not_before=Height(100))

    _, recovered = a_store(MemoryDisk(), keys)

    assert recovered.sign_state is not None
    assert (recovered.sign_state.height, recovered.sign_state.step) == (99, 3)


def test_the_journal_brings_accepted_transactions_back() -> None:
    """What was accepted before a kill is handed to the mempool again, in order."""
    data = MemoryDisk()
    store, _ = a_store(data)
    store.run(AppendTransactions((b"one", b"two")))
    store.run(AppendTransactions((b"three",)))

    _, recovered = a_store(data)

    assert recovered.journal == (b"one", b"two", b"three")


def test_a_long_journal_is_rewritten_with_what_still_waits() -> None:
    """The journal's length follows the mempool, not the chain."""
    data = MemoryDisk()
    store, _ = a_store(data)
    for _ in range(4):
        store.run(AppendTransactions((b"x" * MIB,)))
    was_long = store.is_journal_long

    store.rewrite_journal((b"waiting",))
    store.run(AppendTransactions((b"new",)))

    assert (was_long, store.is_journal_long) == (True, False)
    assert a_store(data)[1].journal == (b"waiting", b"new")


def test_blocks_for_a_peer_fit_into_one_frame() -> None:
    """An answer ends before it outgrows the limit, but always has one block."""
    data = MemoryDisk()
    store, _ = a_store(data)
    for height in range(1, 6):
        append(store, a_block(height, b"x" * 1000))

    some = store.read_blocks(Height(1), Height(5), bytes_max=3500)
    one = store.read_blocks(Height(1), Height(5), bytes_max=1)

    assert 1 < len(some) < 4
    assert len(one) == 1


def test_a_torn_certificate_takes_the_chain_back_to_a_pending_block() -> None:
    """An unsynced certificate may be lost; its block is still here to be decided again."""
    data = MemoryDisk()
    a_chain(data, 2)
    del data.files["blocks.log"][-3:]

    _, recovered = a_store(data)

    assert recovered.last_height == 1
    assert [block.header.height for _, block in recovered.pending] == [2]
    assert recovered.bytes_cut > 0


BLOCK, CERTIFICATE = store_module.BLOCK, store_module.CERTIFICATE
FAR, NEXT = a_final(a_block(5)).certificate, a_final(a_block(2)).certificate
NONE = msgspec.structs.replace(NEXT, height=0)


@pytest.mark.parametrize(
    ("kind", "payload", "why"),
    [
        (CERTIFICATE, msgspec.msgpack.encode(FAR), "its certificates skip a height"),
        (CERTIFICATE, msgspec.msgpack.encode(NEXT), "a certificate without its block"),
        (CERTIFICATE, msgspec.msgpack.encode(NONE), "a certificate of the genesis"),
        (CERTIFICATE, b"\xc0", "no Certificate that this build can read"),
        (9, b"", "a record of unknown kind 9"),
    ],
    ids=["a gap", "no block", "no height", "no certificate", "another kind"],
)
def test_a_record_that_makes_no_sense_is_refused(kind: int, payload: bytes, why: str) -> None:
    """A whole log whose records contradict each other is not guessed at: the place is named."""
    data = MemoryDisk()
    store = a_chain(data, 1)
    offset = store._log.append(kind, payload)

    with pytest.raises(DiskError, match=f"blocks.log: byte {offset}: {why}") as refused:
        a_store(data)

    assert "delete the data folder (not the key folder)" in refused.value.hint


def test_a_block_that_cannot_be_read_is_told_when_it_is_wanted() -> None:
    """Its id and height were fine; a later build may have written the rest."""
    data = MemoryDisk()
    store = a_chain(data, 1)
    height = (2).to_bytes(8, "big")
    store._log.append(BLOCK, bytes(32), height, b"\xc0")

    with pytest.raises(DiskError, match="no Block that this build can read"):
        a_store(data)


@pytest.mark.parametrize("persist", [SaveEvidence(()), SaveDataVersion(1)])
def test_whatever_is_stored_makes_the_certificate_before_it_durable(
    persist: SaveEvidence | SaveDataVersion,
) -> None:
    """A node announces a final block behind it, and must come back with that block."""
    journal: list[str] = []
    store = Store(RecordingDisk("data", journal), None)
    store.recover()
    append(store, a_block(1))
    journal.clear()

    store.run(persist)

    assert journal[0] == "sync data/blocks.log"


def test_flushing_makes_the_newest_certificate_durable() -> None:
    """At the end of a process nothing is left to chance."""
    journal: list[str] = []
    store = a_chain(RecordingDisk("data", journal), 1)
    journal.clear()

    store.flush()
    store.flush()

    assert journal == ["sync data/blocks.log"]
