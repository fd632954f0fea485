"""A deploy goes from phase to phase through gates: one that fails is named, and ends it."""

from collections.abc import Callable
from typing import Any

import pytest

from aitbc_toolkit import identity
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import hosts, verifying
from aitbc_toolkit.release.request import Choice

pytestmark = pytest.mark.integration

Build = Callable[..., Any]


def told(project: Any) -> list[str]:
    """List the steps that were begun since the last look."""
    steps = [str(each["step"]) for each in project.records if each["type"] == "step"]
    steps += ["wave" for each in project.records if each["type"] == "wave"]
    project.records.clear()
    return steps


@pytest.mark.proves("E49")
def test_no_phase_begins_before_the_gate_of_the_one_before_it_has_passed(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts, genesis, finality: each gate fails once, the check is named, nothing follows."""
    project = a_project()

    with monkeypatch.context() as full:
        full.setattr(hosts, "DISK_FREE_MIB_MIN", 10**9)
        with pytest.raises(AitbcError) as disk:
            project.deploy()
    assert disk.value.exit_status is Exit.REFUSED
    assert "MiB" in disk.value.message
    assert "stage" not in told(project)

    assert project.deploy().exit is Exit.OK
    project.commit("ok", "a second build")
    told(project)
    with monkeypatch.context() as other:
        other.setattr(identity, "stranger", lambda _of, name, _told: "other" * (name == "v4"))
        with pytest.raises(AitbcError) as stranger:
            project.deploy(choice=Choice(only=("v2",), allow_stall=True))
    steps = told(project)
    assert stranger.value.exit_status is Exit.REFUSED
    assert "phase 2 of 4, one genesis everywhere: v4: other" in stranger.value.message
    assert "render" in steps
    assert not {"compatible", "wave"} & set(steps)

    project.commit("ok", "a build whose mesh takes no transactions")
    before = project.places()["v1"]
    lame = project.deploy(prove=verifying.smoke)
    assert lame.exit is Exit.ROLLED_BACK
    assert "phase 3 of 4, peers and finality: smoke: " in lame.error
    assert "economics" not in lame.error
    assert project.places()["v1"] == before
