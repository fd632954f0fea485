"""What a host does when nobody comes back to a node that was switched: real hosts' programs."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release.arming import Guard
from aitbc_toolkit.release.facts import observe, places
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.request import Choice
from aitbc_toolkit.release.rolling import Run

pytestmark = pytest.mark.integration

Build = Callable[..., Any]
Wait = Callable[..., None]


def stage_two(a_project: Build, **more: Any) -> tuple[Any, str, str]:
    """Deploy a release, then another; return the project and both commits."""
    project = a_project(**more)
    assert project.deploy().exit is Exit.OK
    old = project.git("rev-parse", "HEAD")
    new = project.commit("ok", "a second build")
    second = project.deploy(choice=Choice(allow_stall=True))
    assert second.exit is Exit.OK, second.error
    return project, old, new


def armed(run: Run, names: tuple[str, ...], to: str, *, after_s: float) -> Mapping[str, Any]:
    """Switch nodes to a release that is there, armed with where they stand; say what they said."""
    before = places(observe(run, "deploy"))
    targets = {name: (to, before[name][1]) for name in names}
    guard = Guard({name: before[name] for name in names}, after_s)
    rows = run.crew.switch(targets, guard)
    assert rows["localhost"].ok, rows["localhost"].error
    return rows["localhost"].answer


def kept(project: Any) -> dict[str, Any]:
    """Read what the host keeps about its switch."""
    path = project.host_file("var/lib/aitbc/dev/deploy/deadman.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_check_11_nobody_comes_back_and_the_host_takes_the_node_back(
    a_project: Build, eventually: Wait
) -> None:
    """Within the time that it was armed for, without a controller; disarming then tells of it."""
    project, old, new = stage_two(a_project)

    with at_work(project.environment, project.records.append, reason="a run") as run:
        armed(run, ("v1",), old, after_s=1.0)
        at_first = project.running()["v1"]
        eventually("v1 to be back", lambda: project.running()["v1"] == new, deadline_s=20)
        eventually("the switch to end", lambda: kept(project)["state"] == "fired", deadline_s=20)
        rows = run.crew.disarm(["v1"])

    assert at_first == old
    assert rows["localhost"].answer["back"] == ["v1"]
    assert set(project.running().values()) == {new}
    assert project.services()["v1"]["active"]


def test_check_11_a_node_that_the_mesh_needs_stays_until_it_can_be_spared(
    a_project: Build, eventually: Wait
) -> None:
    """With three validators no vote can be spared: it waits, and may be disarmed meanwhile."""
    project, old, new = stage_two(a_project, names=("v1", "v2", "v3"))
    log = project.host_file("var/log/aitbc/deadman.log")

    with at_work(project.environment, project.records.append, reason="a run") as run:
        # Long enough for the new process to answer: one that is silent is not missed.
        armed(run, ("v1",), old, after_s=3.0)
        eventually("it to wait", lambda: "the mesh needs v1" in log.read_text(), deadline_s=20)
        rows = run.crew.disarm(["v1"])

    assert rows["localhost"].answer["back"] == []
    assert (kept(project)["state"], project.running()["v1"]) == ("disarmed", old)
    assert new in project.running().values()


def test_a_run_that_follows_decides_about_what_was_armed(a_project: Build) -> None:
    """Whoever stops a node after a dead run does not see it started again by its host."""
    project, old, _new = stage_two(a_project)

    with at_work(project.environment, project.records.append, reason="a run") as run:
        armed(run, ("v1",), old, after_s=60)
        before = kept(project)["state"]
        run.crew.service("stop", ["v1"])

    assert (before, kept(project)["state"]) == ("armed", "disarmed")


def test_nothing_is_taken_back_over_a_change_of_data(a_project: Build, eventually: Wait) -> None:
    """After `finalize` the release before may not know the data: it stays, and says why."""
    project, old, _new = stage_two(a_project)
    written = project.host_file("var/lib/aitbc/dev/v1/data_version")
    written.write_text("1\n")

    with at_work(project.environment, project.records.append, reason="a run") as run:
        armed(run, ("v1",), old, after_s=1.0)
        written.write_text("2\n")
        eventually("it to end", lambda: kept(project)["state"] != "armed", deadline_s=20)

    assert (kept(project)["state"], project.running()["v1"]) == ("withheld", old)
    assert "v1: data or rules have changed" in kept(project)["reason"]
