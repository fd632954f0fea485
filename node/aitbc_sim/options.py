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


Chance = Annotated[float, msgspec.Meta(ge=0, le=1)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Least = Annotated[int, msgspec.Meta(ge=1, le=10**6)]
Coins = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Span = tuple[Milliseconds, Milliseconds]


BEHAVIOURS = (
    "equivocate",
    "withhold",
    "amnesia",
    "bad-root",
    "replay",
    "garbage",
    "selective",
    "slander",
    "twin",
)
"""Two tongues; silence; no lock; false state roots; old frames; noise; half an audience; false
evidence; two nodes with one key. What each does is in `byzantine.py`."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Describe a run. Units: milliseconds of virtual time; chances are per message or per event."""

    powers: Annotated[tuple[Least, ...], msgspec.Meta(min_length=1)] = (1, 1, 1, 1)
    full_nodes: Count = 1
    spares: Count = 0
    """How many nodes have a key, but no vote until an operator moves there."""
    epoch_blocks: Least = 20
    """After how many blocks the validators change; other periods of the chain go by it."""
    churn: Chance = 0.0
    """Chance that what a client hands in is about bonds, keys, or who validates."""
    absence_blocks: Count = 0
    """Over how many blocks absence is counted; 0 is nobody is jailed for it."""
    upgrades: bool = False
    """Whether operators plan new rules, which a node knows when its build has been replaced."""
    state_every: Count = 0
    """After how many blocks a node keeps its state, to begin there and to lend it; 0 is never."""
    state_distance: Count = 0
    """How many blocks behind a node fetches a state in their place; 0 is never."""
    uplinks: Count = 0
    """How many nodes nearer to the validators each full node knows; 0 is everybody."""
    followers_hear_votes: bool = True
    """Whether proposals and votes go to full nodes; otherwise they fetch blocks that are final."""
    shares_execution: bool = False
    """Whether a block is executed once for all nodes that have the same tree: `sharing.py`."""
    blocks: Least = 20
    """How many blocks the chain makes, at least, before faults are frozen."""
    safety_ms_max: Milliseconds = 60_000
    liveness_ms_max: Milliseconds = 60_000
    interval_ms: Least = 500
    timeout_ms: Least = 1_000
    delay_ms: Span = (1, 20)
    loss: tuple[tuple[str, Chance], ...] = ()
    lossy_edges: Chance = 1.0
    """Which share of the directed edges loses messages at a time; drawn again every second or so.

    Below 1 the nodes see different halves of the same votes, which is what forks are made of.
    """
    duplicate: Chance = 0.0
    clog: Chance = 0.0
    """Chance that a message is held up for a second or two."""
    sync_ms: Span = (0, 3)
    crash_every_ms: Milliseconds = 0
    """Mean time between crashes of some node; 0 is never."""
    crash_all: Chance = 0.0
    """Chance that a crash takes every node within a second."""
    power_loss: Chance = 0.5
    """Chance that a crash loses unsynced writes; otherwise it is a SIGKILL, which loses none."""
    down_ms: Span = (10, 4_000)
    full_every_ms: Milliseconds = 0
    """Mean time between disks that take no writes, being full or read-only; 0 is never."""
    full_ms: Span = (100, 6_000)
    partition_every_ms: Milliseconds = 0
    partition_ms: Span = (500, 8_000)
    ambush: Chance = 0.0
    """Chance that the first to decide a height is cut off at once, while the others may crash.

    What they have promised by their locks is then all that keeps the height from a second block.
    """
    wall_skew_ms: Milliseconds = 0
    """How far a clock on a wall may be off from the beginning."""
    wall_drift_ppm: Annotated[int, msgspec.Meta(ge=0, le=10**6)] = 0
    """How fast or slow a clock on a wall may run, in millionths."""
    wall_jump_every_ms: Milliseconds = 0
    """Mean time between jumps of some clock on a wall; 0 is never."""
    wall_jump_ms: Milliseconds = 30_000
    byzantine: tuple[tuple[int, str], ...] = ()
    """Which validators break the rules, and how: `byzantine.py`. They do so in both phases."""
    tx_every_ms: Least = 150
    patrons: Count = 0
    """How many accounts are rich that no client of the run uses: whoever stages it does."""
    reward_pool: Coins = 0
    """What the chain begins with to pay for blocks."""
    block_gas: Coins = 0
    """Most gas in a block; 0 is as usual."""

    def __post_init__(self) -> None:
        """Refuse what is no day at all. Raises: ValueError, which msgspec tells as its own."""
        for name in ("delay_ms", "sync_ms", "down_ms", "full_ms", "partition_ms"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: from {low} to {high} is nothing")
        for kind, _ in self.loss:
            if kind not in LOSABLE:
                raise ValueError(f"loss: no message is a '{kind}', of {', '.join(LOSABLE)}")
        for index, kind in self.byzantine:
            if not 0 <= index < len(self.powers):
                raise ValueError(f"byzantine: validator {index} of {len(self.powers)}")
            if kind not in BEHAVIOURS:
                raise ValueError(
                    f"byzantine: nobody lies like '{kind}', of {', '.join(BEHAVIOURS)}"
                )

    @property
    def is_lossy(self) -> bool:
        """Tell whether any message can be lost, repeated or held up."""
        return bool(self.loss or self.duplicate or self.clog)

    @property
    def liars(self) -> frozenset[int]:
        """Return the validators that break the rules."""
        return frozenset(index for index, _ in self.byzantine)
