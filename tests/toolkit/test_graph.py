"""The shape of a mesh, on small ones that can be drawn on paper."""

from aitbc_toolkit.graph import Graph

RING = Graph({str(number): [str((number + 1) % 6)] for number in range(6)})
TWO_PARTS = Graph({"a": ["b"], "b": [], "c": ["d"], "d": ["e"], "e": []})


def test_a_link_counts_when_either_end_tells_it() -> None:
    """A ring in which each names only the next has two links a node."""
    assert set(RING.degrees().values()) == {2}
    assert RING.diameter() == 3
    assert len(RING.components()) == 1


def test_what_falls_apart_is_named_the_largest_part_first() -> None:
    """Without two nodes that are not beside each other a ring is two pieces."""
    assert RING.components(without=["0", "2"]) == [frozenset("345"), frozenset("1")]
    assert TWO_PARTS.components() == [frozenset("cde"), frozenset("ab")]
    assert TWO_PARTS.diameter() is None


def test_a_part_can_be_looked_at_alone() -> None:
    """Nodes that are gone may still be named by others."""
    part = RING.only({"0", "1", "2"})

    assert part.links == {"0": {"1"}, "1": {"0", "2"}, "2": {"1"}}
    assert part.diameter() == 2
    assert Graph({"alone": []}).diameter() == 0
