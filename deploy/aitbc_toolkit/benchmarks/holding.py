"""Which rate does a mesh hold, first for a step and then for the whole of a measurement?

Do not add how a load is played.
"""

import itertools
from collections.abc import Callable
from typing import Any

from aitbc_toolkit.suites import knee
from aitbc_toolkit.suites.knee import Bounds, Outcome, Step

Document = dict[str, Any]

_LEAST, _MOST = 8.0, 1.6
_WHOLES_MAX, _LOWER = 3, 0.9


def highest(attempt: Callable[[str, float], Document], first: float) -> float:
    """Return the highest rate that holds; where none does, the lowest that was tried.

    Shape: `attempt` takes a name and a rate, and is a whole load run.
    """
    numbers = itertools.count(1)

    def step_at(rate: float) -> Step:
        return knee.read(rate, attempt(f"step-{next(numbers)}", rate))

    bounds = Bounds(round(first), round(first / _LEAST), round(first * _MOST))
    found = knee.search(step_at, bounds)
    return found.low.asked if found.low else min(each.asked for each in found.steps)


def sustained(attempt: Callable[[str, float], Document], rate: float) -> tuple[Document, float]:
    """Return a whole run at the rate, or a lower one where that only held for a step."""
    for number in itertools.count(1):
        told = attempt("whole" if number == 1 else f"whole-{number}", rate)
        if number == _WHOLES_MAX or knee.read(rate, told).outcome is not Outcome.BEHIND:
            return told, rate
        rate *= _LOWER
    raise AssertionError("it counts for ever")
