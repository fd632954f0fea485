"""Do the keys of a load scenario agree with each other? Each contradiction with where it stands.

A swarm would pass over what it does not heed, and Locust leaves out a phase whose rate cannot be
reached in its time: both are refused while the file is read. Do not read files here.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from aitbc_toolkit.suites.scenario.crowds import Crowd, Phase, Spawn
from aitbc_toolkit.suites.scenario.quantities import rate, seconds
from aitbc_toolkit.suites.scenario.schema import Written
from aitbc_toolkit.suites.scenario.yaml_text import Path

FAMILY = "load"
"""The family whose files say what a swarm hands in; their steps are played beside it."""
FIGURES = ("final_p50", "final_p95", "final_p99", "committed", "harm_p99")
"""What a swarm records: seconds from the intended start to final, and final ones a second."""
MISUSING = frozenset({"poller", "impatient", "overspender", "hurried", "reconnector"})
"""Bots that keep the rules and use a mesh badly."""
CLOSED = frozenset({"staker", "trader", "observer", "comparer"}) | MISUSING
"""Roles that are bots only, each of which waits for every answer."""
ADVERSARIAL = frozenset(
    {"spammer", "double-spender", "nonce-gapper", "malformed", "flooder", "replayer"}
)
"""Who breaks the rules."""
USER = "user"
"""Who keeps the rules; every phase has them, or nobody would know what it did to them."""


def is_one(written: Written) -> bool:
    """Tell whether a file is of this family."""
    return written.scenario.startswith(f"{FAMILY}/")


def dealt(spawn: Spawn) -> dict[str, int]:
    """Share bots out in their weights; what is left over goes where most of a bot is missing."""
    whole = sum(spawn.weights.values())
    found: dict[str, int] = {
        role: spawn.bots * weight // whole for role, weight in spawn.weights.items()
    }
    missing = sorted(spawn.weights, key=lambda role: -(spawn.bots * spawn.weights[role] % whole))
    for role in missing[: spawn.bots - sum(found.values())]:
        found[role] += 1
    return found


def families(written: Written) -> Iterator[str]:
    """Name the families of those who come."""
    roles: set[str] = {each.role for phase in written.phases for each in phase.load}
    roles.update(role for phase in written.phases if phase.spawn for role in phase.spawn.weights)
    if not roles or roles - ADVERSARIAL - MISUSING:
        yield "legitimate"
    if roles & ADVERSARIAL:
        yield "adversarial"
    if roles & MISUSING:
        yield "anti-pattern"


def faults(written: Written) -> Iterator[tuple[Path, str]]:
    """Find what only a swarm heeds, and what it would not heed."""
    if not is_one(written):
        yield from _foreign_faults(written)
        return
    if written.phases:
        yield from _phases_faults(written)
    elif len(written.load) != 1 or not written.load[0].lasts:
        what = f"a file of family {FAMILY} has phases, or one load which says how long it `lasts`"
        yield ("load",), what
    unheeded = [key for key in ("steady", "matrix", "nightly", "collect") if getattr(written, key)]
    unheeded += ["backends"] if "sim" in written.backends else []
    for key in unheeded:
        what = f"`{key}` is not heeded in family {FAMILY}: leave it out, or use another family"
        yield (key,), what


def _foreign_faults(written: Written) -> Iterator[tuple[Path, str]]:
    for place, load in enumerate(written.load):
        if load.lasts or load.batch != 1:
            what = f"only files of family {FAMILY} say how long a load lasts, or its batch"
            yield ("load", place), what
        if not load.arrivals.endswith("/s"):
            what = f"only files of family {FAMILY} ask for a share of the knee"
            yield ("load", place, "arrivals"), what
    if written.tags:
        yield ("tags",), f"only files of family {FAMILY} have tags"
    if written.phases:
        yield ("phases",), f"only files of family {FAMILY} have phases"


def _phases_faults(written: Written) -> Iterator[tuple[Path, str]]:
    if written.load:
        yield ("load",), "a file has one load, or phases of which each has its own"
    for place, phase in enumerate(written.phases):
        where: Path = ("phases", place)
        if any(phase.phase == other.phase for other in written.phases[:place]):
            yield where, f"two phases are called {phase.phase}"
        for what in _phase_faults(phase):
            yield where, what
    for place, (before, after) in enumerate(pairwise(written.phases), start=1):
        if _batch(before) != _batch(after):
            yield ("phases", place), "every phase has the same batch"


def is_open_user(crowd: Crowd) -> bool:
    """Tell whether these are the users whose transfers are measured."""
    return crowd.role == USER and crowd.arrivals is not None


def _phase_faults(phase: Phase) -> Iterator[str]:
    kinds: list[tuple[str, bool]] = [(each.role, each.bots is None) for each in phase.load]
    if phase.spawn:
        kinds += [(role, False) for role in phase.spawn.weights]
        lacking = [role for role, bots in dealt(phase.spawn).items() if not bots]
        yield from (f"phase {phase.phase} has too few bots for a {role}" for role in lacking)
    counts = Counter(kinds)
    if counts[(USER, True)] != 1:
        yield f"phase {phase.phase} has one load of role {USER} with arrivals, who keep the rules"
    twice = [role for (role, _), count in counts.items() if count > 1 and role != USER]
    yield from (f"phase {phase.phase} has {role} twice" for role in twice)
    for each in phase.load:
        yield from (f"{each.role} of phase {phase.phase} {what}" for what in _crowd_faults(each))
    if not seconds(phase.lasts):
        yield f"phase {phase.phase} is over before it begins"
    elif seconds(phase.ramp) > seconds(phase.lasts):
        yield (
            f"phase {phase.phase} lasts {phase.lasts}, its ramp takes {phase.ramp}:"
            " its rate would never be reached"
        )


def _crowd_faults(crowd: Crowd) -> Iterator[str]:
    """Find what a role does not heed."""
    wanted = "`bots`" if crowd.role in CLOSED else "`arrivals`"
    if (crowd.arrivals is None) == (crowd.bots is None):
        yield f"says either `arrivals` or `bots`, here {wanted}"
    elif crowd.role != USER and (crowd.bots is None) == (crowd.role in CLOSED):
        yield f"has {wanted}"
    if crowd.arrivals is not None and not rate(crowd.arrivals):
        yield "never comes: leave it out"
    if crowd.batch != 1 and not is_open_user(crowd):
        yield "has no batch"
    if crowd.mix and (crowd.role != USER or crowd.bots is None):
        yield "has no mix: only users that are bots have one"


def _batch(phase: Phase) -> int:
    return next((each.batch for each in phase.load if is_open_user(each)), 1)
