"""Whom do the words of a scenario mean: `leader`, `any(2)`, `power(<1/3)`? Pure, by what was seen.

What was seen of the mesh is a value; it is old the moment that it is there, as a leader is.
"""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from aitbc_node.rpc import schema
from aitbc_sim import edges as algebra
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.declared import nearest
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment

_CALL = re.compile(r"(any|power|component|role)[(:]\s*([^)]*?)\s*\)?\Z")
_POWER = re.compile(r"([<=])\s*(f|\d+/\d+)\Z")
WORDS = "a name, role:validator, leader, next_leader, any(2), power(<1/3), power(=f), component(a)"


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what is known of a mesh when a fault is aimed.

    `order` are the proposers from the next one on; `groups` are the parts of splits, by name.
    """

    powers: Mapping[str, int]
    order: Sequence[str] = ()
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)


def look(environment: Environment, mesh: MeshClient) -> Seen:
    """Ask the nodes who has which power now, and who is to propose."""
    told = mesh.ask_all(lambda node: node.status())
    found = {name: each for name, each in told.items() if isinstance(each, schema.Status)}
    names = {each.validator: name for name, each in found.items() if each.validator}
    newest = max(found.values(), key=lambda each: each.height, default=None)
    leader = names.get(newest.proposer, "") if newest else ""
    powers = {each.name: each.power for each in environment.instances}
    powers |= {name: each.power for name, each in found.items()}
    voters = sorted(name for name, power in powers.items() if power)
    # Equals take turns in the order of their keys; others are met more often than this says.
    turns = sorted((key, name) for key, name in names.items() if name in voters)
    order = [name for _, name in turns]
    if leader in order:
        at = order.index(leader)
        order = [*order[at:], *order[:at]]
    return Seen(powers, order)


def resolve(words: Iterable[str], seen: Seen, dice: random.Random) -> tuple[str, ...]:
    """Find the nodes that are meant, each once, in the order of the words.

    Raises: UsageError for what is no name and no such word; AitbcError when nobody is meant now.
    """
    found: dict[str, None] = {}
    for word in words:
        names = _meant(word, seen, dice)
        if not names:
            raise AitbcError(
                f"{word} means no node now",
                hint="aitbc network status",
                exit_status=Exit.INFRASTRUCTURE,
            )
        found |= dict.fromkeys(names)
    return tuple(found)


def _meant(word: str, seen: Seen, dice: random.Random) -> Sequence[str]:
    if word in seen.powers:
        return [word]
    if word in {"leader", "next_leader"}:
        at = int(word == "next_leader")
        return seen.order[at : at + 1]
    called = _CALL.match(word)
    if called is None:
        near = nearest(word, [*seen.powers, "leader", "next_leader"])
        raise UsageError(
            f"no node is {word!r}" + (f", the nearest is {near}" if near else ""), hint=WORDS
        )
    match called[1]:
        case "role":
            return _of_role(called[2], seen)
        case "any":
            return _drawn(word, called[2], seen, dice)
        case "component":
            return _part(called[2], seen)
        case _:
            return _with_power(word, called[2], seen, dice)


def _of_role(role: str, seen: Seen) -> Sequence[str]:
    if role not in {"validator", "full"}:
        raise UsageError(f"no node has role {role!r}", hint="role:validator, role:full")
    return [name for name, power in seen.powers.items() if bool(power) == (role == "validator")]


def _drawn(word: str, count: str, seen: Seen, dice: random.Random) -> Sequence[str]:
    if not count.isdigit() or not 1 <= int(count) <= len(seen.powers):
        raise UsageError(f"{word}: from 1 to {len(seen.powers)} nodes", hint=WORDS)
    return dice.sample(sorted(seen.powers), int(count))


def _part(name: str, seen: Seen) -> Sequence[str]:
    if name not in seen.groups:
        near = nearest(name, seen.groups)
        raise UsageError(
            f"no split has a part {name!r}" + (f", the nearest is {near}" if near else ""),
            hint=", ".join(seen.groups) or "no split was made yet",
        )
    return seen.groups[name]


def _with_power(word: str, how: str, seen: Seen, dice: random.Random) -> Sequence[str]:
    """Draw validators whose power is as near to the bound as their order allows."""
    asked = _POWER.match(how)
    if asked is None:
        raise UsageError(f"{word}: it is power(<1/3), power(=1/2) or power(=f)", hint=WORDS)
    voters = [name for name, power in seen.powers.items() if power]
    powers = {name: seen.powers[name] for name in dice.sample(voters, len(voters))}
    total = sum(powers.values())
    try:
        if asked[2] == "f" or (asked[1] == "<" and Fraction(asked[2]) == Fraction(1, 3)):
            return algebra.minority(powers)[0]
        share = Fraction(asked[2])
        group = algebra.by_power(powers, [share, 1 - share])[0]
    except (ValueError, ZeroDivisionError) as none:
        raise AitbcError(f"{word}: {none}", hint=WORDS, exit_status=Exit.INFRASTRUCTURE) from none
    held = sum(powers[name] for name in group)
    if asked[1] == "<" and held >= share * total:
        return group[:-1]
    if asked[1] == "=" and held != share * total:
        raise AitbcError(
            f"{word}: the nearest group has {held} of {total} power",
            hint=WORDS,
            exit_status=Exit.INFRASTRUCTURE,
        )
    return group
