"""Is one set of load runs slower than another, by more than chance and by enough to matter?

Sets that differ in machine, configuration or seed are refused, and so are runs that say nothing, or
came one set after the other: what differs then may be anything. Pure. Do not add how runs are made
or found: `rivalry.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final, NamedTuple

from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.suites import ranking
from aitbc_toolkit.suites.verdicts import Verdict

RUNS_MIN = 5
CHANCE_MAX = 0.05
"""How often two equal sets may be called different; several judged figures share it."""
EFFECT_MIN = 0.05
"""What differs by less is not called different, however sure it is."""
JUDGED: Final = ("final_p95",)
PLAYED = frozenset({Verdict.PASS, Verdict.OBJECTIVE})
"""How a run ends that says something of a mesh which does its work."""

Document = Mapping[str, Any]


class Figure(NamedTuple):
    """Say where a figure stands in a result, and whether more of it is better."""

    path: tuple[str, ...]
    more_is_better: bool = False


FIGURES: Mapping[str, Figure] = {
    "final_p50": Figure(("to_final", "percentiles_ms", "p50")),
    "final_p95": Figure(("to_final", "percentiles_ms", "p95")),
    "final_p99": Figure(("to_final", "percentiles_ms", "p99")),
    "answer_p95": Figure(("submit", "percentiles_ms", "p95")),
    "committed": Figure(("rates", "committed"), more_is_better=True),
}
"""Units: milliseconds from the intended start; committed transactions a second."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Hold one run: its number, when it began, how it ended and what the swarm told."""

    run: str
    began: str
    verdict: str
    result: Document | None


@dataclass(frozen=True, slots=True)
class Row:
    """Compare one figure; `word` is better, worse or alike, and empty where it is only told."""

    figure: str
    first: float
    second: float
    ratio: float
    p: float
    word: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Hold what came out. Units: medians as the figures themselves."""

    runs: tuple[tuple[str, ...], tuple[str, ...]]
    builds: tuple[str, str]
    rows: tuple[Row, ...]
    chance_max: float
    effect_min: float

    @property
    def is_worse(self) -> bool:
        """Tell whether the second is worse in any judged figure."""
        return any(row.word == "worse" for row in self.rows)

    def to_document(self) -> dict[str, object]:
        """Write it for programs."""
        return {"schema": 1, **asdict(self), "is_worse": self.is_worse}


def compare(
    first: Sequence[Taken],
    second: Sequence[Taken],
    *,
    judged: Sequence[str] = JUDGED,
    effect_min: float = EFFECT_MIN,
) -> Comparison:
    """Compare two sets of runs.

    Raises: UsageError where they cannot be compared; AitbcError where a figure is missing.
    """
    if faults := tuple(_faults(first, second, judged)):
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise UsageError(
            f"these runs cannot be compared: {faults[0]}{more}", hint="aitbc load compare --help"
        )
    chance = CHANCE_MAX / len(judged)
    rows = []
    for name, figure in FIGURES.items():
        try:
            a, b = _figures(name, first), _figures(name, second)
        except AitbcError:
            if name in judged:
                raise
            continue
        rows.append(_row(name, figure, a, b, chance if name in judged else 0.0, effect_min))
    runs = tuple(each.run for each in first), tuple(each.run for each in second)
    builds = _build(first), _build(second)
    return Comparison(runs, builds, tuple(rows), chance, effect_min)


def _row(
    name: str, figure: Figure, a: list[float], b: list[float], chance: float, effect_min: float
) -> Row:
    """Judge one figure; without any chance it is only told."""
    ratio, p = ranking.ratio(a, b), ranking.p_value(a, b)
    word = ""
    if chance:
        is_real = p <= chance and max(ratio, 1 / ratio if ratio else float("inf")) >= 1 + effect_min
        better = "better" if (ratio > 1) is figure.more_is_better else "worse"
        word = better if is_real else "alike"
    return Row(name, median(a), median(b), ratio, p, word)


def _figures(name: str, side: Sequence[Taken]) -> list[float]:
    found = []
    for each in side:
        value = figure(each.result or {}, name)
        if value is None:
            what = f"run {each.run} has no {name}: what was not measured is not compared"
            raise AitbcError(what, hint="aitbc load status", exit_status=Exit.INCONCLUSIVE)
        found.append(value)
    return found


def figure(result: Document, name: str) -> float | None:
    """Read one figure of a result; none where it was not measured."""
    value: Any = result
    for key in FIGURES[name].path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _faults(
    first: Sequence[Taken], second: Sequence[Taken], judged: Sequence[str]
) -> Iterator[str]:
    """Say why sets cannot be compared."""
    for each in (*first, *second):
        if each.verdict not in PLAYED or each.result is None:
            yield f"run {each.run} is {each.verdict or 'not judged'}"
    if any(each.result is None for each in (*first, *second)):
        return
    counts = len(first), len(second)
    if min(counts) < RUNS_MIN or counts[0] != counts[1]:
        yield (
            f"{counts[0]} runs and {counts[1]}: as many a side are needed, {RUNS_MIN} at the least"
        )
    elif ranking.p_least(counts[0]) > CHANCE_MAX / len(judged):
        yield f"{counts[0]} runs a side are too few to judge {len(judged)} figures"
    if both := {each.run for each in first} & {each.run for each in second}:
        yield f"run {min(both)} is on both sides"
    elif not _alternate(first, second):
        yield "they did not alternate: what else changed meanwhile would be taken for a difference"
    yield from _differences((*first, *second))
    for side in (first, second):
        if len({_build_of(each) for each in side}) > 1:
            yield f"run {side[0].run} and others of its side are of different versions"


def _alternate(first: Sequence[Taken], second: Sequence[Taken]) -> bool:
    """Tell whether, in the order of time, every pair of runs holds one of each side."""
    rows = [(each.began, each.run, "a") for each in first]
    rows += [(each.began, each.run, "b") for each in second]
    sides = [side for *_, side in sorted(rows)]
    return all(a != b for a, b in zip(sides[::2], sides[1::2], strict=False))


def _differences(runs: Sequence[Taken]) -> Iterator[str]:
    """Name what has to be the same in all runs, and is not."""
    for what, of in (("machine", _machine), ("configuration", _configured), ("seed", _seed)):
        told = {repr(of(each)): each.run for each in runs}
        if len(told) > 1:
            one, other = sorted(told.values())[:2]
            yield f"runs {one} and {other} differ in {what}"
        elif told and of(runs[0]) is None:
            yield f"run {runs[0].run} does not tell its {what}"


def _machine(run: Taken) -> object:
    told = _circumstances(run)
    machine = {key: value for key, value in told.get("machine", {}).items() if key != "load"}
    # Libraries come and go with the versions that are compared.
    return (machine, told.get("versions", {}).get("python")) if machine else None


def _configured(run: Taken) -> object:
    return _circumstances(run).get("configuration")


def _seed(run: Taken) -> object:
    return run.result.get("seed") if run.result else None


def _build(side: Sequence[Taken]) -> str:
    return _build_of(side[0])


def _build_of(run: Taken) -> str:
    return " ".join(_circumstances(run).get("builds", []))


def _circumstances(run: Taken) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (run.result or {}).get("circumstances", {})
    return found
