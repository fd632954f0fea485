"""How does a figure grow with what was chosen? Cases of one scenario beside each other.

Pure. `partition/quorum-loss[5s]` and `[30s]` are two cases: a recovery of each, over the outage.
"""

from collections.abc import Sequence

import msgspec

from aitbc_toolkit.suites.report.recorded import Objective
from aitbc_toolkit.suites.report.words import clean, number

BARS_MAX, GROUPS_MAX = 20, 20
BAR_WIDTH = 600


class Bar(msgspec.Struct, frozen=True):
    """Be one case: its figure as a number and as a length."""

    choice: str
    measured: str
    allowed: str
    width: int
    is_met: bool


class Group(msgspec.Struct, frozen=True):
    """Be all cases of a scenario that measured the same figure."""

    title: str
    bars: tuple[Bar, ...]


def groups(objectives: Sequence[Objective]) -> list[Group]:
    """Group what was measured in more than one case, in the order of the cases."""
    found: dict[tuple[str, str], list[tuple[str, Objective]]] = {}
    for each in objectives:
        scenario, is_case, choice = each.scenario.partition("[")
        if is_case and each.measured is not None:
            found.setdefault((scenario, each.name), []).append((choice.rstrip("]"), each))
    several = [(title, rows) for title, rows in found.items() if len(rows) > 1]
    return [
        Group(clean(f"{name} of {scenario}"), _bars(rows[:BARS_MAX]))
        for (scenario, name), rows in several[:GROUPS_MAX]
    ]


def _bars(rows: Sequence[tuple[str, Objective]]) -> tuple[Bar, ...]:
    longest = max(each.measured or 0.0 for _, each in rows)
    return tuple(
        Bar(
            clean(choice, limit=40),
            number(each.measured),
            clean(each.allowed, limit=80),
            _width(each.measured or 0.0, longest),
            each.met is True,
        )
        for choice, each in rows
    )


def _width(measured: float, longest: float) -> int:
    part = measured / longest if longest > 0 else 0.0
    return max(1, round(min(1.0, max(0.0, part)) * BAR_WIDTH))
