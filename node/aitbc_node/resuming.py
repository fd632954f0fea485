"""Where does a chain begin again: at the genesis, or at a state that was kept?

A kept state is believed when its root is the one in the header of its block, which is in the log;
and who voted on the block, when it is who the header names. What cannot be believed is passed over:
the log has everything, it only takes longer. Do not add files here.
"""

from collections.abc import Iterable

import msgspec

from aitbc_node.blocks import FinalBlock
from aitbc_node.ledger.rebuilding import rebuilt
from aitbc_node.ledger.state import State
from aitbc_node.storage.snapshots import Snapshot
from aitbc_node.storage.store import Store
from aitbc_node.types import Height
from aitbc_node.validators import ValidatorSet


class Base(msgspec.Struct, frozen=True):
    """Be a state that is proved, with the block behind which it stands and who made that final."""

    final: FinalBlock
    state: State
    voters: ValidatorSet

    @property
    def height(self) -> Height:
        """Return the height of the block."""
        return self.final.block.header.height


def newest_base(store: Store, kept: Iterable[Snapshot]) -> tuple[Base | None, list[str]]:
    """Return the first of these states that the log proves, and why others were passed over."""
    faults: list[str] = []
    for snapshot in kept:
        found = proved(snapshot, store.block(snapshot.height))
        if isinstance(found, Base):
            return found, faults
        faults.append(f"height {snapshot.height}: {found}")
    return None, faults


def proved(snapshot: Snapshot, final: FinalBlock | None) -> Base | str:
    """Return a state that is the one after a final block, or what is wrong with it."""
    if final is None or final.certificate.block_id != snapshot.block_id:
        return "the log has no such block"
    header = final.block.header
    if snapshot.voters.digest() != header.validators_hash:
        return "its voters are not those of the header"
    state = rebuilt((row.kind, row.name, row.content) for row in snapshot.rows)
    if isinstance(state, str):
        return state
    if state.root != header.state_root:
        return "its root is not that of the header"
    return Base(final, state, snapshot.voters)
