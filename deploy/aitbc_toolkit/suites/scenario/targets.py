"""Whom does a step mean by `leader`, `any(2)` or `power(<1/3)`, and which ways does a cut take?

Pure: chance comes from the caller's dice, so that a seed names the same nodes again.
"""

import random
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from aitbc_sim import edges as algebra
from aitbc_sim.edges import Edges
from aitbc_toolkit.declared import nearest
from aitbc_toolkit.suites.scenario.arena import Sight, Town
from aitbc_toolkit.suites.scenario.schema import Between, FaultStep, Groups, Targets
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

WORDS = ("all", "leader", "others", "role:validator", "role:full", "any(N)", "power(<1/3)")
_ANY = re.compile(r"any\(([0-9]+)\)")


def chosen(
    written: Targets, town: Town, sight: Sight, dice: random.Random, *, hit: Sequence[str] = ()
) -> tuple[str, ...]:
    """Name the nodes that are meant, in the order of the mesh; `others` are those that are not hit.

    Raises: ScenarioError (infrastructure) for a node that the mesh does not have.
    """
    if isinstance(written, list):
        found = {name for each in written for name in chosen(each, town, sight, dice, hit=hit)}
        return tuple(name for name in town.powers if name in found)
    names = tuple(town.powers)
    match written:
        case "all":
            return names
        case "others":
            return tuple(name for name in names if name not in hit)
        case "role:validator":
            return town.validators
        case "role:full":
            return tuple(name for name in names if name not in town.validators)
        case "leader":
            return (sight.leader,) if sight.leader else town.validators[:1]
        case "power(<1/3)" | "power(=f)":
            return algebra.minority(_shuffled(town, dice))[0]
    if counted := _ANY.fullmatch(written):
        return tuple(dice.sample(town.validators, min(int(counted[1]), len(town.validators))))
    if written not in names:
        near = nearest(written, [*names, *WORDS])
        what = f"no node {written!r}" + (f", the nearest is {near}" if near else "")
        raise ScenarioError(Verdict.INFRA, what)
    return (written,)


def cut(step: FaultStep, town: Town, sight: Sight, dice: random.Random) -> Edges[str]:
    """Return the directed ways that a `net.cut` takes.

    Raises: ScenarioError (infrastructure) where this mesh cannot be divided so.
    """
    assert step.between is not None, "the loading has seen to it"
    try:
        groups, ways = _divided(step.between, town, sight, dice)
    except ValueError as wrong:
        raise ScenarioError(Verdict.INFRA, f"cannot be cut so: {wrong}") from wrong
    if step.direction in {"both", "initiate_only"} or not groups:
        return ways
    first, rest = groups[0], [name for group in groups[1:] for name in group]
    if step.direction == "a_to_b":
        return algebra.one_way(first, rest)
    return algebra.one_way(rest, first)


def _divided(
    between: Between, town: Town, sight: Sight, dice: random.Random
) -> tuple[Sequence[Sequence[str]], Edges[str]]:
    """Return the groups, where there are some, and the ways between them."""
    names = tuple(town.powers)
    if between.groups is not None:
        groups = _groups(between.groups, town, dice)
        return groups, algebra.split(groups)
    if between.isolate is not None:
        alone = chosen(between.isolate, town, sight, dice)
        sides = (alone, tuple(name for name in names if name not in alone))
        return sides, algebra.split(sides)
    if between.sides is not None:
        listed = [chosen(side, town, sight, dice) for side in between.sides]
        return listed, algebra.split(listed)
    match between.shape:
        case "majorities_ring":
            quorum = 2 * len(town.validators) // 3 + 1
            return (), algebra.majorities_ring(town.validators, quorum)
        case "bridge":
            order = tuple(_shuffled(town, dice))
            half = len(order) // 2
            return (), algebra.bridge(order[:half], order[half], order[half + 1 :])
        case _:
            alone = chosen("leader", town, sight, dice)
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
