"""What has each node told, and when? The newest minutes of every series, as Prometheus keeps them.

Pure: samples come in with their time. A node that does not answer ends its series at once. Do not
add what follows from a value: `promql` and `alerting`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]

LOOKBACK_S = 300.0
"""A value counts for this long where nothing newer came; as in Prometheus."""
KEPT_S = 900.0
"""Longer than any range in a rule; `rules` refuses one that is not."""


class Sample(NamedTuple):
    """Hold one value that a node told; its labels do not hold the name."""

    name: str
    labels: Labels
    value: float


def labels(told: Mapping[str, str]) -> Labels:
    """Make the labels of a series."""
    return frozenset(told.items())


class Series:
    """Keep the samples of many nodes."""

    def __init__(self) -> None:
        self._points: dict[str, dict[Labels, deque[tuple[float, float | None]]]] = {}
        self._told: set[tuple[str, Labels]] = set()

    def add(self, samples: Iterable[Sample], *, now: float) -> None:
        """Take what all nodes told at one moment; a series that is missing in it has ended."""
        told = set()
        for name, named, value in samples:
            told.add((name, named))
            self._put(name, named, value, now)
        for name, named in self._told - told:
            self._put(name, named, None, now)
        self._told = told

    def at(self, name: str, *, now: float) -> Iterator[tuple[Labels, float]]:
        """Give the newest value of each series of a name that has not ended."""
        for named, points in self._points.get(name, {}).items():
            moment, value = points[-1]
            if value is not None and now - moment < LOOKBACK_S:
                yield named, value

    def over(
        self, name: str, *, now: float, range_s: float
    ) -> Iterator[tuple[Labels, list[float]]]:
        """Give all values of each series of a name since a moment, where there are any."""
        for named, points in self._points.get(name, {}).items():
            values = [
                value for moment, value in points if value is not None and now - moment <= range_s
            ]
            if values:
                yield named, values

    def knows(self, name: str) -> bool:
        """Tell whether any node ever told a metric."""
        return name in self._points

    def _put(self, name: str, named: Labels, value: float | None, now: float) -> None:
        points = self._points.setdefault(name, {}).setdefault(named, deque())
        while points and now - points[0][0] > KEPT_S:
            points.popleft()
        # Of a value that stays only the first and the last sample: no function needs the others.
        if len(points) > 1 and points[-1][1] == points[-2][1] == value:
            points.pop()
        points.append((now, value))
