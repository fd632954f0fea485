"""What `aitbc status` says of an environment, without one."""

from dataclasses import replace

import msgspec
import pytest
from pretend_nodes import a_status

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import history
from aitbc_toolkit.release.history import Record
from aitbc_toolkit.release.state import NodeRow, State, planned, voting_now

pytestmark = pytest.mark.unit


def a_state(**versions: int | None) -> State:
    """Build the state of some nodes by the version of their data; None does not answer."""
    rows = [
        NodeRow(name, "lab1", "validator", "c0ffee", "active", 9, 8, "voting", version)
        for name, version in versions.items()
    ]
    return State("lab", rows, len(rows), len(rows), None, reached=True)


def test_the_version_of_the_data_is_told_with_who_has_it() -> None:
    """It decides which release can be gone back to; a silent node is not guessed."""
    lines = a_state(v1=1, v2=1, v3=None).to_lines()

    assert "data version: 1 on v1 v2" in lines
    assert not any("finalize" in line for line in lines)


def test_two_versions_are_a_finalize_that_was_cut_short() -> None:
    """Both are named, and so is the command that ends it."""
    lines = a_state(v1=1, v2=2, v3=2).to_lines()

    assert "data version: 1 on v1, 2 on v2 v3" in lines
    assert "next: aitbc release finalize lab   # all in the newest" in lines
    assert [each["data_version"] for each in a_state(v1=1, v2=2).to_document()["nodes"]] == [1, 2]


def test_an_upgrade_is_told_with_those_who_would_stop_before_it() -> None:
    """By the word of the node farthest ahead; a node that tells no version is not accused."""
    coming = schema.UpgradeView(height=9_000, app_version=5)
    knows = {"v1": 5, "v2": 4, "v3": 0}
    told = {
        name: msgspec.structs.replace(a_status(name, 9), upgrade=coming, app_version_max=newest)
        for name, newest in knows.items()
    }
    found = replace(a_state(v1=1), upgrade=planned({**told, "v4": None}))

    lines = found.to_lines()

    assert "upgrade: rules of version 5 from height 9,000 on" in lines
    assert "next: aitbc deploy lab   # without it v2 stops there" in lines
    assert found.to_document()["upgrade"]["lacking"] == ["v2"]
    assert planned({"v1": a_status("v1", 9), "v4": None}) is None


def test_nobody_votes_in_a_mesh_that_makes_no_blocks() -> None:
    """Two of four run: they voted last on the newest block, and now reach no quorum."""
    environment = Inventory.load("dev")
    running = {name: a_status(name, 9) for name in ("v1", "v2", "v3", "v4")}
    left = {name: msgspec.structs.replace(running[name], stale=True) for name in ("v3", "v4")}
    frozen = {
        name: msgspec.structs.replace(each, block_age_ms=60_000) for name, each in running.items()
    }

    assert voting_now(environment, running) == ["v1", "v2", "v3", "v4"]
    assert voting_now(environment, {"v1": None, "v2": None, **left}) == []
    assert voting_now(environment, frozen) == []


def test_a_node_that_was_stopped_is_hinted_at_by_its_start() -> None:
    """Beside nodes that run; where none runs, one deploy starts them all."""
    found = a_state(v1=1, v2=1)
    down = replace(found.nodes[0], service="stopped", height=None)

    lines = replace(found, nodes=[down, found.nodes[1]]).to_lines()

    assert "next: aitbc node start v1 -e lab" in lines
    assert not any("node start" in line for line in found.to_lines())


@pytest.mark.parametrize(
    ("armed", "outcome", "reached", "next_"),
    [
        (False, "healthy", True, "aitbc node start v1 -e lab"),
        (False, "interrupted", True, "aitbc node start v1 -e lab"),
        (True, "healthy", True, "aitbc deploy status lab"),
        (True, "interrupted", True, "aitbc deploy status lab"),
        (True, "unknown", False, "aitbc deploy status lab"),
        (False, "interrupted", False, "aitbc deploy lab --resume   # goes on"),
    ],
)
def test_no_start_is_hinted_at_while_it_would_be_refused(
    *, armed: bool, outcome: history.Outcome, reached: bool, next_: str
) -> None:
    """Behind a run that is not proved the way out is that run's, and it is told once."""
    found = a_state(v1=1, v2=1)
    down = replace(found.nodes[0], service="stopped", height=None)
    switch = {"host": "lab1", "nodes": ["v1"], "due_in_s": 9.0}
    record = Record(
        id="1",
        number=1,
        action="deploy",
        environment="lab",
        commit="c0ffee",
        subject="a change",
        configs={},
        previous={},
        outcome=outcome,
        reason="",
        started="2026-01-01T00:00:00Z",
        took_s=1.0,
        who="ops",
        genesis_hash="",
        snapshot=False,
    )

    lines = replace(
        found,
        nodes=[down, found.nodes[1]],
        last=record,
        reached=reached,
        armed=[switch] if armed else [],
    ).to_lines()

    assert [line for line in lines if line.startswith("next: ")] == [f"next: {next_}"]
