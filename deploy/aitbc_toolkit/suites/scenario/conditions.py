"""What must come to be, and how far is it? One look at a mesh for each kind of condition.

Do not wait here: `engine.py` does.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from aitbc_toolkit.suites.scenario.arena import Arena, Sight
from aitbc_toolkit.suites.scenario.quantities import seconds
from aitbc_toolkit.suites.scenario.schema import AllAtTip, HeightsAdvance, Punished
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.suites.waiting import Look

_SHOWN = 7


class Awaited(NamedTuple):
    """Hold what is waited for in words, how to look for it, the deadline, and the moment."""

    what: str
    look: Callable[[], Look[None]]
    within_s: float
    came: Callable[[], float]
    """Tell when it came to be, once it has."""


def advance(wanted: HeightsAdvance, arena: Arena, *, names: Sequence[str], tip: int) -> Awaited:
    """Wait for nodes to come so far above a tip."""
    aim = tip + wanted.by

    def look() -> Look[None]:
        heights = arena.sight().heights
        low = [f"{name} {heights.get(name, '-')}" for name in names if heights.get(name, -1) < aim]
        return Look(not low, None, "heights " + ", ".join(low))

    def came() -> float:
        return max((arena.reached(name, aim) for name in names), default=arena.now())

    return Awaited(f"height {aim} on {shown(names)}", look, seconds(wanted.within), came)


def at_tip(wanted: AllAtTip, arena: Arena, *, names: Sequence[str]) -> Awaited:
    """Wait for nodes to be near the highest of all."""

    def look() -> Look[None]:
        sight = arena.sight()
        heights, least = sight.heights, sight.tip - wanted.lag
        far = [
            f"{name} {heights.get(name, '-')}" for name in names if heights.get(name, -1) < least
        ]
        # Without the tip: others' progress must not stretch the wait for those who make none.
        return Look(not far, None, "behind: " + ", ".join(far))

    what = f"all within {wanted.lag} of the tip"
    return Awaited(what, look, seconds(wanted.within), arena.now)


def punished(wanted: Punished, arena: Arena, *, names: Sequence[str]) -> Awaited:
    """Wait for the ledger to name the guilty. Raises: ScenarioError (safety) for another one."""

    def look() -> Look[None]:
        told = arena.punished()
        if others := told.difference(names):
            raise ScenarioError(Verdict.SAFETY, f"{shown(others)} punished, and did no wrong")
        left = set(names) - told
        return Look(not left, None, f"not punished yet: {shown(left)}")

    return Awaited(f"{shown(names)} punished", look, seconds(wanted.within), arena.now)


def require_heard(group: Collection[str], sight: Sight) -> None:
    """Require an answer of anybody: what is said of a silent group would hold of any.

    Raises: ScenarioError (inconclusive).
    """
    if not set(group) & sight.heights.keys():
        raise ScenarioError(Verdict.INCONCLUSIVE, f"nobody of {shown(group)} was heard")


def shown(names: Collection[str]) -> str:
    """Write a group of nodes, the first few of them by name."""
    first = sorted(names)[:_SHOWN]
    more = len(names) - len(first)
    return f"[{' '.join(first)}{f' and {more} more' if more else ''}]"
