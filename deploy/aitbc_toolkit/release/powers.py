"""How much voting power has each node, and the whole set? As the mesh itself tells, now.

An inventory says with how much a chain was founded; stakes, jails and proposals move it since. Only
where no node tells, the inventory is believed. What may be spared is judged in `waves`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import configuring
from aitbc_toolkit.release.reading import Mesh

Statuses = Mapping[str, schema.Status | None]


@dataclass(frozen=True, slots=True)
class Powers:
    """Hold each node's voting power, and that of the whole set, whoever is in it.

    `told_by` names the node that told, nobody where the inventory had to be believed.
    """

    of: Mapping[str, int]
    total: int
    told_by: str = ""

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
        return f"total {self.total}, quorum is more than 2/3: at least {self.needed} ({source})"


def founded(environment: Environment) -> Powers:
    """Give the power that the inventory founds a chain with."""
    of = {each.name: each.power for each in environment.instances}
    return Powers(of, sum(of.values()))


def told(mesh: Mesh, statuses: Statuses) -> Powers:
    """Ask who may vote on the next height; the node that is farthest ahead is asked first.

    A node whose key nobody knows counts nothing: what cannot be shown cannot be relied on.
    """
    environment = mesh.environment
    answering = {name: status for name, status in statuses.items() if status is not None}
    for name in sorted(answering, key=lambda name: -answering[name].height):
        answer = mesh.ask(environment.instance(name), "/validators", schema.Validators)
        if answer is not None:
            powers = {each.key: each.power for each in answer.validators}
            keys = _keys(environment, answering)
            of = {node: powers.get(key, 0) for node, key in keys.items()}
            return Powers(of, answer.total_power, name)
    return founded(environment)


def _keys(environment: Environment, answering: Mapping[str, schema.Status]) -> dict[str, str]:
    """Find each node's consensus key: by its own word, or by what was learned when it was made."""
    known = configuring.known_keys(environment) or {}
    found = {name: str(parts.get("consensus_key", "")) for name, parts in known.items()}
    return found | {name: status.validator or "" for name, status in answering.items()}
