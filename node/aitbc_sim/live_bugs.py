"""Which bugs can a process of a live mesh have, to see that the live suites have teeth?

Those of the simulator that show on real processes, and those that only a process can have: it is
killed, and read back from its files. A test starts a node, or deploys a release, in which one of
them is planted; no wheel of the node holds any. Do not add a bug without the scenario that must
turn red: `tests/mesh/test_teeth_live.py`, `tests/lab/test_teeth_on_hosts.py`.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from unittest.mock import patch

from msgspec.structs import replace

from aitbc_node.blocks import Certificate, block_id
from aitbc_node.chain import Candidate
from aitbc_node.codes import Refusal
from aitbc_node.events import AppendBlock
from aitbc_node.intake import Intake
from aitbc_node.ledger import apply, balances, transfers
from aitbc_node.ledger.state import Draft, State
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.limits import INT_MAX
from aitbc_node.machine import Machine
from aitbc_node.mempool import Entry
from aitbc_node.storage.store import LOG_NAME, Recovered, Store
from aitbc_node.types import Address
from aitbc_node.verifying import Item
from aitbc_sim import bugs, false_books

SHARED = ("accept-2f-votes", "mint-one", "never-redial")
"""Bugs of the simulator that a live mesh shows, too."""
FORK, LOSE, FORGET = "fork-at-a-height", "lose-last-blocks", "lose-accepted"
MINT_LATER = "mint-from-a-height"
LIVE = (*SHARED, FORK, LOSE, FORGET, MINT_LATER)

LOST = 20
"""Blocks that are lost: more than are made between two looks of a witness."""

FORGOTTEN_EVERY = 10
"""Of so many transactions that clients hand in, the last is taken, and lost."""

NEVER = INT_MAX

Asked = Callable[[], int]
"""From which height on is a bug asked for? `NEVER` while it is not."""

_LIVES = "lives"
"""A file beside the blocks that holds something as long as a process writes them."""

_make_final = Machine._make_final  # noqa: SLF001 - the bug does it to another block
_recover, _flush = Store.recover, Store.flush
_take = Intake._take  # noqa: SLF001 - as above
_begin_run = apply._Run.__init__  # noqa: SLF001 - as above


def written_in(path: Path) -> Asked:
    """Ask from the height on that a file holds, 1 where it is empty; never without the file."""

    def first_height() -> int:
        return int(path.read_text(encoding="utf-8") or 1) if path.exists() else NEVER

    return first_height


def _fork_from(asked_from: Asked) -> object:
    """Make a block final of which nobody else has heard, once."""
    forks = iter([True])

    def make_another_final(self: Machine, candidate: Candidate, certificate: Certificate) -> None:
        header = candidate.block.header
        if header.height >= asked_from() and next(forks, False):
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


def _recover_fewer(self: Store, *, is_key_retired: bool = False) -> Recovered:
    """Come back from a crash without the newest blocks; who has ended well has lost none.

    Who only reads a node's files, and votes with no key, finds them as they are.
    """
    if self.sign_states.exists(1):
        if self._data.read(_LIVES) if self._data.exists(_LIVES) else b"":
            _Leaky(self._data, None, chain=self._chain).lose()
        self._data.replace(_LIVES, b"yes")
    return _recover(self, is_key_retired=is_key_retired)


class _Leaky(Store):
    """Take the newest blocks off the log, so that they are gone for every later start, too."""

    def lose(self) -> None:
        self.recover_blocks()
        first_lost = max(1, len(self._finals) - LOST)
        for _, certificate_at in self._finals.between(first_lost, first_lost + 1):
            self._data.truncate(LOG_NAME, certificate_at)


def _flush_and_end(self: Store) -> None:
    """End as one ought to, and remember it."""
    _flush(self)
    if self._data.exists(_LIVES):
        self._data.replace(_LIVES, b"")


class _Dated(Draft):
    """Know of which block it is."""

    def __init__(self, base: State, height: int) -> None:
        super().__init__(base)
        self.height = height


def _begin_dated(self: apply._Run, state: State, context: apply.BlockContext) -> None:
    """Begin a block as ever, on a draft that knows its height."""
    _begin_run(self, state, context)
    self._draft = _Dated(state, context.height)


def _mint_from(asked_from: Asked) -> object:
    """Give each receiver one unit more than was paid, from a height on: the same on every node."""

    def move_or_mint(draft: Draft, address: Address, asset: str, delta: int) -> None:
        is_late = isinstance(draft, _Dated) and draft.height >= asked_from()
        (false_books.mint_one if is_late else balances.move)(draft, address, asset, delta)

    return move_or_mint


@contextmanager
def planted(name: str, *, asked_from: Asked = lambda: 1) -> Iterator[None]:
    """Let this process have a bug.

    One that forks or mints later waits for the height that it is `asked_from`; one forks once.
    """
    if name in SHARED:
        with bugs.planted(name):
            yield
        return
    parts: tuple[tuple[object, str, object], ...] = {
        FORK: ((Machine, "_make_final", _fork_from(asked_from)),),
        LOSE: ((Store, "recover", _recover_fewer), (Store, "flush", _flush_and_end)),
        FORGET: ((Intake, "_take", _forget_some()),),
        MINT_LATER: (
            (apply._Run, "__init__", _begin_dated),  # noqa: SLF001 - as above
            (transfers, "move", _mint_from(asked_from)),
        ),
    }[name]
    with ExitStack() as stack:
        for owner, part, replacement in parts:
            stack.enter_context(patch.object(owner, part, replacement))
        yield
