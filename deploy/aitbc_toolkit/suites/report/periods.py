"""What did faults do to transactions? Before the first, during any and behind the last.

From the log of latencies where there is one, so that percentiles are those of all transactions of a
period; else the middle second stands for it. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from hdrh.histogram import HdrHistogram

from aitbc_toolkit.suites.report import hdr_text, words
from aitbc_toolkit.suites.report.recorded import Interval
from aitbc_toolkit.suites.report.scenes import Scene

BACK_TIMES = 1.2
"""Latency is back where p95 is at most so many times that of before."""
_STEADY = 3
"""For so many seconds in a row."""
_SECOND = 1.0
"""A row tells of the second before it."""
_PERCENTS = ("p50", "p95", "p99")


class Periods(NamedTuple):
    """Be a table, whether its percentiles are exact, and a sentence on the way back."""

    rows: Sequence[Mapping[str, str]] = ()
    exact: bool = False
    back: str = ""


class Period(NamedTuple):
    """Be one period. Units: transactions; milliseconds until final."""

    name: str
    accepted: int
    final: int
    refused: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    def to_words(self) -> dict[str, str]:
        """Write it as a row of the table."""
        counts = {name: f"{getattr(self, name):,}" for name in ("accepted", "final", "refused")}
        shown = {name: _ms(getattr(self, f"{name}_ms")) for name in _PERCENTS}
        return {"name": self.name, **counts, **shown}


def periods(scene: Scene) -> Periods:
    """Compare the three periods; nothing where there was no fault or no load."""
    found = list(_periods(scene))
    exact = bool(found and scene.intervals)
    return Periods([each.to_words() for each in found], exact, _told(scene) if exact else "")


def figures(found: Iterable[Scene]) -> dict[str, object] | None:
    """Tell the same for programs, of the first scene in which anything was broken.

    Units: `back_s` seconds from the last fault's end until p95 was back; None where it was not.
    """
    for scene in found:
        if scene.intervals and (rows := list(_periods(scene))):
            return {"periods": [each._asdict() for each in rows], "back_s": _back_s(scene)}
    return None


def _periods(scene: Scene) -> Iterator[Period]:
    if not scene.load or not scene.windows:
        return
    first, last = _ends(scene)
    for name, begin, end in _spans(first, last, scene.length):
        load = [row for at, row in scene.load if begin <= at - _SECOND / 2 < end]
        percents = (
            _exact(scene.intervals, begin, end, is_whole=name == "during")
            if scene.intervals
            else [_middle(getattr(row, f"{p}_ms") for row in load) for p in _PERCENTS]
        )
        counts = (sum(getattr(row, n) for row in load) for n in ("accepted", "final", "refused"))
        yield Period(name, *counts, *percents)


def _ends(scene: Scene) -> tuple[float, float]:
    """Tell when the first fault began, and when the last was over."""
    first = min(each.begin for each in scene.windows)
    return first, max(scene.length if each.end is None else each.end for each in scene.windows)


def _spans(first: float, last: float, length: float) -> Iterator[tuple[str, float, float]]:
    yield "before", -_SECOND, first
    yield "during", first, last
    yield "after", last, length + _SECOND


def _exact(
    intervals: Sequence[Interval], begin: float, end: float, *, is_whole: bool
) -> list[float | None]:
    """Tell the percentiles of a period; a second at its edge belongs to the faults."""
    merged = _merged(
        each
        for each in intervals
        if (each.until_at > begin and each.from_at < end if is_whole else _inside(each, begin, end))
    )
    return [_percentile(merged, float(name[1:])) for name in _PERCENTS]


def _inside(each: Interval, begin: float, end: float) -> bool:
    return begin <= each.from_at and each.until_at <= end


def _merged(intervals: Iterable[Interval]) -> HdrHistogram | None:
    merged = None
    for each in intervals:
        counted = hdr_text.decode(each.hdr)
        if merged is None:
            merged = counted
        elif counted is not None:
            merged.add(counted)
    return merged


def _percentile(counted: HdrHistogram | None, percent: float) -> float | None:
    """Return a percentile in milliseconds."""
    if counted is None or not counted.get_total_count():
        return None
    return float(counted.get_value_at_percentile(percent)) / 1000


def _told(scene: Scene) -> str:
    """Say how long after the last fault p95 was as it had been before the first."""
    if _usual_ms(scene) is None:
        return "nothing was final before the first fault, so nobody knows what latency should be"
    back_s = _back_s(scene)
    if back_s is None:
        return f"p95 did not come back to {BACK_TIMES:g} times that of before within this run"
    span = words.span(back_s)
    return f"p95 was back at {BACK_TIMES:g} times that of before {span} after the last fault"


def _usual_ms(scene: Scene) -> float | None:
    """Return p95 of before the first fault."""
    first, _ = _ends(scene)
    return _percentile(_merged(each for each in scene.intervals if each.until_at <= first), 95)


def _back_s(scene: Scene) -> float | None:
    """Return how long after the last fault p95 was back, and stayed."""
    wanted = _usual_ms(scene)
    _, last = _ends(scene)
    if wanted is None:
        return None
    # A second in which nothing was final is not back.
    after = [(at, row.p95_ms) for at, row in scene.load if at - _SECOND >= last]
    good = [p95_ms is not None and p95_ms <= BACK_TIMES * wanted for _, p95_ms in after]
    for place, (at, _) in enumerate(after):
        seconds = good[place : place + _STEADY]
        if len(seconds) == _STEADY and all(seconds):
            return round(at - _SECOND - last, 3)
    return None


def _middle(values: Iterable[float | None]) -> float | None:
    """Tell the middle second; percentiles of seconds cannot be added up to one of them all."""
    told = sorted(value for value in values if value is not None)
    return told[len(told) // 2] if told else None


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
