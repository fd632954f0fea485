"""Do the figures of a scenario keep to what was wished for? In one run, and from run to run.

Pure. A figure that is missed is no failure of the mesh: the verdict says OBJECTIVE. One that could
not be measured has not been met.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from aitbc_toolkit.suites.scenario.quantities import number
from aitbc_toolkit.suites.scenario.schema import Case, Objective
from aitbc_toolkit.suites.scenario.words import Value


class Figure(msgspec.Struct, frozen=True):
    """Compare one figure with its bounds."""

    name: str
    measured: float | None
    allowed: str
    met: bool

    @property
    def told(self) -> str:
        """Write both numbers."""
        told = "not measured" if self.measured is None else f"{self.measured:.1f}"
        return f"{self.name} {told}, allowed {self.allowed}"


def judge(case: Case, records: Mapping[str, float]) -> Iterator[Figure]:
    """Judge what one run recorded; growth needs several."""
    for name, objective in case.written.objectives.items():
        if not objective.of:
            yield _figure(name, records.get(name), objective)


def growth(cases: Sequence[tuple[Case, Mapping[str, float]]]) -> Iterator[Figure]:
    """Judge how a figure grows from the least to the greatest value of a dimension."""
    if not cases:
        return
    for name, objective in cases[0][0].written.objectives.items():
        of_it = [(case, records) for case, records in cases if objective.over in case.choice]
        if any(objective.of not in records for _, records in of_it):
            yield _figure(name, None, objective)
            continue
        rows = sorted(
            (_size(case.choice[objective.over]), records[objective.of]) for case, records in of_it
        )
        least = max(rows[0][1], number(objective.floor)) if rows else 0.0
        if len(rows) > 1 and least > 0:
            yield _figure(name, max(rows[-1][1], least) / least, objective)


def _size(value: Value) -> float:
    return number(value)


def _figure(name: str, measured: float | None, objective: Objective) -> Figure:
    low = -float("inf") if objective.min is None else number(objective.min)
    high = float("inf") if objective.max is None else number(objective.max)
    bounds = [
        f"{word} {bound}"
        for word, bound in (("at least", objective.min), ("at most", objective.max))
        if bound is not None
    ]
    allowed = " and ".join(bounds)
    if measured is None:
        return Figure(name, None, allowed, met=False)
    return Figure(name, round(measured, 3), allowed, low <= measured <= high)
