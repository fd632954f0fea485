"""Which sides has a split mesh, by what its nodes say they can reach, and which one makes blocks?

Nodes that reach the same validators are one side. Whom nobody reaches may be down as well: a side
names only what it misses. Do not judge the mesh here.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aitbc_node.rpc import schema
from aitbc_node.rpc.splits import Partition, VoterView
from aitbc_toolkit.asking import MeshClient

_SHORT = 12


@dataclass(frozen=True, slots=True)
class Side:
    """Hold the nodes that see the mesh alike, with the voting power that they can reach."""

    nodes: tuple[str, ...]
    power: int
    total: int
    quorum: bool
    misses: tuple[str, ...]

    def to_line(self) -> str:
        """Say it in a sentence."""
        makes = "can make blocks" if self.quorum else "cannot make blocks"
        missed = f", out of reach: {', '.join(self.misses)}" if self.misses else ""
        names = ", ".join(self.nodes)
        return f"side of {names}: power {self.power} of {self.total}, {makes}{missed}"


def ask_sides(mesh: MeshClient, up: Mapping[str, schema.Status]) -> tuple[Side, ...]:
    """Ask every node whom it can reach; the strongest side comes first."""
    told = mesh.ask_all(lambda node: node.get("/net/partition", Partition))
    views = {name: each for name, each in told.items() if isinstance(each, Partition)}
    names = {each.validator: name for name, each in up.items() if each.validator}
    return sides_of(views, names)


def sides_of(views: Mapping[str, Partition], names: Mapping[str, str]) -> tuple[Side, ...]:
    """Group what nodes see; `names` tells whose the consensus keys are, as far as it is known."""
    alike = defaultdict(list)
    for name, view in views.items():
        alike[frozenset(_keys(view.reachable))].append(name)
    sides = [_side(members, views[members[0]], names) for members in alike.values()]
    return tuple(sorted(sides, key=lambda side: (-side.power, side.nodes)))


def _side(members: list[str], view: Partition, names: Mapping[str, str]) -> Side:
    return Side(
        nodes=tuple(members),
        power=view.reachable_power,
        total=view.total_power,
        quorum=view.quorum,
        misses=tuple(sorted(names.get(key, key[:_SHORT]) for key in _keys(view.unreachable))),
    )


def _keys(voters: Iterable[VoterView]) -> Iterable[str]:
    return (each.key for each in voters)
