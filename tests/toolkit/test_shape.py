"""How nodes are linked, from what they tell."""

from aitbc_node.rpc import surroundings
from aitbc_toolkit.asking import Silence
from aitbc_toolkit.shape import shape_of

IDS = {name: name.encode().hex().ljust(40, "0") for name in ("a", "b", "c", "d")}
HOSTS = {"a": "h1", "b": "h2", "c": "h2", "d": "h3"}


def told(name: str, *others: str) -> surroundings.Topology:
    """Tell of links that this node dialled."""
    links = [
        surroundings.TopologyLink(
            id=IDS.get(other, other),
            address="10.0.0.1:1",
            direction="out",
            rtt_ms=1,
            source="bootstrap",
            neighbours=[],
        )
        for other in others
    ]
    counts = {"degree": len(links), "out_degree": len(links), "in_degree": 0}
    return surroundings.Topology(id=IDS[name], known=9, ledger=0, record="", links=links, **counts)


def test_a_host_whose_loss_would_split_the_mesh_is_named() -> None:
    """B and c are on one host, and a reaches d over them only."""
    line = {"a": told("a", "b"), "b": told("b", "d"), "c": told("c", "d"), "d": told("d")}

    assert shape_of(line, HOSTS).splitting_hosts == ("h2", "h3")
    ring = {**line, "a": told("a", "b", "c", "d")}
    assert shape_of(ring, HOSTS).splitting_hosts == ()


def test_a_node_that_is_silent_or_unknown_is_still_in_the_picture() -> None:
    """What others say of it counts; a node of somebody else's has its id as name."""
    stranger = "ee" * 20
    shape = shape_of({"a": told("a", "b", stranger), "b": Silence("gone")}, HOSTS)

    document = shape.to_json()

    assert shape.graph.degrees()[stranger[:12]] == 1
    assert document["degree_max"] == 2
    assert document["links"] == 2
    assert document["nodes"][1]["links"] is None  # type: ignore[index]
