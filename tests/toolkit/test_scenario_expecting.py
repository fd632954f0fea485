"""What a fault must lead to, from voting power alone."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitbc_toolkit.suites.scenario.expecting import Edge, components, expect

FOUR = {"v1": 1, "v2": 1, "v3": 1, "v4": 1}


def between(one: str, other: str) -> frozenset[Edge]:
    """Cut every way between two groups, written as words."""
    pairs = itertools.product(one.split(), other.split())
    return frozenset(edge for a, b in pairs for edge in ((a, b), (b, a)))


def test_a_whole_mesh_must_go_on() -> None:
    """Nobody is cut off: one group, and nobody has to catch up."""
    told = expect(FOUR)

    assert (told.progress, told.still, told.catch_up) == ((frozenset(FOUR),), (), frozenset())


def test_one_of_four_cut_off_is_left_behind() -> None:
    """Three of four go on, the fourth must not, and has to catch up."""
    told = expect(FOUR, cut=between("v4", "v1 v2 v3"))

    assert told.progress == (frozenset({"v1", "v2", "v3"}),)
    assert told.still == (frozenset({"v4"}),)
    assert told.catch_up == {"v4"}


def test_two_halves_both_stand_still() -> None:
    """Neither half is more than two thirds."""
    told = expect(FOUR, cut=between("v1 v2", "v3 v4"))

    assert told.progress == ()
    assert set(told.still) == {frozenset({"v1", "v2"}), frozenset({"v3", "v4"})}


def test_exactly_two_thirds_is_no_quorum() -> None:
    """Two of three equal votes are not more than two thirds of them."""
    assert expect({"v1": 1, "v2": 1, "v3": 1}, down=["v3"]).progress == ()


def test_power_counts_and_not_heads() -> None:
    """One validator with most of the power goes on alone."""
    told = expect({"v1": 7, "v2": 1, "v3": 1, "v4": 1}, cut=between("v1", "v2 v3 v4"))

    assert told.progress == (frozenset({"v1"}),)


def test_who_is_down_neither_votes_nor_is_expected_to_move() -> None:
    """The dead are in no group, and come back behind the others."""
    told = expect({**FOUR, "f1": 0}, down=["v2", "f1"])

    assert told.progress == (frozenset({"v1", "v3", "v4"}),)
    assert told.catch_up == {"v2", "f1"}


def test_a_full_node_on_the_wrong_side_stands_still() -> None:
    """Without a validator beside it a full node hears of no block."""
    told = expect({**FOUR, "f1": 0}, cut=between("f1", "v1 v2 v3 v4"))

    assert frozenset({"f1"}) in told.still


def test_one_deaf_direction_is_a_cut() -> None:
    """A connection that carries nothing back is none."""
    told = expect(FOUR, cut=frozenset({(name, "v4") for name in ("v1", "v2", "v3")}))

    assert told.still == (frozenset({"v4"}),)


def test_a_quorum_that_only_gossip_joins_may_go_on_or_not() -> None:
    """Where nobody hears two thirds directly, no more than safety is asked."""
    ring = between("v1", "v3") | between("v2", "v4")

    told = expect(FOUR, cut=frozenset(ring) | between("v1", "v2"))

    assert (told.progress, told.still) == ((), ())
    assert told.may == (frozenset(FOUR),)


@given(
    st.dictionaries(st.integers(0, 12).map("n{}".format), st.integers(0, 9), min_size=1),
    st.data(),
)
def test_no_two_groups_may_ever_go_on(powers: dict[str, int], data: st.DataObject) -> None:
    """Whatever is cut and down: at most one group may decide, and everybody is somewhere once."""
    names = sorted(powers)
    edges = [(a, b) for a in names for b in names if a != b]
    cut = frozenset(data.draw(st.lists(st.sampled_from(edges)))) if edges else frozenset()
    down = data.draw(st.sets(st.sampled_from(names)))

    told = expect(powers, cut=cut, down=down)

    groups = [*told.progress, *told.still, *told.may]
    assert len(told.progress) + len(told.may) <= 1
    assert sorted(itertools.chain(*groups)) == [name for name in names if name not in down]
    assert {*told.progress} <= {*components(powers, cut=cut, down=down)}


@pytest.mark.parametrize("count", [4, 7, 10])
def test_the_quorum_edge(count: int) -> None:
    """A third less one may go; a third may not."""
    powers = {f"v{place}": 1 for place in range(count)}
    names = list(powers)
    faults = (count - 1) // 3

    assert expect(powers, down=names[:faults]).progress
    assert not expect(powers, down=names[: faults + 1]).progress
