"""How are the nodes of an environment linked, and which loss would split them?

From what every node that answers tells of its own links. Do not add how it is drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aitbc_node.rpc import surroundings
from aitbc_toolkit.asking import Silence
from aitbc_toolkit.graph import Graph


@dataclass(frozen=True)
class Shape:
    """Hold one look at all links; nodes that are not of the environment have their id as name."""

    told: Mapping[str, surroundings.Topology | Silence]
    names: Mapping[str, str]
    graph: Graph
    splitting_hosts: tuple[str, ...]

    @property
    def up(self) -> dict[str, surroundings.Topology]:
        """Return what those said that answered."""
        return {
            name: each
            for name, each in self.told.items()
            if isinstance(each, surroundings.Topology)
        }

    def to_json(self) -> dict[str, object]:
        """Return the shape as one document."""
        degrees = self.graph.degrees()
        return {
            "nodes": [self._node(name, each) for name, each in self.told.items()],
            "links": sum(degrees.values()) // 2,
            "components": [sorted(part) for part in self.graph.components()],
            "diameter": self.graph.diameter(),
            "degree_min": min(degrees.values(), default=0),
            "degree_max": max(degrees.values(), default=0),
            "out_degree_max": max((each.out_degree for each in self.up.values()), default=0),
            "splitting_hosts": list(self.splitting_hosts),
        }

    def name(self, peer: str) -> str:
        """Return what a peer is called here."""
        return self.names.get(peer, peer[:12])

    def _node(self, name: str, each: surroundings.Topology | Silence) -> dict[str, object]:
        if isinstance(each, Silence):
            return {"name": name, "state": each.state, "links": None}
        links = [
            {"name": self.name(link.id), "direction": link.direction, "rtt_ms": link.rtt_ms}
            for link in each.links
        ]
        counts = {"degree": each.degree, "out_degree": each.out_degree, "known": each.known}
        return {"name": name, "state": "up", "id": each.id, **counts, "links": links}


def shape_of(
    told: Mapping[str, surroundings.Topology | Silence], hosts: Mapping[str, str]
) -> Shape:
    """Put together what the nodes told; `hosts` says where each runs."""
    up = {name: each for name, each in told.items() if isinstance(each, surroundings.Topology)}
    names = {each.id: name for name, each in up.items()}
    graph = Graph(
        {name: [names.get(link.id, link.id[:12]) for link in up[name].links] for name in up}
    )
    return Shape(told, names, graph, _splitting(graph.only(up), hosts))


def _splitting(graph: Graph, hosts: Mapping[str, str]) -> tuple[str, ...]:
    """Name the hosts whose loss would leave the others in pieces."""
    if len(graph.components()) != 1:
        return ()
    places = sorted({hosts[name] for name in graph.links})
    lost = {place: [name for name in graph.links if hosts[name] == place] for place in places}
    return tuple(place for place in places if len(graph.components(without=lost[place])) > 1)
