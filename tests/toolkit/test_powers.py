"""Whose word is believed on who may vote: never that of one node alone."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pretend_nodes import a_status

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import configuring, powers

NAMES = ("v1", "v2", "v3", "v4")
EVEN = dict.fromkeys(NAMES, 10)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Give an environment whose keys are known by the names of their nodes."""
    found = Inventory.load("staging", state=tmp_path)
    found.folder.mkdir(parents=True)
    configuring.remember(found, {name: {"consensus_key": name} for name in NAMES})
    return found


def told(
    environment: Environment,
    says: Mapping[str, Mapping[str, int]],
    claims: Mapping[str, str] | None = None,
) -> powers.Powers:
    """Let nodes say who has how much power, and some of them another key than their own."""
    shown: Any = {"address": "", "priority": None, "status": "active", "proposer": False}
    answers = {
        name: schema.Validators(
            height=1,
            total_power=sum(said.values()),
            validators=[schema.ValidatorView(key=key, power=n, **shown) for key, n in said.items()],
        )
        for name, said in says.items()
    }
    keys = {**{name: name for name in says}, **(claims or {})}
    mesh = SimpleNamespace(
        environment=environment,
        ask_each=lambda names, *_asked: {name: answers[name] for name in names},
    )
    # The one that lies says that it is far ahead.
    statuses = {name: a_status(keys[name], 900 if name == "v1" else 100) for name in says}
    return powers.told(cast("Any", mesh), statuses)


def test_one_node_that_is_ahead_is_not_believed_against_the_others(
    environment: Environment,
) -> None:
    """The canary gives itself nearly all power, by which the others could all be spared."""
    found = told(environment, {**dict.fromkeys(NAMES, EVEN), "v1": {"v1": 10_000, "v2": 1}})

    assert (dict(found.of), found.total) == (EVEN, 40)
    assert found.written().endswith("(told by v2 and 2 others)")


def test_where_nodes_differ_nothing_is_spared_that_an_answer_forbids(
    environment: Environment,
) -> None:
    """Two against two: each node has the least that was told of it, the whole set the most."""
    other = {"v1": 40, "v2": 5, "v3": 5, "v4": 5}

    found = told(environment, {"v1": other, "v2": other, "v3": EVEN, "v4": EVEN})

    assert (dict(found.of), found.total) == ({"v1": 10, "v2": 5, "v3": 5, "v4": 5}, 55)
    assert "differ; the least of each is counted" in found.written()


def test_one_node_alone_is_believed_only_as_far_as_nobody_says_otherwise(
    environment: Environment,
) -> None:
    """The others are down: its word is taken, and shown as that of one node."""
    found = told(environment, {"v2": EVEN})

    assert (dict(found.of), found.written().endswith("(told by v2)")) == (EVEN, True)


def test_a_node_that_takes_the_key_of_another_gains_nothing(environment: Environment) -> None:
    """The key of its making counts; one that two nodes call theirs is nobody's."""
    stolen = told(environment, dict.fromkeys(NAMES, EVEN), claims={"v1": "v2"})
    moved = {"v1": 10, "v2": 10, "new": 10}
    rotated = told(environment, dict.fromkeys(NAMES, moved), claims={"v3": "new"})
    shared = told(environment, dict.fromkeys(NAMES, moved), claims={"v3": "new", "v4": "new"})

    assert dict(stolen.of) == EVEN
    assert dict(rotated.of) == {"v1": 10, "v2": 10, "v3": 10, "v4": 0}
    assert dict(shared.of) == {"v1": 10, "v2": 10, "v3": 0, "v4": 0}


def test_a_silent_node_votes_with_the_key_it_was_rotated_to(environment: Environment) -> None:
    """It cannot tell its new key; this machine has kept it, and its power counts as before."""
    known = configuring.known_keys(environment) or {}
    configuring.remember(environment, {**known, "v3": {**known["v3"], "later_keys": ["new"]}})
    moved = {"v1": 10, "v2": 10, "new": 10, "v4": 10}

    found = told(environment, dict.fromkeys(("v1", "v2", "v4"), moved), claims={"v4": "new"})

    assert (dict(found.of), found.total) == (EVEN, 40)
