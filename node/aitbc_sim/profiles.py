"""Which kinds of days can a seed be run on?

Each is drawn in one function from the seed. On the usual one ("swarm") every seed is a different
kind of bad day: some lose half of one kind of message and nothing else, some crash all the time,
some have a validator that lies. Do not draw during the run what can be drawn here.
"""

import random
from collections.abc import Callable, Sequence

from aitbc_sim.options import BEHAVIOURS, LOSABLE, Options

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
    powers = dice.choice(_POWERS)
    liars = _draw_liars(dice, powers)
    # Liars keep below a third of the power only as long as nobody else gives up theirs.
    churns = not liars and dice.randrange(3) == 0
    return Options(
        powers=powers,
        byzantine=liars,
        full_nodes=dice.choice((0, 1, 1, 2)),
        spares=dice.choice((0, 1, 2)) if churns else 0,
        epoch_blocks=dice.choice((3, 5, 8)) if churns or liars else 20,
        churn=dice.choice((0.3, 0.6)) if churns else 0.0,
        absence_blocks=dice.choice((0, 0, 8)) if churns else 0,
        upgrades=churns and dice.choice((False, True)),
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
        wall_drift_ppm=dice.choice((0, 0, 500, 50_000)),
        wall_jump_every_ms=dice.choice((0, 0, 3_000)),
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


def _draw_liars(dice: random.Random, powers: Sequence[int]) -> tuple[tuple[int, str], ...]:
    """Draw, on one day in four, validators that break the rules, below a third of the power."""
    if dice.randrange(4):
        return ()
    order = list(range(len(powers)))
    dice.shuffle(order)
    liars: list[tuple[int, str]] = []
    power = 0
    for index in order:
        power += powers[index]
        if 3 * power >= sum(powers):
            break
        liars.append((index, dice.choice(_LIES)))
    return tuple(sorted(liars))


_LIES = (*BEHAVIOURS, "equivocate", "equivocate")
"""Who signs twice is met often enough for a sweep to see some of them slashed."""


def lying(seed: int) -> Options:
    """Draw a day with as many liars as the mesh must bear: f of 3f+1, for f = 1, 2, 3."""
    dice = random.Random(f"liars {seed}")  # noqa: S311 - repeatable on purpose
    faults = (1, 2, 3)[seed % 3]
    return liars_among(3 * faults + 1, [dice.choice(BEHAVIOURS) for _ in range(faults)], blocks=10)


def liars_among(count: int, behaviours: Sequence[str], *, blocks: int) -> Options:
    """Return a day on which the first of so many validators lie, on a network that loses some."""
    return Options(
        powers=(1,) * count,
        full_nodes=1,
        epoch_blocks=5,
        blocks=blocks,
        interval_ms=100,
        timeout_ms=300,
        loss=(("prevote", 0.1), ("precommit", 0.1), ("proposal", 0.1)),
        lossy_edges=0.3,
        byzantine=tuple(enumerate(behaviours)),
    )


def colluding(seed: int) -> Options:
    """Draw a day with one liar too many, f+1 of 3f+1, who speak with two tongues."""
    faults = (1, 2, 3)[seed % 3]
    return Options(
        powers=(1,) * (3 * faults + 1),
        full_nodes=0,
        interval_ms=100,
        timeout_ms=300,
        byzantine=tuple((index, "equivocate") for index in range(faults + 1)),
    )


def churning(seed: int) -> Options:
    """Draw a day of four validators and three spare nodes, on which hardly anybody stays."""
    dice = random.Random(f"churn {seed}")  # noqa: S311 - repeatable on purpose
    return Options(
        powers=dice.choice(((2, 2, 2, 2), (3, 2, 2, 2, 2), (1, 1, 1, 1))),
        spares=3,
        epoch_blocks=dice.choice((3, 5)),
        churn=0.7,
        absence_blocks=dice.choice((0, 12)),
        upgrades=dice.choice((False, True)),
        blocks=40,
        interval_ms=100,
        timeout_ms=300,
        crash_every_ms=dice.choice((0, 2_000)),
        loss=dice.choice(((), (("prevote", 0.2), ("precommit", 0.2), ("finals", 0.5)))),
        lossy_edges=0.5,
        tx_every_ms=60,
    )


EIGHT = Options(full_nodes=4, blocks=100, interval_ms=100, shares_execution=True)
"""A sound day of 4 validators and 4 full nodes, to measure with."""

THOUSAND = Options(
    powers=(1,) * 16,
    full_nodes=984,
    uplinks=1,
    followers_hear_votes=False,
    shares_execution=True,
    blocks=17,
    interval_ms=100,
    tx_every_ms=100,
)
"""A sound day of 16 validators, all linked, and a tree of 984 full nodes that fetch blocks.

It ends when every node has 20 blocks: three more than when the chain stops taking transactions.
Blocks come as often as in `EIGHT`: with more time between them, most of the work of a thousand
nodes is to tell each other that they are still there.
"""

PROFILES: dict[str, Callable[[int], Options]] = {
    "swarm": draw,
    "sound": lambda _: Options(full_nodes=0),
    "hard": lambda _: HARD,
    "liars": lying,
    "churn": churning,
    "collusion": colluding,
    "eight": lambda _: EIGHT,
    "thousand": lambda _: THOUSAND,
}
"""Kinds of days by the name that `--profile` takes."""
