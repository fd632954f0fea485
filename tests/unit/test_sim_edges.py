"""Partitions are values: each shape of the algebra cuts what its name says, over any mesh."""

import random
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aitbc_sim import edges

pytestmark = pytest.mark.unit

MESHES = st.integers(1, 9).map(lambda count: tuple(f"v{n}" for n in range(count)))
POWERS = st.lists(st.integers(1, 9), min_size=2, max_size=9).map(
    lambda powers: {f"v{n}": power for n, power in enumerate(powers)}
)
SEEDS = st.integers(0, 2**32)


def parted(nodes: tuple[str, ...], seed: int) -> tuple[tuple[str, ...], ...]:
    """Draw groups that are a partition of the nodes."""
    dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
    order = dice.sample(nodes, len(nodes))
    counts: list[int] = []
    while sum(counts) < len(nodes):
        counts.append(dice.randint(1, len(nodes) - sum(counts)))
    return edges.by_count(order, counts)


def is_mutual(cut: edges.Edges[str]) -> bool:
    """Tell whether each edge is cut both ways."""
    return {(b, a) for a, b in cut} == cut


@given(MESHES, SEEDS)
def test_a_split_leaves_exactly_its_groups(nodes: tuple[str, ...], seed: int) -> None:
    """Whoever was in a group is a component, and nobody else; the cut is the same both ways."""
    groups = parted(nodes, seed)

    cut = edges.split(groups)

    assert is_mutual(cut)
    assert {frozenset(each) for each in edges.components(nodes, cut)} == {
        frozenset(each) for each in groups
    }
    assert len(cut) == len(nodes) ** 2 - sum(len(each) ** 2 for each in groups)


@given(MESHES, st.data())
def test_one_node_is_cut_off_deaf_or_mute(nodes: tuple[str, ...], data: st.DataObject) -> None:
    """To isolate is to deafen and to mute; either alone leaves the other direction."""
    victim = data.draw(st.sampled_from(nodes))
    others = [node for node in nodes if node != victim]

    assert edges.deafen(victim, nodes) == {(node, victim) for node in others}
    assert edges.mute(victim, nodes) == {(victim, node) for node in others}
    assert edges.isolate(victim, nodes) == edges.deafen(victim, nodes) | edges.mute(victim, nodes)
    assert edges.apart(nodes) == frozenset().union(*(edges.isolate(n, nodes) for n in nodes))


@given(MESHES, SEEDS)
def test_one_way_never_cuts_the_way_back(nodes: tuple[str, ...], seed: int) -> None:
    """From one group to the other nothing arrives, and everything the other way."""
    groups = parted(nodes, seed)
    assume(len(groups) > 1)

    cut = edges.one_way(groups[0], groups[1])

    assert cut == {(a, b) for a in groups[0] for b in groups[1]}
    assert not cut & {(b, a) for a, b in cut}


@given(POWERS, st.integers(1, 8))
def test_a_group_by_power_is_as_near_as_the_order_allows(powers: dict[str, int], at: int) -> None:
    """No other place to cut the order comes nearer to the part that was asked for."""
    part = Fraction(at, 9)
    nodes, total = list(powers), sum(powers.values())
    misses = [abs(sum(list(powers.values())[:n]) - part * total) for n in range(len(nodes) + 1)]

    try:
        first, second = edges.by_power(powers, [part, 1 - part])
    except ValueError:
        assert min(misses) in {misses[0], misses[-1]}
        return

    assert [*first, *second] == nodes
    assert misses[len(first)] == min(misses)


def test_half_of_four_equals_is_two_and_three_parts_are_three_groups() -> None:
    """The parts of the built-in scenarios are met exactly."""
    equals = dict.fromkeys("abcd", 1)

    assert edges.by_power(equals, [Fraction(1, 2)] * 2) == (("a", "b"), ("c", "d"))
    assert edges.by_power(dict.fromkeys("abcdef", 2), [Fraction(1, 3)] * 3) == (
        ("a", "b"),
        ("c", "d"),
        ("e", "f"),
    )
    for parts in ([Fraction(1, 2)], [Fraction(3, 2), Fraction(-1, 2)]):
        with pytest.raises(ValueError, match="whole"):
            edges.by_power(equals, parts)
    for counts in ([3, 2], [4, 0], []):
        with pytest.raises(ValueError, match="do not make 4 nodes"):
            edges.by_count("abcd", counts)


@given(POWERS)
def test_a_minority_leaves_a_quorum_and_one_more_would_not(powers: dict[str, int]) -> None:
    """The rest has more than two thirds; with anybody else gone it has not."""
    total = sum(powers.values())

    try:
        lost, rest = edges.minority(powers)
    except ValueError:
        assert all(3 * power >= total for power in powers.values())
        return

    gone = sum(powers[node] for node in lost)
    assert 3 * (total - gone) > 2 * total
    assert all(3 * (total - gone - powers[node]) <= 2 * total for node in rest)
    assert sorted([*lost, *rest]) == sorted(powers)


@given(POWERS)
def test_at_the_quorum_edge_anybody_more_makes_a_quorum(powers: dict[str, int]) -> None:
    """Those who gathered have at most two thirds, and more with any one of the others."""
    total = sum(powers.values())
    assume(3 * min(powers.values()) <= 2 * total)

    just, rest = edges.quorum_edge(powers)

    held = sum(powers[node] for node in just)
    assert 3 * held <= 2 * total
    assert all(3 * (held + powers[node]) > 2 * total for node in rest)


@given(POWERS)
def test_a_majority_is_more_than_half_and_no_quorum(powers: dict[str, int]) -> None:
    """Where there is one, it may not commit, and neither may the others."""
    total = sum(powers.values())

    try:
        many, others = edges.majority(powers)
    except ValueError:
        return

    held = sum(powers[node] for node in many)
    assert total < 2 * held <= Fraction(4, 3) * total
    assert 3 * sum(powers[node] for node in others) <= 2 * total


@pytest.mark.parametrize(("count", "held"), [(4, 0), (5, 3), (7, 4), (10, 6)])
def test_equals_have_a_majority_without_a_quorum_from_five_on(count: int, held: int) -> None:
    """Of four, three are a quorum at once."""
    powers = dict.fromkeys(range(count), 1)

    if not held:
        with pytest.raises(ValueError, match="no group holds more than half"):
            edges.majority(powers)
        return

    assert len(edges.majority(powers)[0]) == held


@given(st.integers(4, 15))
def test_in_a_majorities_ring_all_see_a_quorum_and_no_two_the_same(count: int) -> None:
    """The ring is one mesh, yet nobody sees all of it."""
    nodes = tuple(range(count))
    quorum = 2 * count // 3 + 1

    try:
        cut = edges.majorities_ring(nodes, quorum)
    except ValueError:
        assert 2 * (quorum // 2) + 1 >= count
        return

    seen = [frozenset(b for b in nodes if (a, b) not in cut) for a in nodes]
    assert all(quorum <= len(each) < count for each in seen)
    assert len(set(seen)) == count
    assert {(b, a) for a, b in cut} == cut
    assert edges.components(nodes, cut) == (nodes,)


def test_seven_have_a_majorities_ring_and_four_too() -> None:
    """The sizes that scenarios use are not among those without one."""
    assert len(edges.majorities_ring(range(7), 5)) == 7 * 2
    assert len(edges.majorities_ring(range(4), 3)) == 4


@given(MESHES, SEEDS)
def test_a_bridge_joins_what_it_parts(nodes: tuple[str, ...], seed: int) -> None:
    """Without the node between them the groups are apart, with it they are one mesh."""
    assume(len(nodes) > 2)
    dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
    order = dice.sample(nodes, len(nodes))
    between, rest = order[0], order[1:]
    at = dice.randrange(1, len(rest))

    cut = edges.bridge(rest[:at], between, [between, *rest[at:]])

    assert all(between not in edge for edge in cut)
    assert len(edges.components(nodes, cut)) == 1
    assert len(edges.components(rest, cut)) == 2


@given(MESHES, SEEDS)
def test_what_flaps_or_swizzles_ends_whole(nodes: tuple[str, ...], seed: int) -> None:
    """Each step of a swizzle cuts off or heals one node, and the same seed gives the same steps."""
    assume(len(nodes) > 1)
    cut = edges.isolate(nodes[0], nodes)

    states = edges.swizzle(nodes, random.Random(seed))  # noqa: S311 - repeatable on purpose

    assert states == edges.swizzle(nodes, random.Random(seed))  # noqa: S311 - the same draw
    assert states[-1] == frozenset()
    victims = len(states) // 2
    assert states[victims - 1] == max(states, key=len)
    assert 1 <= victims < len(nodes)
    assert edges.flapping(cut, 3) == (cut, frozenset()) * 3
