"""Whom does a step mean by `leader`, `any(2)` or `power(<1/3)`, and which ways does a cut take?

Pure: chance comes from the caller's dice, so that a seed names the same nodes again.
"""

import difflib
import random
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from aitbc_sim import edges as algebra
from aitbc_sim.edges import Edges
from aitbc_toolkit.declared import NAME, nearest
from aitbc_toolkit.suites.scenario.arena import Sight, Town
from aitbc_toolkit.suites.scenario.schema import Between, FaultStep, Groups
from aitbc_toolkit.suites.scenario.words import Targets
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

WORDS = (
    "all",
    "leader",
    "next_leader",
    "others",
    "honest",
    "liars",
    "role:validator",
    "role:full",
    "any(N)",
    "fresh(N)",
    "unhit(N)",
    "power(<1/3)",
    "component(STEP.a)",
)
_ALIKE = 0.85
"""`leadr` is nearly `leader`; `paris-1` and `liars` are only a little alike."""
PLAIN = tuple(word for word in WORDS if "(" not in word)
_COUNTED = re.compile(r"(any|fresh|unhit)\(([1-9][0-9]{0,3})\)")
_CALLED = re.compile(r"(any|fresh|unhit)\([1-9][0-9]{0,3}\)|power\((<1/3|=f)\)")
_PART = re.compile(r"component\(([a-z0-9_-]+)\.([a-z])\)")


class Aim(NamedTuple):
    """Hold what words are understood by: the mesh, what was seen of it, what was done to it."""

    town: Town
    sight: Sight
    dice: random.Random
    next_leader: Callable[[], str]
    hit: Collection[str] = ()
    """Whom a fault hits now."""
    ever_hit: Collection[str] = ()
    groups: Mapping[str, Sequence[Sequence[str]]] = {}
    """What each fault has divided the mesh into, by the name of its step."""


def chosen(written: Targets, aim: Aim) -> tuple[str, ...]:
    """Name the nodes that are meant, in the order of the mesh; `others` are those that are not hit.

    Raises: ScenarioError (infrastructure) for a node that the mesh does not have, or not now.
    """
    town = aim.town
    names = tuple(town.powers)
    if isinstance(written, list):
        found = {name for each in written for name in chosen(each, aim)}
        return tuple(name for name in names if name in found)
    match written:
        case "all":
            return names
        case "others" | "honest" | "role:full":
            without = {"others": aim.hit, "honest": town.liars, "role:full": town.validators}
            return tuple(name for name in names if name not in without[written])
        case "liars":
            return tuple(name for name in names if name in town.liars)
        case "role:validator":
            return town.validators
        case "leader":
            return (aim.sight.leader,) if aim.sight.leader else town.validators[:1]
        case "next_leader":
            if not (name := aim.next_leader()):
                raise ScenarioError(Verdict.INFRA, "no node tells who is to propose next")
            return (name,)
        case "power(<1/3)" | "power(=f)":
            return algebra.minority(_shuffled(town, aim.dice))[0]
    if counted := _COUNTED.fullmatch(written):
        return _drawn(aim, counted[1], int(counted[2]))
    if part := _PART.fullmatch(written):
        return _part(aim, part[1], part[2])
    if written not in names:
        near = nearest(written, [*names, *WORDS])
        what = f"no node {written!r}" + (f", the nearest is {near}" if near else "")
        raise ScenarioError(Verdict.INFRA, what)
    return (written,)


def is_known(word: str, ids: Collection[str]) -> bool:
    """Tell whether a word is one of these, or may be a node's name; `ids` are the steps before."""
    part = _PART.fullmatch(word)
    return part[1] in ids if part else is_name(word) or _is_word(word)


def is_name(word: str) -> bool:
    """Tell whether a word can only be the name of a node."""
    return bool(NAME.fullmatch(word)) and word not in PLAIN


def meant(name: str) -> str:
    """Find the word that was probably meant by what might be a node's name, or nothing."""
    return next(iter(difflib.get_close_matches(name, PLAIN, n=1, cutoff=_ALIKE)), "")


def _is_word(word: str) -> bool:
    return word in PLAIN or bool(_CALLED.fullmatch(word))


def _drawn(aim: Aim, how: str, count: int) -> tuple[str, ...]:
    """Draw validators; fresh ones were never hit by the scenario, unhit ones are not hit now."""
    among = aim.town.validators
    without = {"any": (), "fresh": aim.ever_hit, "unhit": aim.hit}[how]
    among = tuple(name for name in among if name not in without)
    if how != "any" and len(among) < count:
        why = f"{len(among)} validators were not hit yet, {count} are asked for"
        raise ScenarioError(Verdict.INFRA, why)
    return tuple(aim.dice.sample(among, min(count, len(among))))


def _part(aim: Aim, step: str, letter: str) -> tuple[str, ...]:
    groups, place = aim.groups.get(step, ()), ord(letter) - ord("a")
    if place >= len(groups):
        raise ScenarioError(Verdict.INFRA, f"{step} has divided the mesh in {len(groups)} parts")
    return tuple(groups[place])


def cut(step: FaultStep, aim: Aim) -> tuple[tuple[tuple[str, ...], ...], Edges[str]]:
    """Return what a `net.cut` divides the mesh into, and the directed ways that it takes.

    Raises: ScenarioError (infrastructure) where this mesh cannot be divided so.
    """
    assert step.between is not None, "the loading has seen to it"
    try:
        sides, ways = _divided(step.between, aim)
    except ValueError as wrong:
        raise ScenarioError(Verdict.INFRA, f"cannot be cut so: {wrong}") from wrong
    groups = tuple(map(tuple, sides))
    if step.direction in {"both", "initiate_only"} or not groups:
        return groups, ways
    first, rest = groups[0], [name for group in groups[1:] for name in group]
    if step.direction == "a_to_b":
        return groups, algebra.one_way(first, rest)
    return groups, algebra.one_way(rest, first)


def _divided(between: Between, aim: Aim) -> tuple[Sequence[Sequence[str]], Edges[str]]:
    """Return the groups, where there are some, and the ways between them."""
    town, dice = aim.town, aim.dice
    names = tuple(town.powers)
    if between.groups is not None:
        groups = _groups(between.groups, town, dice)
        return groups, algebra.split(groups)
    if between.isolate is not None:
        alone = chosen(between.isolate, aim)
        sides = (alone, tuple(name for name in names if name not in alone))
        return sides, algebra.split(sides)
    if between.sides is not None:
        listed = [chosen(side, aim) for side in between.sides]
        return listed, algebra.split(listed)
    if between.ways is not None:
        ways = [way.partition(">") for way in between.ways]
        ends = [chosen([one], aim) + chosen([other], aim) for one, _, other in ways]
        return (), frozenset((one, other) for one, other in ends)
    match between.shape:
        case "majorities_ring":
            quorum = 2 * len(town.validators) // 3 + 1
            return (), algebra.majorities_ring(town.validators, quorum)
        case "bridge":
            order = tuple(_shuffled(town, dice))
            half = len(order) // 2
            return (), algebra.bridge(order[:half], order[half], order[half + 1 :])
        case _:
            alone = chosen("leader", aim)
            sides = (alone, tuple(name for name in names if name not in alone))
            return sides, algebra.split(sides)


def _groups(groups: Groups, town: Town, dice: random.Random) -> tuple[tuple[str, ...], ...]:
    """Divide the nodes by shares; who has no vote goes round the groups."""
    shares = [Fraction(part.removesuffix("%")) / 100 for part in groups.parts]
    if groups.by == "count":
        order = list(_shuffled(town, dice)) if groups.pick == "seeded" else list(town.powers)
        return algebra.by_power(dict.fromkeys(order, 1), shares)
    powers = _shuffled(town, dice) if groups.pick == "seeded" else town.powers
    voters = {name: power for name, power in powers.items() if power}
    sides = [list(side) for side in algebra.by_power(voters, shares)]
    for place, name in enumerate(name for name, power in powers.items() if not power):
        sides[place % len(sides)].append(name)
    return tuple(map(tuple, sides))


def _shuffled(town: Town, dice: random.Random) -> Mapping[str, int]:
    order = list(town.powers)
    dice.shuffle(order)
    return {name: town.powers[name] for name in order}
