"""Keys and genesis before anything runs, on this machine with a stand-in node."""

from collections.abc import Callable
from typing import Any

import pytest

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import ceremony
from aitbc_toolkit.release.phases import phases
from aitbc_toolkit.release.request import Request
from aitbc_toolkit.release.walking import walk

pytestmark = pytest.mark.integration

Build = Callable[..., Any]


def test_keys_then_genesis_then_a_deploy_on_them(a_project: Build) -> None:
    """Without keys there is no genesis; what the ceremony made is what the deploy finds."""
    project = a_project(rollout="all")
    environment = project.environment
    unmade = list(walk(phases(environment)))
    with pytest.raises(AitbcError, match="never made") as too_early:
        ceremony.build(environment)

    made = ceremony.make_keys(environment, Request(checkout=project.checkout), lambda _record: None)
    running = project.running()
    first, again = ceremony.build(environment), ceremony.build(environment)
    done = project.deploy()

    assert too_early.value.exit_status is Exit.REFUSED
    assert made.exit is Exit.OK
    assert sorted(made.changed) == ["v1", "v2", "v3", "v4"]
    assert running == {}, "keys are made, nothing is started"
    assert (first.made, again.made, first.hash == again.hash) == (True, False, True)
    assert done.exit is Exit.OK, done.error
    assert [each.state for each in unmade] == ["fail", *["not started"] * 3]
    assert "never made" in unmade[0].evidence
    found = ceremony.compare(environment)
    assert found.failed == []
    assert [each.state for each in found.checks if each.item.endswith("file")] == ["pass"] * 4


def test_private_keys_are_in_no_answer(a_project: Build) -> None:
    """What comes from the hosts names public parts only."""
    project = a_project(rollout="all")

    request = Request(checkout=project.checkout)
    made = ceremony.make_keys(project.environment, request, lambda _record: None)

    assert set(made.facts["keys"]["v1"]) - {"looks", "made"} == {
        "peer_id",
        "node_key",
        "consensus_key",
        "operator_key",
        "operator_address",
        "proof",
    }
