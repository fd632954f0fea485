"""Where does a chain begin again: at the genesis, or at a state that was kept?

A kept state is believed when its root is the one in the header of its block, which is in the log,
or which links prove where the state comes from peers; and who voted on the block, when it is who
the header names. What cannot be believed is passed over: it only takes longer. Do not add which
peers are asked.
"""

from collections.abc import Callable, Iterable
from typing import assert_never

import msgspec

from aitbc_node.blocks import FinalBlock, as_proposed, check_form
from aitbc_node.errors import DiskError, PeerFault
from aitbc_node.events import (
    Event,
    ForgetGathered,
    GatherPiece,
    JudgeSnapshot,
    OfferRead,
    PieceRead,
    ReadOffer,
    ReadPiece,
    SnapshotJudged,
)
from aitbc_node.ledger.rebuilding import rebuilt
from aitbc_node.ledger.state import State
from aitbc_node.lineage import Link, Offer
from aitbc_node.storage.snapshots import Snapshot, Snapshots
from aitbc_node.storage.store import Store
from aitbc_node.types import Height
from aitbc_node.validators import ValidatorSet

Lending = ReadOffer | ReadPiece | GatherPiece | ForgetGathered | JudgeSnapshot
"""What the machine wants of the files that hold kept states, but for writing one."""


class Base(msgspec.Struct, frozen=True):
    """Be a state that is proved, with the block behind which it stands and who made that final."""

    final: FinalBlock
    state: State
    voters: ValidatorSet
    lineage: tuple[Link, ...]

    @property
    def height(self) -> Height:
        """Return the height of the block."""
        return self.final.block.header.height


def newest_base(store: Store, kept: Iterable[Snapshot]) -> tuple[Base | None, list[str]]:
    """Return the first of these states that the log proves, and why others were passed over.

    Raises: DiskError when there is none, and the log does not begin at the genesis either.
    """
    faults: list[str] = []
    for snapshot in kept:
        found = proved(snapshot, store.block(snapshot.height))
        if isinstance(found, Base):
            return found, faults
        faults.append(f"height {snapshot.height}: {found}")
    if store.first_height > 1:
        raise DiskError(
            f"blocks.log begins at height {store.first_height}, and no kept state is whole",
            hint="delete the data folder (not the key folder): the node fetches all of it again",
        )
    return None, faults


def arrived(snapshots: Snapshots, offer: Offer) -> Base | str:
    """Judge what was gathered from peers, and keep it if it is true; or say what is wrong.

    The links of the offer are proved already. Raises: DiskUnavailableError when there is no room.
    """
    found = snapshots.gathered(offer)
    if found is None:
        return "its pieces are not a snapshot"
    try:
        check_form(as_proposed(found.block))
    except PeerFault as fault:
        return fault.what
    if found.block.header != offer.links[-1].header:
        return "it is of another block"
    base = proved(found, FinalBlock(found.block, offer.links[-1].certificate))
    if isinstance(base, Base):
        snapshots.adopt(offer)
    return base


def carried_out(
    effect: Lending, snapshots: Snapshots, store: Store, *, wall_ms: Callable[[], int]
) -> Event | None:
    """Do with the kept states what the machine wants; return the event that answers it, if any.

    What this disk refuses is no reason to stop: the peer asks another, and blocks come anyway.
    """
    try:
        return _answer(effect, snapshots, store, wall_ms)
    except DiskError as error:
        match effect:
            case ReadOffer(peer=peer):
                return OfferRead(wall_ms=wall_ms(), peer=peer, offer=None, trusted=None)
            case ReadPiece(peer=peer, name=name, index=index):
                return PieceRead(wall_ms=wall_ms(), peer=peer, name=name, index=index, data=b"")
            case GatherPiece() | ForgetGathered():
                return None  # whoever puts the pieces together finds out
            case JudgeSnapshot():
                return SnapshotJudged(wall_ms=wall_ms(), fault=error.message)
            case _:
                assert_never(effect)


def _answer(
    effect: Lending, snapshots: Snapshots, store: Store, wall_ms: Callable[[], int]
) -> Event | None:
    match effect:
        case ReadOffer(peer=peer, above=above, trusted=height):
            known, offer = store.block(height), snapshots.offered(above)
            shown = None if known is None else known.block.header
            return OfferRead(wall_ms=wall_ms(), peer=peer, offer=offer, trusted=shown)
        case ReadPiece(peer=peer, name=name, index=index):
            data = snapshots.piece(name, index)
            return PieceRead(wall_ms=wall_ms(), peer=peer, name=name, index=index, data=data)
        case GatherPiece(index=index, data=data):
            snapshots.gather(index, data)
            return None
        case ForgetGathered():
            snapshots.forget_gathered()
            return None
        case JudgeSnapshot(offer=offer):
            base = arrived(snapshots, offer)
            if isinstance(base, str):
                return SnapshotJudged(wall_ms=wall_ms(), fault=base, is_lie=True)
            return SnapshotJudged(wall_ms=wall_ms(), base=base)
        case _:
            assert_never(effect)


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
    return Base(final, state, snapshot.voters, snapshot.lineage)
