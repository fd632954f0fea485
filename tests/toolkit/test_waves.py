"""The order of a rollout, and what voting power it may take away."""

import dataclasses

import pytest

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release.waves import Seen, plan

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
    *, voting: tuple[str, ...] = ALL, active: tuple[str, ...] = ALL, proposer: str = "v1"
) -> Seen:
    """Build what was seen of a mesh at height 100."""
    return Seen(active=frozenset(active), voting=frozenset(voting), height=100, proposer=proposer)


def test_validators_change_one_at_a_time_and_the_next_proposer_last() -> None:
    """A live mesh never lacks more than one validator, and loses no round to the order."""
    found = plan(a_mesh(), ALL, seen(proposer="v2"), allow_stall=False)

    assert found.waves == (("v1",), ("v3",), ("v4",), ("v2",))
    assert not found.stalls


def test_full_nodes_go_before_validators() -> None:
    """A full node costs no power, so a bad release shows there first."""
    environment = Inventory.load("production")
    full = dataclasses.replace(environment.instances[9], role="full", power=0)
    mesh = dataclasses.replace(environment, instances=(*environment.instances[:9], full))
    names = tuple(each.name for each in mesh.instances)

    found = plan(mesh, names, seen(voting=names[:9], active=names), allow_stall=False)

    assert found.waves[0] == ("v10",)


def test_a_node_that_is_down_goes_first_and_costs_nothing() -> None:
    """Else a broken fleet could not be repaired by a deploy."""
    found = plan(a_mesh(), ALL, seen(voting=ALL[:3], active=ALL[:3]), allow_stall=False)

    assert found.waves[0] == ("v4",)
    assert found.waves[1:] == (("v2",), ("v3",), ("v1",))


def test_a_deploy_that_would_stop_the_mesh_is_refused_with_the_sum() -> None:
    """One validator runs but does not vote: nobody else can be spared, and the message says why."""
    with pytest.raises(AitbcError) as refused:
        plan(a_mesh(), ALL, seen(voting=ALL[:3]), allow_stall=False)

    said = refused.value.message
    assert refused.value.exit_status is Exit.REFUSED
    assert "total 4, quorum is more than 2/3: at least 3" in said
    assert "voting now       v1 v2 v3 = 3" in said
    assert "not voting       v4" in said
    assert "v1 v3 = 2, below 3" in said
    assert "nothing, on no host" in said
    assert "aitbc node start v4 -e staging" in refused.value.hint


def test_allow_stall_accepts_it() -> None:
    """The dangerous way exists, has to be asked for, and is marked in the plan."""
    found = plan(a_mesh(), ALL, seen(voting=ALL[:3]), allow_stall=True)

    assert found.stalls
    assert len(found.waves) == 4


def test_three_validators_bear_no_fault_and_the_refusal_says_so() -> None:
    """With n = 3 every restart stops the mesh; nobody is told otherwise."""
    mesh = a_mesh(v4="full")

    with pytest.raises(AitbcError, match="3 validators bear no fault; 4 bear one"):
        plan(mesh, ALL, seen(voting=ALL[:3]), allow_stall=False)


def test_a_first_start_is_one_wave() -> None:
    """Nodes wait for a quorum, so a gate after the first alone could never pass."""
    nothing = Seen(active=frozenset(), voting=frozenset(), height=0)

    assert plan(a_mesh(), ALL, nothing, allow_stall=False).waves == (ALL,)


def test_a_stalled_mesh_is_not_restarted_unasked() -> None:
    """A mesh that makes no blocks may be cut in two; restarting it blindly could hide that."""
    with pytest.raises(AitbcError, match="the mesh makes no blocks") as refused:
        plan(a_mesh(), ALL, seen(voting=("v1", "v2")), allow_stall=False)

    assert "--allow-stall" in refused.value.hint
    assert plan(a_mesh(), ALL, seen(voting=("v1",)), allow_stall=True).waves == (ALL,)


def test_dev_changes_all_at_once() -> None:
    """Its profile says so: a stop of two seconds costs nothing there."""
    assert plan(Inventory.load("dev"), ALL, seen(), allow_stall=False).waves == (ALL,)


def test_the_same_inputs_give_the_same_order() -> None:
    """A plan depends on what was seen, not on the run."""
    plans = {plan(a_mesh(), set(ALL), seen(), allow_stall=False).waves for _ in range(100)}

    assert len(plans) == 1
