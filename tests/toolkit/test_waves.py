"""The order of a rollout, and what voting power it may take away."""

import dataclasses
from typing import Literal

import pytest

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release.powers import Powers, founded
from aitbc_toolkit.release.waves import Seen, budgets, order

ALL = ("v1", "v2", "v3", "v4")


def a_mesh(**roles: str) -> Environment:
    """Four validators that change one at a time; a role given makes a full node of one."""
    found = Inventory.load("staging")
    instances = tuple(
        dataclasses.replace(each, role="full", power=0) if roles.get(each.name) == "full" else each
        for each in found.instances
    )
    return dataclasses.replace(found, instances=instances)


def seen(
    *,
    voting: tuple[str, ...] = ALL,
    active: tuple[str, ...] = ALL,
    of: Environment | None = None,
    powers: Powers | None = None,
) -> Seen:
    """Build what was seen of a mesh at height 100; its power is that of its genesis."""
    powers = powers or founded(of or a_mesh())
    return Seen(frozenset(active), frozenset(voting), height=100, powers=powers)


def nothing_yet() -> Seen:
    """Build what is seen before a first deploy."""
    return Seen(frozenset(), frozenset(), height=0, powers=founded(a_mesh()))


def test_validators_change_one_at_a_time_and_may_change_places_by_turn() -> None:
    """A live mesh never lacks more than one validator; whose turn it is, is seen at each wave."""
    found = order(a_mesh(), ALL, seen(), allow_stall=False)

    assert found.waves == (("v1",), ("v2",), ("v3",), ("v4",))
    assert found.by_turn == frozenset(ALL)
    assert not found.stalls


def test_full_nodes_go_before_validators() -> None:
    """A full node costs no power, so a bad release shows there first."""
    environment = Inventory.load("production")
    full = dataclasses.replace(environment.instances[9], role="full", power=0)
    mesh = dataclasses.replace(environment, instances=(*environment.instances[:9], full))
    names = tuple(each.name for each in mesh.instances)

    found = order(mesh, names, seen(voting=names[:9], active=names, of=mesh), allow_stall=False)

    assert found.waves[0] == ("v10",)


def test_a_node_that_is_down_goes_first_and_costs_nothing() -> None:
    """Else a broken fleet could not be repaired by a deploy."""
    found = order(a_mesh(), ALL, seen(voting=ALL[:3], active=ALL[:3]), allow_stall=False)

    assert found.waves[0] == ("v4",)
    assert found.waves[1:] == (("v1",), ("v2",), ("v3",))


def test_a_deploy_that_would_stop_the_mesh_is_refused_with_the_sum() -> None:
    """v4 runs, does not vote, and stays as it is: nobody else can be spared; it is said why."""
    with pytest.raises(AitbcError) as refused:
        order(a_mesh(), ALL[:3], seen(voting=ALL[:3]), allow_stall=False)

    said = refused.value.message
    assert refused.value.exit_status is Exit.REFUSED
    assert "total 4, quorum is more than 2/3: at least 3" in said
    assert "voting now       v1 v2 v3 = 3" in said
    assert "not voting       v4" in said
    assert "v2 v3 = 2, below 3" in said
    assert "nothing, on no host" in said
    assert "aitbc diagnose consensus -e staging   # why v4 does not vote" in refused.value.hint


def test_who_is_down_and_stays_as_it_is_is_to_be_started() -> None:
    """The others wait for a vote that a start may bring back."""
    with pytest.raises(AitbcError) as refused:
        order(a_mesh(), ALL[:3], seen(voting=ALL[:3], active=ALL[:3]), allow_stall=False)

    assert "aitbc node start v4 -e staging   # then again" in refused.value.hint


@pytest.mark.parametrize("verb", ["deploy", "rollback"])
def test_a_validator_that_does_not_vote_goes_before_those_who_do(
    verb: Literal["deploy", "rollback"],
) -> None:
    """Taking it down costs no vote, and it votes before the next one is touched."""
    found = order(a_mesh(), ALL, seen(voting=ALL[1:]), allow_stall=False, verb=verb)
    sums = budgets(founded(a_mesh()), found.waves, ALL[1:])

    assert found.waves == (("v1",), ("v2",), ("v3",), ("v4",))
    assert (found.silent, found.by_turn) == ({"v1"}, {"v2", "v3", "v4"})
    assert [(each.before, each.during) for each in sums] == [(3, 3), (4, 3), (4, 3), (4, 3)]
    assert not found.stalls
    assert order(a_mesh(), ALL, seen(voting=ALL[:3]), allow_stall=False).waves[0] == ("v4",)


def test_validators_that_do_not_vote_go_one_by_one_behind_what_is_down() -> None:
    """Two that came back in one wave could, voting by then, be more than the mesh can spare."""
    environment = Inventory.load("production")
    names = tuple(each.name for each in environment.instances)
    view = seen(voting=names[3:], active=names[1:], of=environment)

    found = order(environment, names, view, allow_stall=False)

    assert found.waves[:4] == ((names[0],), (names[1],), (names[2],), (names[3],))
    assert found.silent == {names[1], names[2]}
    assert found.by_turn == {*names[3:]}


def test_a_canary_may_be_who_did_not_vote() -> None:
    """It votes before its watch begins and all through it, and a bad release costs no vote."""
    found = order(a_mesh(), ALL, seen(voting=ALL[:3]), allow_stall=False, canary=1)

    assert (found.waves[0], found.canary) == (("v4",), 1)


@pytest.mark.parametrize("voting", [ALL[:3], ALL[:2]])
def test_a_rollback_that_is_refused_is_not_told_to_deploy(voting: tuple[str, ...]) -> None:
    """What was refused is named, and the hint is that verb with its flag, never another one."""
    with pytest.raises(AitbcError, match=r"^rollback staging refused: ") as refused:
        order(a_mesh(), ALL[:3], seen(voting=voting), allow_stall=False, verb="rollback")

    assert "aitbc rollback staging --allow-stall" in refused.value.hint
    assert "aitbc deploy" not in refused.value.hint


def test_power_is_what_the_mesh_tells_and_not_what_it_was_founded_with() -> None:
    """Stake has moved to v1 since: alone it cannot be spared, though all four vote."""
    powers = Powers({"v1": 40, "v2": 10, "v3": 10, "v4": 10}, total=70, told_by="v3")

    with pytest.raises(AitbcError) as refused:
        order(a_mesh(), ALL, seen(powers=powers), allow_stall=False)

    assert "restarting v1 would stop the mesh" in refused.value.message
    assert "total 70, quorum is more than 2/3: at least 47 (told by v3)" in refused.value.message
    assert "v2 v3 v4 = 30, below 47: 3*30 = 90 <= 2*70 = 140" in refused.value.message
    assert order(a_mesh(), ALL[1:], seen(powers=powers), allow_stall=False).waves


def test_a_validator_that_is_no_longer_in_the_set_costs_nothing() -> None:
    """v4 was jailed: the three that are left bear no fault, but v4 itself may always restart."""
    powers = Powers({"v1": 10, "v2": 10, "v3": 10, "v4": 0}, total=30, told_by="v1")

    found = order(a_mesh(), ("v4",), seen(powers=powers), allow_stall=False)

    assert found.waves == (("v4",),)
    with pytest.raises(AitbcError, match="restarting v1 would stop the mesh"):
        order(a_mesh(), ALL, seen(powers=powers), allow_stall=False)


def test_allow_stall_accepts_it() -> None:
    """The dangerous way exists, has to be asked for, and is marked in the plan."""
    found = order(a_mesh(), ALL[:3], seen(voting=ALL[:3]), allow_stall=True)

    assert found.stalls
    assert len(found.waves) == 3


def test_three_validators_bear_no_fault_and_the_refusal_says_so() -> None:
    """With n = 3 every restart stops the mesh; nobody is told otherwise."""
    mesh = a_mesh(v4="full")

    with pytest.raises(AitbcError, match="3 validators bear no fault; 4 bear one"):
        order(mesh, ALL, seen(voting=ALL[:3], of=mesh), allow_stall=False)


def test_a_first_start_is_one_wave() -> None:
    """Nodes wait for a quorum, so a gate after the first alone could never pass."""
    assert order(a_mesh(), ALL, nothing_yet(), allow_stall=False).waves == (ALL,)


def test_a_stalled_mesh_is_not_restarted_unasked() -> None:
    """A mesh that makes no blocks may be cut in two; restarting it blindly could hide that."""
    with pytest.raises(AitbcError, match="the mesh makes no blocks") as refused:
        order(a_mesh(), ALL, seen(voting=("v1", "v2")), allow_stall=False)

    assert "--allow-stall" in refused.value.hint
    assert order(a_mesh(), ALL, seen(voting=("v1",)), allow_stall=True).waves == (ALL,)


def test_dev_changes_all_at_once() -> None:
    """Its profile says so: a stop of two seconds costs nothing there."""
    assert order(Inventory.load("dev"), ALL, seen(), allow_stall=False).waves == (ALL,)


def test_check_15_the_same_inputs_give_the_same_order_100_times() -> None:
    """An order depends on what was seen, not on the run or on how a set happens to iterate."""
    found = set()
    for number in range(100):
        shuffled = sorted(ALL, key=lambda name: (number * 7 + int(name[1]) * 3) % 11)
        found.add(order(a_mesh(), shuffled, seen(), allow_stall=False))

    assert len(found) == 1


def test_a_canary_goes_first_in_waves_of_its_own() -> None:
    """Two of four are watched before the others follow; a wave that they end in is cut there."""
    found = order(a_mesh(), ALL, seen(), allow_stall=False, canary=2)
    at_once = order(Inventory.load("dev"), ALL, seen(), allow_stall=False, canary=1)

    assert (found.waves, found.canary) == ((("v1",), ("v2",), ("v3",), ("v4",)), 2)
    assert (at_once.waves, at_once.canary) == ((("v1",), ("v2", "v3", "v4")), 1)


def test_a_canary_of_everybody_is_no_canary() -> None:
    """With nobody left to follow there is nothing to watch for."""
    assert order(a_mesh(), ALL, seen(), allow_stall=False, canary=4).canary == 0


def test_nodes_that_change_at_once_stop_a_mesh_only_where_it_cannot_spare_them() -> None:
    """One of four leaves enough; all four do not, and a canary of all but one does not either."""
    mesh = Inventory.load("dev")

    assert not order(mesh, ("v1",), seen(), allow_stall=False).stalls
    assert order(mesh, ALL, seen(), allow_stall=False).stalls
    assert order(mesh, ALL, seen(), allow_stall=False, canary=1).stalls
    assert not order(mesh, ALL, nothing_yet(), allow_stall=False).stalls


def test_a_canary_needs_a_mesh_that_makes_blocks() -> None:
    """A first start is one wave, because no node can show anything alone."""
    with pytest.raises(AitbcError, match="a canary needs a mesh that makes blocks"):
        order(a_mesh(), ALL, nothing_yet(), allow_stall=False, canary=1)


def test_the_budget_of_each_wave_is_a_sum() -> None:
    """What is down counts from its wave on; each sum says whether blocks go on."""
    found = order(a_mesh(), ALL, seen(voting=ALL[:3], active=ALL[:3]), allow_stall=False)

    sums = budgets(founded(a_mesh()), found.waves, ALL[:3])

    assert [(each.before, each.during, each.goes_on) for each in sums] == [
        (3, 3, True),
        (4, 3, True),
        (4, 3, True),
        (4, 3, True),
    ]
    assert sums[1].sum == "3*3 = 9 > 2*4 = 8"
