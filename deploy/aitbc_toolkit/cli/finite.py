"""How is a number of an option read? Between two bounds, which `nan` and `inf` are not.

A run that lasts for ever, or comes infinitely often, cannot be worked out. Do not add what a number
means.
"""

from math import isnan
from typing import Any, Final

import click

_RATE_MAX: Final = 1_000_000
_YEAR_S: Final = 366 * 86_400


class Finite(click.FloatRange):
    """Take a number from `least` to `most`; `nan` is not less than any, and passes no bound."""

    def __init__(self, least: float, most: float) -> None:
        super().__init__(least, most)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it."""
        number: float = super().convert(value, param, ctx)
        if isnan(number):
            self.fail(f"{value} is no number", param, ctx)
        return number


def rate(least: float) -> Finite:
    """Take so many a second; no machine hands in more than a million."""
    return Finite(least, _RATE_MAX)


def seconds(least: float) -> Finite:
    """Take so many seconds; nothing here lasts longer than a year."""
    return Finite(least, _YEAR_S)
