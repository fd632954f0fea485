"""Is what was measured now more than a tenth worse than a stored baseline, and not by chance?

A baseline was measured at another time, so what else has changed on its machine since counts, too:
that is why a tenth must lie between, and `comparing`, whose runs take turns, needs less. What was
measured elsewhere, under another configuration or with other seeds is refused. Pure. Do not add how
runs are made: `rounds.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import msgspec

from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.suites import ranking
from aitbc_toolkit.suites.comparing import CHANCE_MAX, PLAYED, RUNS_MIN

WORSE_MAX = 0.10
"""What is worse by no more is no loss, however sure it is."""
_HELP = "aitbc load baseline judge --help"


@dataclass(frozen=True, slots=True)
class Ran:
    """Hold what one run measured and where; a figure that it lacks is None.

    Of the figures in `rising` more is better, of the others less.
    """

    run: str
    scenario: str
    environment: str
    verdict: str
    seed: int | None
    machine: Mapping[str, Any]
    configuration: str
    builds: tuple[str, ...]
    figures: Mapping[str, float | None]
    rising: frozenset[str] = frozenset()
    rate: float | None = None
    for_s: float | None = None
    """What is asked for, too, where this run is to be played again."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold the runs of one scenario together, as they are stored; a row of figures is by run."""

    schema: int = 1
    scenario: str
    environment: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    machine: dict[str, Any]
    configuration: str
    builds: tuple[str, ...]
    figures: dict[str, tuple[float, ...]]
    rising: tuple[str, ...] = ()
    date: str = ""
    rate: float | None = None
    for_s: float | None = None
    """How many a second each run was asked for, and how long; None is what the scenario says."""
    tier: str = ""
    """How much of a suite's scenario was played; empty is all."""


@dataclass(frozen=True, slots=True)
class Row:
    """Compare one figure. Units: medians as the figure itself; `word` is worse, better or alike."""

    figure: str
    before: float
    now: float
    ratio: float
    p: float
    word: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """Hold what came out."""

    scenario: str
    environment: str
    before: tuple[str, ...]
    now: tuple[str, ...]
    builds: tuple[tuple[str, ...], tuple[str, ...]]
    rows: tuple[Row, ...]
    chance_max: float

    @property
    def is_worse(self) -> bool:
        """Tell whether any figure is worse."""
        return any(row.word == "worse" for row in self.rows)

    def to_document(self) -> dict[str, object]:
        """Write it for programs."""
        verdict = "OBJECTIVE" if self.is_worse else "PASS"
        return {"schema": 1, "verdict": verdict, "worse_max": WORSE_MAX, **asdict(self)}


def gather(scenario: str, environment: str, runs: Sequence[Ran]) -> Baseline:
    """Put runs together.

    Raises: UsageError where they do not belong together, or say nothing; AitbcError where a figure
    is missing.
    """
    if faults := tuple(_faults(scenario, environment, runs)):
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise UsageError(f"these runs are no baseline: {faults[0]}{more}", hint=_HELP)
    first = runs[0]
    return Baseline(
        scenario=scenario,
        environment=environment,
        runs=tuple(each.run for each in runs),
        seeds=tuple(sorted(each.seed for each in runs if each.seed is not None)),
        machine=dict(first.machine),
        configuration=first.configuration,
        builds=first.builds,
        figures={name: tuple(_column(name, runs)) for name in first.figures},
        rising=tuple(sorted(first.rising)),
        rate=first.rate,
        for_s=first.for_s,
    )


def require_ratios(found: Baseline) -> None:
    """Refuse figures of which nothing is so many times as much; what is judged may be any.

    Raises: UsageError where one is 0 or less.
    """
    for name, values in found.figures.items():
        for run, value in zip(found.runs, values, strict=True):
            if value <= 0:
                what = f"{name} cannot be compared by ratio: it is {value:g} in run {run}"
                raise UsageError(what, hint=_HELP)


def judge(before: Baseline, now: Baseline) -> Judgement:
    """Judge runs by a baseline. Raises: UsageError where the two cannot be compared."""
    require_ratios(before)
    if faults := tuple(_differences(before, now)):
        told = "; ".join(faults)
        raise UsageError(f"not comparable with the baseline: {told}", hint=_HELP)
    chance = CHANCE_MAX / len(before.figures)
    rows = tuple(_row(name, before, now, chance) for name in before.figures)
    return Judgement(
        scenario=before.scenario,
        environment=before.environment,
        before=before.runs,
        now=now.runs,
        builds=(before.builds, now.builds),
        rows=rows,
        chance_max=chance,
    )


def _row(name: str, before: Baseline, now: Baseline, chance: float) -> Row:
    a, b = before.figures[name], now.figures[name]
    ratio, p = ranking.ratio(a, b), ranking.p_value(a, b)
    more = 1 - ratio if name in before.rising else ratio - 1
    word = "alike"
    if p <= chance and abs(more) > WORSE_MAX:
        word = "worse" if more > 0 else "better"
    return Row(name, median(a), median(b), ratio, p, word)


def _column(name: str, runs: Sequence[Ran]) -> Iterator[float]:
    for each in runs:
        value = each.figures.get(name)
        if value is None:
            what = f"run {each.run} has no {name}: what was not measured is no baseline"
            raise AitbcError(what, hint="aitbc report list", exit_status=Exit.INCONCLUSIVE)
        yield value


def _faults(scenario: str, environment: str, runs: Sequence[Ran]) -> Iterator[str]:
    """Say why runs do not belong together."""
    for each in runs:
        if each.scenario != scenario:
            yield f"run {each.run} is one of {each.scenario or 'no scenario'}, not of {scenario}"
        elif each.environment != environment:
            yield f"run {each.run} was on {each.environment}, not on {environment}"
        elif each.verdict not in PLAYED:
            yield f"run {each.run} is {each.verdict or 'not judged'}"
        elif not each.machine or not each.configuration or each.seed is None:
            yield f"run {each.run} does not tell its machine, configuration and seed"
        elif not each.figures:
            yield f"run {each.run} measures nothing: {scenario} has no objectives"
    names = [each.run for each in runs]
    yield from (f"run {name} is given twice" for name in set(names) if names.count(name) > 1)
    if len(runs) < RUNS_MIN:
        yield f"{len(runs)} are too few, {RUNS_MIN} are needed to tell a loss from chance"
    figures = runs[0].figures if runs else {}
    if figures and len(runs) >= RUNS_MIN and ranking.p_least(len(runs)) > _share(figures):
        yield f"{len(runs)} runs are too few to judge {len(figures)} figures"
    for what in ("machine", "configuration", "builds"):
        told = {repr(getattr(each, what)): each.run for each in runs}
        if len(told) > 1:
            one, other = sorted(told.values())[:2]
            yield f"runs {one} and {other} differ in {what}"


def _share(figures: Mapping[str, object]) -> float:
    return CHANCE_MAX / len(figures)


def _differences(before: Baseline, now: Baseline) -> Iterator[str]:
    """Name what has to be the same, and is not; the nodes' builds are what is compared."""
    for what in ("scenario", "environment", "machine", "configuration"):
        if getattr(before, what) != getattr(now, what):
            yield f"another {what}"
    if before.seeds != now.seeds:
        yield f"other seeds ({_few(now.seeds)} and not {_few(before.seeds)})"
    if set(before.figures) != set(now.figures):
        yield "other figures"
    if both := set(before.runs) & set(now.runs):
        yield f"run {min(both)} is the baseline's own"


def _few(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, dict.fromkeys(seeds)))
