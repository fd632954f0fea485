"""What is one simulated run like: how many nodes, how bad a network, how often does what break?

The record of one day, whole and sound unless something is said. Do not add which days there are:
`profiles.py`.
"""

from typing import Annotated

import msgspec

LOSABLE = (
    "prevote",
    "precommit",
    "proposal",
    "summary",
    "finals",
    "status",
    "bodies",
    "txs",
)
"""Kinds of message that a run may lose; what is not named travels like on a sound link."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Describe a run. Units: milliseconds of virtual time; chances are per message or per event."""

    powers: tuple[int, ...] = (1, 1, 1, 1)
    full_nodes: int = 1
    uplinks: int = 0
    """How many nodes nearer to the validators each full node knows; 0 is everybody."""
    followers_hear_votes: bool = True
    """Whether proposals and votes go to full nodes; otherwise they fetch blocks that are final."""
    shares_execution: bool = False
    """Whether a block is executed once for all nodes that have the same tree: `sharing.py`."""
    blocks: Annotated[int, msgspec.Meta(ge=1)] = 20
    """How many blocks the chain makes, at least, before faults are frozen."""
    safety_ms_max: int = 60_000
    liveness_ms_max: int = 60_000
    interval_ms: int = 500
    timeout_ms: int = 1_000
    delay_ms: tuple[int, int] = (1, 20)
    loss: tuple[tuple[str, float], ...] = ()
    lossy_edges: float = 1.0
    """Which share of the directed edges loses messages at a time; drawn again every second or so.

    Below 1 the nodes see different halves of the same votes, which is what forks are made of.
    """
    duplicate: float = 0.0
    clog: float = 0.0
    """Chance that a message is held up for a second or two."""
    sync_ms: tuple[int, int] = (0, 3)
    crash_every_ms: int = 0
    """Mean time between crashes of some node; 0 is never."""
    crash_all: float = 0.0
    """Chance that a crash takes every node within a second."""
    power_loss: float = 0.5
    """Chance that a crash loses unsynced writes; otherwise it is a SIGKILL, which loses none."""
    down_ms: tuple[int, int] = (10, 4_000)
    full_every_ms: int = 0
    """Mean time between disks that take no writes, being full or read-only; 0 is never."""
    full_ms: tuple[int, int] = (100, 6_000)
    partition_every_ms: int = 0
    partition_ms: tuple[int, int] = (500, 8_000)
    ambush: float = 0.0
    """Chance that the first to decide a height is cut off at once, while the others may crash.

    What they have promised by their locks is then all that keeps the height from a second block.
    """
    wall_skew_ms: int = 0
    """How far a clock on a wall may be off from the beginning."""
    wall_drift_ppm: int = 0
    """How fast or slow a clock on a wall may run, in millionths."""
    wall_jump_every_ms: int = 0
    """Mean time between jumps of some clock on a wall; 0 is never."""
    wall_jump_ms: int = 30_000
    byzantine: tuple[tuple[int, str], ...] = ()
    """Which validators break the rules, and how: `byzantine.py`. They do so in both phases."""
    tx_every_ms: int = 150

    @property
    def is_lossy(self) -> bool:
        """Tell whether any message can be lost, repeated or held up."""
        return bool(self.loss or self.duplicate or self.clog)

    @property
    def liars(self) -> frozenset[int]:
        """Return the validators that break the rules."""
        return frozenset(index for index, _ in self.byzantine)
