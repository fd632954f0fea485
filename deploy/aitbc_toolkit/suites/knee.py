"""Which rate does a mesh sustain at most? A bracket of rates is halved until it is narrow.

A step holds where the mesh commits nearly all that is offered, by its blocks; one that does not is
repeated, and counts when it failed twice. Where a failing step shows what was committed meanwhile,
that is tried before the middle. Pure. Do not add how a step is played: `stepping.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import Any, NamedTuple

from aitbc_toolkit.suites.verdicts import Verdict

SUSTAINED = 0.95
"""A step holds where at least this share of what was offered is committed as fast as it comes."""
NARROW = 1.08
"""The bracket is narrow where its top is at most so many times its bottom."""
WHOLE = 0.99
"""What a late swarm has to have offered of what was asked, and the mesh to have made final."""
LATE = ("send lag p99 was ", "the worker used ")
"""How a swarm that was late, and nothing worse, says why it is INVALID: `aitbc_load.judging`."""
_NEAR = 1.2
"""What a failing step committed is a hint only where no step held that far above it."""
_FAILS = 2
_TRIES = 3
_STEPS_MAX = 60


class Outcome(StrEnum):
    """Say what a step shows; `doubtful` says nothing of the mesh, `broken` ends the search."""

    HOLDS = "holds"
    BEHIND = "falls behind"
    DOUBTFUL = "doubtful"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Step:
    """Hold one step. Units: transactions a second; milliseconds until they are final."""

    asked: float
    outcome: Outcome
    why: str = ""
    offered: float = 0.0
    accepted: float = 0.0
    committed: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    lag_p99_ms: float | None = None
    pending: int = 0


class Bounds(NamedTuple):
    """Bound the search, in transactions a second."""

    start: float = 100.0
    least: float = 1.0
    most: float = 5_000.0


@dataclass(frozen=True, slots=True)
class Knee:
    """Hold what was found: the highest step that held, and the lowest above it that did not."""

    steps: tuple[Step, ...]
    low: Step | None
    high: Step | None

    @property
    def rate(self) -> float | None:
        """Return the highest sustained rate, as blocks tell it."""
        return self.low.committed if self.low else None

    @property
    def verdict(self) -> Verdict:
        """Say whether the knee was found, and if not, on whose account."""
        if self.high is not None and self.high.outcome is Outcome.BROKEN:
            return Verdict.SAFETY
        if self.high is not None and self.high.outcome is Outcome.DOUBTFUL:
            return Verdict.INVALID
        return Verdict.PASS if self.low else Verdict.LIVENESS


def search(
    attempt: Callable[[float], Step], bounds: Bounds, tell: Callable[[Step], None] = lambda _: None
) -> Knee:
    """Look for the knee; `tell` hears of every step as it ends."""
    steps: list[Step] = []
    low: Step | None = None
    high: Step | None = None
    rate: float | None = bounds.start
    while rate is not None and len(steps) < _STEPS_MAX:
        step = _settled(attempt, rate, steps, tell)
        if step.outcome is Outcome.HOLDS:
            low = step
        else:
            high = step
        broken = step.outcome is Outcome.BROKEN
        rate = None if broken else _next(low, high, bounds)
    return Knee(tuple(steps), low, high)


def _settled(
    attempt: Callable[[float], Step], rate: float, steps: list[Step], tell: Callable[[Step], None]
) -> Step:
    """Try a rate until it holds, or has failed twice."""
    fails: list[Step] = []
    doubtful: list[Step] = []
    for _ in range(_TRIES):
        step = attempt(rate)
        steps.append(step)
        tell(step)
        if step.outcome in {Outcome.HOLDS, Outcome.BROKEN}:
            return step
        (fails if step.outcome is Outcome.BEHIND else doubtful).append(step)
        if len(fails) == _FAILS:
            break
    # Once behind among doubtful ones is no failure: nothing was said of the mesh.
    return fails[-1] if len(fails) == _FAILS else doubtful[-1]


def _next(low: Step | None, high: Step | None, bounds: Bounds) -> float | None:
    """Choose the next rate; none where all is known that is wanted."""
    if high is None:
        assert low is not None, "a step has ended"
        return min(_round(2 * low.asked), bounds.most) if low.asked < bounds.most else None
    if low is None:
        return max(_round(high.asked / 2), bounds.least) if high.asked > bounds.least else None
    if high.asked <= low.asked * NARROW:
        return None
    floor, ceiling = low.asked * NARROW, high.asked / NARROW
    hint = high.committed if high.outcome is Outcome.BEHIND else None
    if hint is None or hint * _NEAR < low.asked or floor > ceiling:
        return _between(low.asked, high.asked)
    return _round(min(max(hint, floor), ceiling))


def _between(low: float, high: float) -> float | None:
    """Return the middle, None where rounding leaves nothing between."""
    middle = _round(sqrt(low * high))
    return middle if low < middle < high else None


def _round(rate: float) -> float:
    return float(f"{rate:.3g}")


def read(asked: float, told: Mapping[str, Any]) -> Step:
    """Judge one step by what its swarm told."""
    final, lag = told["to_final"]["percentiles_ms"], told["send_lag"]
    offered = _offered(told)
    outcome, why = _judged(offered, told)
    return Step(
        asked=asked,
        outcome=outcome,
        why=why,
        offered=round(offered, 3),
        accepted=told["rates"]["accepted"],
        committed=told["rates"]["committed"],
        p50_ms=final["p50"],
        p95_ms=final["p95"],
        p99_ms=final["p99"],
        lag_p99_ms=lag["percentiles_ms"]["p99"],
        pending=told["books"]["pending"],
    )


def _offered(told: Mapping[str, Any]) -> float:
    """Return what was offered a second until the last went out, however late that was.

    The swarm divides by the time that it took to send. That is shorter than the schedule, whose
    last arrival is due before its end: then the schedule counts.
    """
    return float(min(told["rates"]["offered"], told["books"]["sent"] / told["for_s"]))


def _judged(offered: float, told: Mapping[str, Any]) -> tuple[Outcome, str]:
    """Judge by blocks: that a swarm was late makes its latencies wrong, and not what they hold."""
    why = told["why"][0] if told["why"] else ""
    committed = told["rates"]["committed"]
    if told["verdict"] == Verdict.SAFETY:
        return Outcome.BROKEN, why
    if committed is not None and committed < SUSTAINED * offered:
        return Outcome.BEHIND, f"{100 * committed / offered:.0f} % of what was offered"
    if told["verdict"] == Verdict.LIVENESS:
        return Outcome.BEHIND, why
    if told["verdict"] == Verdict.INVALID and (owed := unkept(told)):
        return Outcome.BEHIND, owed
    if committed is None:
        return Outcome.DOUBTFUL, why or "its transactions lie in fewer than two blocks"
    if told["verdict"] == Verdict.PASS or (told["verdict"] == Verdict.INVALID and is_whole(told)):
        return Outcome.HOLDS, why
    return Outcome.DOUBTFUL, why


def is_whole(told: Mapping[str, Any]) -> bool:
    """Tell whether a swarm was only late, nearly all is final, and every promise was kept."""
    books = told["books"]
    return _is_late(told) and books["final"] >= WHOLE * books["sent"] and books["promised"] == 0


def unkept(told: Mapping[str, Any]) -> str:
    """Say which promises a mesh did not keep to a swarm that was only late; else nothing.

    What was open was looked for in the blocks first, so that lateness does not explain it.
    """
    promised = told["books"]["promised"]
    return f"{promised:,} that a node took were not final" if promised and _is_late(told) else ""


def _is_late(told: Mapping[str, Any]) -> bool:
    """Tell whether a swarm was late, and nothing worse: all was offered, and each check held."""
    return (
        all(line.startswith(LATE) for line in told["why"])
        and told["books"]["sent"] >= WHOLE * told["rates"]["asked"] * told["for_s"]
        and all(row["outcome"] == "held" for row in told["checks"])
    )


def sentence(found: Knee) -> str:
    """Say what was found to somebody who sees it for the first time."""
    low, high = found.low, found.high
    if high is not None and high.outcome is Outcome.BROKEN:
        return (
            f"The search ended at {_short(high.asked)} a second, where a promise broke: {high.why}."
        )
    if low is None or low.committed is None:
        assert high is not None, "a step has ended"
        if high.outcome is Outcome.DOUBTFUL:
            return (
                f"No knee was found: even at {_short(high.asked)} a second it is the swarm"
                f" that cannot be believed ({high.why}), which says nothing of the mesh."
            )
        return f"No knee was found: even {_short(high.asked)} a second did not hold ({high.why})."
    holds = (
        f"this mesh makes {_short(low.committed)} transactions a second final as fast as they come"
    )
    if high is None:
        return f"The knee lies above what was asked: {holds}, at the most that was tried."
    if high.outcome is Outcome.DOUBTFUL:
        return (
            f"The knee was not reached: {holds}, and at {_short(high.asked)} a second"
            f" it is the swarm that cannot be believed ({high.why})."
        )
    return (
        f"The knee is at {_short(low.committed)}: {holds},"
        f" and falls behind when {_short(high.asked)} a second are asked of it."
    )


def _short(rate: float) -> str:
    """Write a rate with three digits."""
    return f"{_round(rate):,g}"
