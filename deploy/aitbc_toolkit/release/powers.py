"""How much voting power has each node, and the whole set? As the mesh itself tells, now.

An inventory says with how much a chain was founded; stakes, jails and proposals move it since. No
node is believed alone: one of them may run the release that is tried. Only where no node tells, the
inventory is believed. What may be spared is judged in `waves`.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import configuring
from aitbc_toolkit.release.reading import Mesh

Statuses = Mapping[str, schema.Status | None]


@dataclass(frozen=True, slots=True)
class Powers:
    """Hold each node's voting power, and that of the whole set, whoever is in it.

    `told_by` says which nodes told, nobody where the inventory had to be believed; where too few of
    them `agree`, each node has the least that was told of it, and the whole set the most.
    """

    of: Mapping[str, int]
    total: int
    told_by: str = ""
    agree: bool = True

    @property
    def needed(self) -> int:
        """Give the least power with which blocks are made."""
        return 2 * self.total // 3 + 1

    def sum(self, names: Collection[str]) -> int:
        """Sum the voting power of the named nodes."""
        return sum(self.of.get(name, 0) for name in names)

    def written(self) -> str:
        """Write the whole and what is needed of it, and whose word that is."""
        source = f"told by {self.told_by}" if self.told_by else "by the inventory"
        source = source if self.agree else f"{self.told_by} differ; the least of each is counted"
        return f"total {self.total}, quorum is more than 2/3: at least {self.needed} ({source})"


def founded(environment: Environment) -> Powers:
    """Give the power that the inventory founds a chain with."""
    of = {each.name: each.power for each in environment.instances}
    return Powers(of, sum(of.values()))


def told(mesh: Mesh, statuses: Statuses) -> Powers:
    """Ask every node who may vote; believe what most of them tell, who hold two thirds by that.

    Who holds the power is in the answer itself, so one node could give itself all of it: most nodes
    that answer have to agree, too. Where they do not, nothing is spared that any answer forbids.
    A node whose key nobody knows counts nothing: what cannot be shown cannot be relied on.
    """
    there = {name: status for name, status in statuses.items() if status is not None}
    answers = mesh.ask_each(list(there), "/validators", schema.Validators)
    found = {
        name: _shares(mesh.environment, there, answer)
        for name, answer in answers.items()
        if answer is not None
    }
    if not found:
        return founded(mesh.environment)
    alike = Counter(found.values())
    best, count = alike.most_common(1)[0]
    who = [name for name, shares in found.items() if shares == best]
    powers = Powers(dict(best.of), best.total, _named(who))
    if 2 * count > len(found) and 3 * powers.sum(who) > 2 * powers.total:
        return powers
    least = {name: min(dict(each.of)[name] for each in alike) for name, _ in best.of}
    return Powers(least, max(each.total for each in alike), _named(list(found)), len(alike) == 1)


class _Shares(NamedTuple):
    """Hold one answer by nodes; it can be compared and counted."""

    of: tuple[tuple[str, int], ...]
    total: int


def _shares(
    environment: Environment, there: Mapping[str, schema.Status], answer: schema.Validators
) -> _Shares:
    powers = {each.key: each.power for each in answer.validators}
    keys = _keys(environment, there, in_set=powers)
    of = tuple(sorted((name, powers.get(key, 0)) for name, key in keys.items()))
    return _Shares(of, answer.total_power)


def _keys(
    environment: Environment, there: Mapping[str, schema.Status], *, in_set: Collection[str]
) -> dict[str, str]:
    """Find each node's consensus key: of those we know the one that votes, else by its own word.

    Known are the key of its making and those that it was rotated to. A key that two nodes call
    theirs is nobody's.
    """
    known = configuring.known_keys(environment) or {}
    ours = {name: _voting(parts, in_set=in_set) for name, parts in known.items()}
    said = {name: status.validator or "" for name, status in there.items()}
    taken = set(ours.values())
    free = Counter(key for key in said.values() if key not in taken)
    own = {name: key for name, key in said.items() if free[key] == 1}
    names = [each.name for each in environment.instances]
    return {name: ours.get(name) or own.get(name, "") for name in names}


def _voting(parts: Mapping[str, Any], *, in_set: Collection[str]) -> str:
    keys = [parts.get("consensus_key", ""), *parts.get("later_keys", ())]
    return next((key for key in keys if key in in_set), "")


def _named(names: list[str]) -> str:
    more = len(names) - 1
    return names[0] + (f" and {more} other{'s' if more > 1 else ''}" if more else "")
