"""What must come to be, and how far is it? One look at a mesh for each kind of condition.

Do not wait here: `engine.py` does.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from aitbc_toolkit.suites.scenario.arena import Arena, Sight
from aitbc_toolkit.suites.scenario.quantities import seconds, share
from aitbc_toolkit.suites.scenario.wanted import (
    AllAtTip,
    AllVote,
    Condition,
    HeightsAdvance,
    Overlay,
    Punished,
    RateBack,
    Voting,
)
from aitbc_toolkit.suites.scenario.words import Targets
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


def awaited(
    condition: Condition,
    arena: Arena,
    *,
    names: Callable[[Targets], Sequence[str]],
    tip: int,
    since: float,
) -> Awaited:
    """Tell how to look for the one thing that a condition names.

    `names` says whom words mean; blocks are counted from a `tip`, and rates from a moment `since`.
    """
    match condition:
        case Condition(all_at_tip=AllAtTip() as wanted):
            return at_tip(wanted, arena, names=names(wanted.on))
        case Condition(punished=Punished() as guilty):
            return punished(guilty, arena, names=names(guilty.on))
        case Condition(rate_back=RateBack() as rate):
            return rate_back(rate, arena, since=since)
        case Condition(overlay=Overlay() as shape):
            return overlay(shape, arena)
        case Condition(voting=Voting() as voters):
            return voting(voters, arena, names=names(voters.on))
        case Condition(all_vote=AllVote() as whole):
            return all_vote(whole, arena, names=names(whole.on), tip=tip)
    assert condition.heights_advance is not None, "the loading has seen to it"
    return advance(
        condition.heights_advance, arena, names=names(condition.heights_advance.on), tip=tip
    )


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


def rate_back(wanted: RateBack, arena: Arena, *, since: float) -> Awaited:
    """Wait for a swarm's transactions to become final as quickly as they come."""
    part, over_s = share(wanted.share), seconds(wanted.over)
    came: list[float] = []

    def look() -> Look[None]:
        at = arena.kept_up(part, over_s, since=since)
        came[:] = [] if at is None else [at]
        return Look(at is not None, None, f"never so many for {wanted.over}")

    what = f"{wanted.share} of what is due final"
    return Awaited(what, look, seconds(wanted.within), lambda: came[0])


def overlay(wanted: Overlay, arena: Arena) -> Awaited:
    """Wait for every node to have links enough, and for no two of them to be far apart."""

    def look() -> Look[None]:
        graph = arena.overlay()
        if graph is None:
            return Look(done=False, value=None, shown="somebody is silent")
        least, ways = min(graph.degrees().values()), graph.diameter()
        is_well = least >= wanted.degree_min and ways is not None and ways <= wanted.diameter_max
        far = "no way between some" if ways is None else f"{ways} steps between the farthest"
        return Look(is_well, None, f"{least} links at least, {far}")

    what = f"{wanted.degree_min} links each, {wanted.diameter_max} steps between any two"
    return Awaited(what, look, seconds(wanted.within), arena.now)


def voting(wanted: Voting, arena: Arena, *, names: Sequence[str]) -> Awaited:
    """Wait for exactly these to vote on the next block."""

    def look() -> Look[None]:
        have = {name for name, power in arena.powers().items() if power}
        return Look(have == set(names), None, f"{shown(have)} vote")

    return Awaited(f"{shown(names)} vote", look, seconds(wanted.within), arena.now)


def all_vote(wanted: AllVote, arena: Arena, *, names: Sequence[str], tip: int) -> Awaited:
    """Wait for everybody who may vote to have voted above a tip, as blocks show it."""

    def look() -> Look[None]:
        powers, votes = arena.powers(), arena.last_votes()
        due = [name for name in names if powers.get(name) and name not in arena.town.liars]
        left = [f"{name} {votes.get(name, '-')}" for name in due if votes.get(name, 0) <= tip]
        return Look(not left, None, "last votes " + ", ".join(left))

    what = f"{shown(names)} vote above height {tip}"
    return Awaited(what, look, seconds(wanted.within), arena.now)


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
