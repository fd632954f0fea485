"""How is a number of an option read? Between two bounds, which `nan` and `inf` are not.

A run that lasts for ever, or comes infinitely often, cannot be worked out. Do not add what a number
means.
"""

from math import isnan
from typing import Any

import click

from aitbc_toolkit.suites.scenario.quantities import LASTS_MAX_S, RATE_MAX


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
    return Finite(least, RATE_MAX)


def seconds(least: float) -> Finite:
    """Take so many seconds; nothing here lasts longer than a year."""
    return Finite(least, LASTS_MAX_S)
