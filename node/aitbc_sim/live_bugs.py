"""Which bugs can a process of a live mesh have, to see that the live suites have teeth?

Those of the simulator that show on real processes, and those that only a process can have: it is
killed, and read back from its files. A test starts a node, or deploys a release, in which one of
them is planted; no wheel of the node holds any. Do not add a bug without the scenario that must
turn red: `tests/mesh/test_teeth_live.py`, `tests/lab/test_teeth_on_hosts.py`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from unittest.mock import patch

from msgspec.structs import replace

from aitbc_node.blocks import Certificate, block_id
from aitbc_node.chain import Candidate
from aitbc_node.codes import Refusal
from aitbc_node.events import AppendBlock
from aitbc_node.intake import Intake
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.machine import Machine
from aitbc_node.mempool import Entry
from aitbc_node.storage.store import Store
from aitbc_node.verifying import Item
from aitbc_sim import bugs

SHARED = ("accept-2f-votes", "mint-one", "never-redial")
"""Bugs of the simulator that a live mesh shows, too."""
FORK, LOSE, FORGET = "fork-at-a-height", "lose-last-blocks", "lose-accepted"
LIVE = (*SHARED, FORK, LOSE, FORGET)

LOST = 20
"""Blocks that are lost: more than are made between two looks of a witness."""

FORGOTTEN_EVERY = 10
"""Of so many transactions that clients hand in, the last is taken, and lost."""

Asked = Callable[[], bool]

_make_final = Machine._make_final  # noqa: SLF001 - the bug does it to another block
_recover_blocks = Store.recover_blocks
_take = Intake._take  # noqa: SLF001 - as above


def _fork_when(is_asked: Asked) -> object:
    """Make a block final of which nobody else has heard, once."""
    forks = iter([True])

    def make_another_final(self: Machine, candidate: Candidate, certificate: Certificate) -> None:
        if is_asked() and next(forks, False):
            header = candidate.block.header
            block = replace(candidate.block, header=replace(header, time_ms=header.time_ms + 1))
            other = block_id(block.header)
            self._out.add(AppendBlock(other, block))
            candidate = replace(candidate, id=other, block=block)
            certificate = replace(certificate, block_id=other)
        _make_final(self, candidate, certificate)

    return make_another_final


def _forget_some() -> object:
    """Say of some transactions that they were taken, and keep nothing of them."""
    numbers = count(1)

    def take_or_forget(self: Intake, item: Item, entry: Entry[Parsed]) -> Refusal | None:
        if item.request is not None and next(numbers) % FORGOTTEN_EVERY == 0:
            return None
        return _take(self, item, entry)

    return take_or_forget


def _recover_fewer(self: Store) -> int:
    """Come back from a crash without the newest blocks."""
    data_version = _recover_blocks(self)
    self._finals.drop(LOST)
    return data_version


@contextmanager
def planted(name: str, *, is_asked: Asked = lambda: True) -> Iterator[None]:
    """Let this process have a bug; one that forks waits until it `is_asked`, and forks once."""
    if name in SHARED:
        with bugs.planted(name):
            yield
        return
    owner, part, replacement = {
        FORK: (Machine, "_make_final", _fork_when(is_asked)),
        LOSE: (Store, "recover_blocks", _recover_fewer),
        FORGET: (Intake, "_take", _forget_some()),
    }[name]
    with patch.object(owner, part, replacement):
        yield
