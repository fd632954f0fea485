"""Does this build compute the same states from a node's blocks as the network did?

Re-executes logged blocks and compares each state root with the header that more than two thirds of
the power have signed. Reads only, also beside a running node, and never longer than it may: this is
what a deploy asks of a new build before it lets it near a validator. Do not add what is compared
on a live mesh.
"""

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from aitbc_node import crypto
from aitbc_node.blocks import FinalBlock
from aitbc_node.chain import Chain
from aitbc_node.crypto import Verifier
from aitbc_node.errors import DiskError, Exit, UsageError
from aitbc_node.ledger.genesis import Genesis
from aitbc_node.resuming import newest_base
from aitbc_node.storage.disk import Disk
from aitbc_node.storage.snapshots import Snapshots
from aitbc_node.storage.store import Store
from aitbc_node.types import Height


class Difference(msgspec.Struct, frozen=True):
    """Say at which block this build comes to another result; `executed` is None without any."""

    height: Height
    header: str
    executed: str | None
    why: str


class Replayed(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """Tell what was executed and what came of it.

    Shape: `first..last` was asked for; `start` says where execution began, which is before `first`
    when no state is kept just below it; `blocks` counts all that were executed; `height` is the
    last one that agreed, and `state_root` the root after it.
    """

    first: Height
    last: Height
    start: str
    blocks: int
    height: Height
    state_root: str
    data_version: int
    seconds: float
    ok: bool
    is_late: bool
    difference: Difference | None

    @property
    def exit_status(self) -> Exit:
        """Return how the command ends."""
        if self.difference is not None:
            return Exit.FAILED
        return Exit.DEADLINE if self.is_late else Exit.OK

    def facts(self) -> dict[str, Any]:
        """Return plain data for people and programs."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class Span(msgspec.Struct, frozen=True):
    """Ask for blocks; without `last` up to the newest, without `first` so many as `count`."""

    first: Height | None
    last: Height | None
    count: int | None

    def within(self, tip: Height, *, lowest: Height) -> tuple[Height, Height]:
        """Return the first and the last height.

        Raises: UsageError when the log does not hold them.
        """
        last = tip if self.last is None else self.last
        first = lowest if self.first is None else self.first
        if self.first is None and self.count is not None:
            first = Height(max(lowest, last - self.count + 1))
        if not lowest <= first <= last <= tip:
            raise UsageError(
                f"blocks {first} to {last} are not here", hint=f"the log holds {lowest} to {tip}"
            )
        return first, last


def replay(
    disk: Disk,
    genesis: Genesis,
    span: Span,
    *,
    deadline_s: float,
    verify: Verifier = crypto.verify,
) -> Replayed:
    """Execute the blocks of a span again, and what leads to it.

    Raises: ConfigError for data that this build cannot read, DiskError for damage, UsageError.
    """
    began_s = time.monotonic()
    store = Store(disk, None, chain=genesis.hash())
    data_version = store.recover_blocks()
    kept = Snapshots(disk, chain=genesis.hash())
    first, last = span.within(store.last_height, lowest=_lowest(store, kept))
    chain = Chain(genesis, verify)
    base, _ = newest_base(store, kept.load(height_max=Height(first - 1)))
    if base is not None:
        chain.resume(base.state, base.final, base.voters, base.lineage)
    start = chain.height
    difference, is_late = None, False
    for final in _blocks(store, chain, last):
        if time.monotonic() - began_s > deadline_s:
            is_late = True
            break
        difference = _difference(chain, final)
        if difference is not None:
            break
    return Replayed(
        first=first,
        last=last,
        start="genesis" if base is None else f"snapshot {start}",
        blocks=chain.height - start,
        height=chain.height,
        state_root=chain.state.root.hex(),
        data_version=data_version,
        seconds=round(time.monotonic() - began_s, 3),
        ok=difference is None and not is_late,
        is_late=is_late,
        difference=difference,
    )


def _lowest(store: Store, kept: Snapshots) -> Height:
    """Return the first height that can be executed: the one behind the oldest state there is."""
    if store.first_height == 1:
        return Height(1)
    heights = (found.height for found in kept.load(height_max=store.last_height))
    return Height(min(heights, default=store.first_height) + 1)


def _blocks(store: Store, chain: Chain, last: Height) -> Iterator[FinalBlock]:
    for height in range(chain.next_height, last + 1):
        final = store.block(Height(height))
        assert final is not None, "the log was found to reach this far"
        yield final


def _difference(chain: Chain, final: FinalBlock) -> Difference | None:
    """Apply a block, or say what is different about it."""
    try:
        chain.replay(final)
    except DiskError as error:
        header, executed = final.block.header, chain.root_after(final.block)
        return Difference(
            header.height,
            header.state_root.hex(),
            None if executed is None else executed.hex(),
            error.message,
        )
    return None
