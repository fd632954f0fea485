"""A build executes a node's blocks again and says whether it comes to the same states."""

import msgspec
import pytest

from aitbc_node.blocks import FinalBlock
from aitbc_node.errors import ConfigError, Exit, UsageError
from aitbc_node.events import AppendBlock, AppendCertificate
from aitbc_node.replaying import Replayed, Span, replay
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.store import Store
from aitbc_node.storage.versions import write_version
from aitbc_node.types import Hash, Height
from aitbc_sim.citizens import a_payment
from aitbc_sim.pump import Pump
from aitbc_sim.testing import fake_verify

BLOCKS = 8
LIAR = Height(5)
ALL = Span(None, None, None)


@pytest.fixture(scope="module")
def pump() -> Pump:
    """Run a mesh that has made some blocks with payments in them."""
    pump = Pump().start()
    pump.run_to(2)
    for nonce in range(4):
        assert pump.outcomes(0, a_payment("alice", "bob", 5, nonce=nonce)) == ["ok"]
        pump.run_to(3 + nonce)
    pump.run_to(BLOCKS)
    return pump


def finals(pump: Pump) -> list[FinalBlock]:
    """Return the first blocks of a mesh."""
    store = pump.nodes[0].store
    assert store is not None
    return list(store.read_blocks(Height(1), Height(BLOCKS)))


def a_copy(pump: Pump, blocks: list[FinalBlock]) -> MemoryDisk:
    """Write blocks into a data folder of the mesh's chain; a copy needs nothing but the log."""
    disk = MemoryDisk()
    store = Store(disk, None, chain=pump.genesis.hash())
    store.recover()
    for final in blocks:
        store.run(AppendBlock(final.certificate.block_id, final.block))
        store.run(AppendCertificate(final.certificate))
    del disk.files["journal.log"]
    return disk


def replayed(pump: Pump, disk: MemoryDisk, span: Span = ALL, *, deadline_s: float = 60) -> Replayed:
    """Replay a folder with this very build."""
    return replay(disk, pump.genesis, span, deadline_s=deadline_s, verify=fake_verify)


def test_the_same_build_comes_to_the_same_roots(pump: Pump) -> None:
    """All blocks agree; the last root is the one in the last header."""
    blocks = finals(pump)

    done = replayed(pump, a_copy(pump, blocks))

    assert (done.first, done.last, done.blocks, done.ok) == (1, BLOCKS, BLOCKS, True)
    assert done.state_root == blocks[-1].block.header.state_root.hex()
    assert done.exit_status == Exit.OK
    assert len({final.block.header.state_root for final in blocks}) > 2, "states did change"


def test_replaying_changes_nothing(pump: Pump) -> None:
    """What is read may belong to a node that runs."""
    disk = a_copy(pump, finals(pump))
    before = {name: bytes(data) for name, data in disk.files.items()}

    replayed(pump, disk)

    assert {name: bytes(data) for name, data in disk.files.items()} == before


@pytest.mark.parametrize(
    ("span", "first", "last"),
    [
        (Span(Height(3), Height(5), None), 3, 5),
        (Span(None, None, 3), BLOCKS - 2, BLOCKS),
        (Span(None, Height(4), 99), 1, 4),
        (Span(Height(BLOCKS), None, None), BLOCKS, BLOCKS),
    ],
)
def test_a_span_of_blocks(pump: Pump, span: Span, first: int, last: int) -> None:
    """Nothing above the span is executed; below it only what leads to it, and that is told."""
    done = replayed(pump, a_copy(pump, finals(pump)), span)

    assert (done.first, done.last, done.height, done.ok) == (first, last, last, True)
    assert (done.start, done.blocks) == ("genesis", last)


@pytest.mark.parametrize(
    "span",
    [
        Span(Height(1), Height(BLOCKS + 1), None),
        Span(Height(5), Height(4), None),
        Span(Height(BLOCKS + 1), None, None),
    ],
)
def test_blocks_that_are_not_here_are_named(pump: Pump, span: Span) -> None:
    """Nothing replayed is never a pass."""
    with pytest.raises(UsageError, match="are not here") as caught:
        replayed(pump, a_copy(pump, finals(pump)), span)

    assert caught.value.hint == f"the log holds 1 to {BLOCKS}"


def test_an_empty_folder_is_no_pass(pump: Pump) -> None:
    """A copy that went wrong proves nothing."""
    with pytest.raises(UsageError, match="are not here"):
        replayed(pump, a_copy(pump, []))


def test_check_20_another_root_is_found_at_its_block(pump: Pump) -> None:
    """The first block on which build and network differ is named with both roots; status 1."""
    blocks = finals(pump)
    honest = blocks[LIAR - 1].block
    other = Hash(b"\x13" * 32)
    header = msgspec.structs.replace(honest.header, state_root=other)
    changed = msgspec.structs.replace(honest, header=header)
    blocks[LIAR - 1] = msgspec.structs.replace(blocks[LIAR - 1], block=changed)

    done = replayed(pump, a_copy(pump, blocks))

    assert not done.ok
    assert done.exit_status == Exit.FAILED
    assert done.difference is not None
    assert done.difference.height == LIAR
    assert done.difference.header == other.hex()
    assert done.difference.executed == honest.header.state_root.hex()
    assert done.height == LIAR - 1


def test_a_deadline_is_no_pass(pump: Pump) -> None:
    """What could not be compared in time is told as such, with how far it went."""
    done = replayed(pump, a_copy(pump, finals(pump)), deadline_s=0)

    assert (done.ok, done.is_late, done.blocks) == (False, True, 0)
    assert done.exit_status == Exit.DEADLINE


def test_data_of_a_later_version_are_not_replayed(pump: Pump) -> None:
    """A build that cannot read the data says so, as it would at its start."""
    disk = a_copy(pump, finals(pump))
    write_version(disk, 99)

    with pytest.raises(ConfigError, match="data version 99"):
        replayed(pump, disk)


def test_facts_are_plain(pump: Pump) -> None:
    """The gate reads `from`, `to`, `state_root`, `blocks` and `ok`."""
    facts = replayed(pump, a_copy(pump, finals(pump)), Span(Height(2), Height(3), None)).facts()

    assert {key: facts[key] for key in ("from", "to", "blocks", "ok", "start")} == {
        "from": 2,
        "to": 3,
        "blocks": 3,
        "ok": True,
        "start": "genesis",
    }
    assert facts["difference"] is None
