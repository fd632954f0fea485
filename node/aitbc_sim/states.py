"""How does a simulated node keep states, lend them to others, and begin at one of its own?

The files and rules are the node's; only the disk is not real. Do not judge states here.
"""

from aitbc_node.events import (
    Event,
    ForgetGathered,
    GatherPiece,
    JudgeSnapshot,
    ReadOffer,
    ReadPiece,
    SaveSnapshot,
)
from aitbc_node.resuming import Base, Lending, carried_out, newest_base
from aitbc_node.storage.snapshots import Snapshots
from aitbc_node.storage.store import Store
from aitbc_node.types import Hash, Height
from aitbc_sim.disk import SimDisk

WANTED = (SaveSnapshot, ReadOffer, ReadPiece, GatherPiece, ForgetGathered, JudgeSnapshot)
"""What a machine wants of the files that hold states."""


def base_of(disk: SimDisk, store: Store, *, chain: Hash, height: Height) -> Base | None:
    """Return the newest state on a disk that the log proves."""
    kept = Snapshots(disk, chain=chain)
    kept.forget_gathered()
    base, _ = newest_base(store, kept.load(height_max=height))
    return base


def done(
    effect: SaveSnapshot | Lending, disk: SimDisk, store: Store, *, chain: Hash, wall_ms: int
) -> Event | None:
    """Do what a machine wants; return what answers it, if anything does."""
    kept = Snapshots(disk, chain=chain)
    if isinstance(effect, SaveSnapshot):
        kept.save(effect)
        return None
    return carried_out(effect, kept, store, wall_ms=lambda: wall_ms)
