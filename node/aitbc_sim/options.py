"""What is one simulated run like: how many nodes, how bad a network, how often does what break?

All of it is drawn in one function from the seed, so that each seed is a different kind of bad day
("swarm"): some lose half of one kind of message and nothing else, some crash all the time. Do not
draw during the run what can be drawn here.
"""

import random

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


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a run. Units: milliseconds of virtual time; chances are per message or per event."""

    powers: tuple[int, ...] = (1, 1, 1, 1)
    full_nodes: int = 1
    blocks: int = 20
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
    """Mean time between disks that fill up; 0 is never."""
    full_ms: tuple[int, int] = (100, 6_000)
    partition_every_ms: int = 0
    partition_ms: tuple[int, int] = (500, 8_000)
    ambush: float = 0.0
    """Chance that the first to decide a height is cut off at once, while the others may crash.

    What they have promised by their locks is then all that keeps the height from a second block.
    """
    wall_skew_ms: int = 0
    tx_every_ms: int = 150


HARD = Options(
    full_nodes=0,
    interval_ms=100,
    timeout_ms=300,
    loss=(
        ("prevote", 0.5),
        ("precommit", 0.7),
        ("summary", 0.9),
        ("status", 0.9),
        ("finals", 0.9),
    ),
    lossy_edges=0.5,
    ambush=1.0,
)
"""A day made for forks: one node sees a block final while the others have seen half of its votes.

Of 30 such runs with a planted bug in the lock, 16 and 19 ended with two blocks of one height.
"""

_HARD_ONCE_IN = 8


def draw(seed: int) -> Options:
    """Draw the options of a seed."""
    dice = random.Random(f"options {seed}")  # noqa: S311 - repeatable on purpose
    if dice.randrange(_HARD_ONCE_IN) == 0:
        return HARD
    partition_every_ms, partition_ms = dice.choice(_PARTITIONS)
    return Options(
        powers=dice.choice(_POWERS),
        full_nodes=dice.choice((0, 1, 1, 2)),
        interval_ms=dice.choice((100, 200, 500)),
        timeout_ms=dice.choice((300, 500, 1_000)),
        delay_ms=dice.choice(((1, 5), (1, 20), (5, 150), (1, 400))),
        loss=_draw_loss(dice),
        lossy_edges=dice.choice((0.3, 0.5, 1.0)),
        duplicate=dice.choice((0.0, 0.0, 0.05)),
        clog=dice.choice((0.0, 0.0, 0.01)),
        sync_ms=dice.choice(((0, 3), (0, 3), (5, 60))),
        crash_every_ms=dice.choice((0, 800, 2_000, 5_000)),
        crash_all=dice.choice((0.0, 0.0, 0.2)),
        power_loss=dice.choice((0.0, 0.5, 1.0)),
        full_every_ms=dice.choice((0, 0, 4_000)),
        partition_every_ms=partition_every_ms,
        partition_ms=partition_ms,
        wall_skew_ms=dice.choice((0, 0, 1_000, 30_000)),
        tx_every_ms=dice.choice((60, 150, 400)),
    )


_POWERS = (
    *((1, 1, 1, 1),) * 6,
    (3, 2, 2, 2),
    (5, 4, 3, 2),
    (1, 1, 1, 1, 1, 1, 1),
    (1,),
)
"""Mostly four alike; also four unlike, seven, and one alone."""

_PARTITIONS = (
    (0, (1, 1)),
    (0, (1, 1)),
    (4_000, (500, 8_000)),
    (9_000, (500, 8_000)),
    (600, (20, 700)),
)
"""Mean time between partitions and how long each lasts: never, seldom and long, or flapping."""


def _draw_loss(dice: random.Random) -> tuple[tuple[str, float], ...]:
    """Draw a network: sound, hiding votes and news of blocks, or losing any kinds."""
    match dice.randrange(4):
        case 0:
            return ()
        case 1:
            return tuple(
                (kind, dice.choice((0.3, 0.5, 0.7, 0.9)))
                for kind in ("prevote", "precommit", "summary", "status", "finals")
            )
        case _:
            return tuple(
                (kind, dice.choice((0.05, 0.2, 0.5, 0.8)))
                for kind in LOSABLE
                if dice.randrange(3) == 0
            )
