"""What a host does when nobody comes back to a node that was switched: real hosts' programs."""

import json
import os
import re
import signal
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from aitbc_toolkit.deploys.hostside import deadman, files, firing
from aitbc_toolkit.deploys.hostside.moments import Moment
from aitbc_toolkit.errors import AitbcError, Exit, Interrupted
from aitbc_toolkit.release import arming, audit, gates, rolling, services, state
from aitbc_toolkit.release.arming import Guard
from aitbc_toolkit.release.facts import observe, places
from aitbc_toolkit.release.inquiry import inquire
from aitbc_toolkit.release.occupation import at_work, looking, stay
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


def armed(run: Run, names: tuple[str, ...], to: str) -> Mapping[str, Any]:
    """Switch nodes to a release that is there, armed with where they stand; say what they said.

    Armed for longer than any test: nothing fires before `make_due`, however busy the machine is.
    """
    before = places(observe(run, "deploy"))
    targets = {name: (to, before[name][1]) for name in names}
    known = arming.rules(run.mesh.statuses())
    guard = Guard({name: before[name] for name in names}, 600, app_version=known)
    rows = run.crew.switch(targets, guard)
    assert rows["localhost"].ok, rows["localhost"].error
    return rows["localhost"].answer


def make_due(project: Any) -> None:
    """Let the time be over that a switch was armed for."""
    state = project.host_file("var/lib/aitbc/dev/deploy")
    deadman.write(state, {**deadman.read(state), "due_s": 0.0})


def kept(project: Any) -> dict[str, Any]:
    """Read what the host keeps about its switch."""
    path = project.host_file("var/lib/aitbc/dev/deploy/deadman.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def instances(project: Any) -> list[dict[str, Any]]:
    """List the nodes that the host would take back."""
    found: list[dict[str, Any]] = kept(project)["instances"]
    return found


def test_check_11_nobody_comes_back_and_the_host_takes_the_node_back(
    a_project: Build, eventually: Wait
) -> None:
    """Within the time that it was armed for, without a controller; disarming then tells of it."""
    project, old, new = stage_two(a_project)

    with at_work(project.environment, project.records.append, reason="a run") as run:
        armed(run, ("v1",), old)
        at_first = project.running()["v1"]
        make_due(project)
        eventually("v1 to be back", lambda: project.running()["v1"] == new, deadline_s=60)
        eventually("the switch to end", lambda: kept(project)["state"] == "fired", deadline_s=60)
        rows = run.crew.disarm(["v1"])
        (acted,) = arming.acted(run.crew.answers(), since="")

    assert at_first == old
    assert (acted["state"], acted["nodes"]) == ("fired", ["v1"])
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
        armed(run, ("v1",), old)
        # One that is silent is not missed, so the new process has to answer first.
        (v1,) = instances(project)
        eventually("v1 to vote", lambda: firing.is_needed(v1), deadline_s=60)
        make_due(project)
        eventually("it to wait", lambda: "the mesh needs v1" in log.read_text(), deadline_s=60)
        rows = run.crew.disarm(["v1"])

    assert rows["localhost"].answer["back"] == []
    assert (kept(project)["state"], project.running()["v1"]) == ("disarmed", old)
    assert new in project.running().values()


def test_who_was_told_that_the_run_goes_back_still_takes_its_node_back(
    a_project: Build, eventually: Wait
) -> None:
    """The controller dies after its word and before the first node went back: the host does it."""
    project, old, new = stage_two(a_project)

    def dies() -> None:
        with at_work(project.environment, project.records.append, reason="a run") as run:
            armed(run, ("v1",), old)
            rows = run.crew.turn_back({"id": run.id, "returning": "v1 failed"})
            assert rows["localhost"].ok, rows["localhost"].error
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dies()
    at_death = kept(project)["state"]
    make_due(project)

    eventually("v1 to be back", lambda: project.running()["v1"] == new, deadline_s=60)
    assert at_death == "armed"


def test_what_is_armed_lets_go_of_each_node_when_it_is_back(a_project: Build) -> None:
    """One of two is taken back: the host goes on watching the other one, and nothing else."""
    project, old, _new = stage_two(a_project)
    environment = project.environment

    with at_work(environment, project.records.append, reason="a run") as run:
        before = places(observe(run, "deploy"))
        armed(run, ("v1", "v2"), old)
        shown = []
        for name in ("v1", "v2"):
            rows = run.crew.switch({name: before[name]}, Guard())
            assert rows["localhost"].ok, rows["localhost"].error
            shown.append((kept(project)["state"], [each["name"] for each in instances(project)]))

    assert shown[0] == ("armed", ["v2"])
    assert shown[1][0] == "disarmed"


def test_an_interrupted_deploy_leaves_armed_what_it_has_not_proved(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C behind a switch and before its gate: the host still waits, and the run says so.

    A deploy that asks for more care than the one that has switched them already is refused, and
    leaves it armed.
    """
    project = a_project(rollout="all")
    assert project.deploy().exit is Exit.OK
    project.commit("ok", "a build that nobody waits for")

    def ctrl_c(*_asked: Any, **_more: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(gates, "pass_gate", ctrl_c)
    with pytest.raises(Interrupted):
        project.deploy()

    notes = [str(each["text"]) for each in project.records if each["type"] == "note"]
    assert re.match(r"armed: localhost takes v1 v2 v3 v4 back in \d+ s unless a run", notes[-1])
    with pytest.raises(AitbcError, match="begun with another --canary --bake") as refused:
        project.deploy(choice=Choice(canary=1, bake_s=5))
    assert refused.value.exit_status is Exit.REFUSED
    assert kept(project)["state"] == "armed"


def test_a_run_that_follows_decides_about_what_was_armed(a_project: Build) -> None:
    """It disarms before it looks, and says so: no host changes anything behind it."""
    project, old, _new = stage_two(a_project)
    environment = project.environment

    def dies() -> None:
        with at_work(environment, project.records.append, reason="a run") as run:
            armed(run, ("v1",), old)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dies()
    shown, asked = state.look(environment).to_lines(), inquire(environment)
    with pytest.raises(AitbcError, match="has not proved what it switched") as refused:
        services.control(environment, "stop", "v2", project.records.append)
    before = kept(project)["state"]
    with at_work(environment, project.records.append, reason="another") as run:
        during = kept(project)["state"]
        places(observe(run, "deploy"))

    said = "armed: localhost takes v1 back in"
    assert [line.partition(" in ")[0] + " in" for line in shown if said in line] == [
        f"dead-man's switch {said}"
    ]
    assert asked is not None
    assert [said in line for line in asked.to_lines() if "  switch" in line] == [True]
    assert (before, during) == ("armed", "disarmed")
    notes = [str(each["text"]) for each in project.records if each["type"] == "note"]
    assert any(each.endswith("on localhost is disarmed: v1 stays as it is") for each in notes)
    assert refused.value.exit_status is Exit.REFUSED
    assert "aitbc deploy dev --resume   # goes on" in refused.value.hint.splitlines()


def test_a_run_that_stays_decides_about_what_was_armed_meanwhile(a_project: Build) -> None:
    """Its lease was given back, so another run could come and die: that one's switch is its own."""
    project, old, _new = stage_two(a_project)
    environment = project.environment

    def dies() -> None:
        with at_work(environment, project.records.append, reason="another") as run:
            armed(run, ("v1",), old)
            raise KeyboardInterrupt

    with looking(environment, project.records.append) as run:
        wanted = places(observe(run, "deploy"))
    with at_work(environment, project.records.append, reason="a run", wanted=wanted) as run:
        with pytest.raises(KeyboardInterrupt):
            dies()
        before = kept(project)["state"]
        stayed = stay(run)
        after = kept(project)["state"]

    assert stayed
    assert (before, after) == ("armed", "disarmed")
    notes = [str(each["text"]) for each in project.records if each["type"] == "note"]
    assert any(each.endswith("on localhost is disarmed: v1 stays as it is") for each in notes)


def test_a_run_that_stays_breaks_the_lease_of_who_came_meanwhile(a_project: Build) -> None:
    """Its own was given back, for nothing was to be done: `--break-lease` is heard then, too."""
    project, _old, _new = stage_two(a_project)
    environment, tell = project.environment, project.records.append
    with looking(environment, tell) as run:
        wanted = places(observe(run, "deploy"))

    with (
        at_work(environment, tell, reason="a run", wanted=wanted) as run,
        at_work(environment, tell, reason="another") as other,
    ):
        stayed = stay(run, break_lease="it hangs")
        late = other.crew.service("stop", ["v1"])

    records, _ = audit.check(audit.path_of(environment))
    broken = [each.entry.reason for each in records if each.entry.action == "break-lease"]
    assert stayed
    assert late["localhost"].kind == "lease"
    assert [each.partition(" (held by ")[0] for each in broken] == ["it hangs"]


def test_who_decides_nothing_breaks_no_lease_of_a_run_that_has_armed_a_host(
    a_project: Build,
) -> None:
    """It is refused before the lease is touched: the run that is at work stays at work."""
    project, old, _new = stage_two(a_project)
    environment = project.environment

    with at_work(environment, project.records.append, reason="a run") as run:
        armed(run, ("v1",), old)
        with pytest.raises(AitbcError, match="nothing that runs") as refused:
            services.control(
                environment, "start", "v2", project.records.append, break_lease="it hangs"
            )
        went_on = run.crew.disarm(["v1"])

    records, _findings = audit.check(audit.path_of(environment))
    assert refused.value.exit_status is Exit.REFUSED
    assert "has not proved what it switched" in refused.value.message
    assert went_on["localhost"].ok, went_on["localhost"].error
    assert "break-lease" not in [each.entry.action for each in records]


def test_nothing_is_taken_back_over_a_change_of_data(a_project: Build, eventually: Wait) -> None:
    """After `finalize` the release before may not know the data: it stays, and says why."""
    project, old, _new = stage_two(a_project)
    written = project.host_file("var/lib/aitbc/dev/v1/data_version")
    written.write_text("1\n")

    with at_work(project.environment, project.records.append, reason="a run") as run:
        armed(run, ("v1",), old)
        written.write_text("2\n")
        make_due(project)
        eventually("it to end", lambda: kept(project)["state"] != "armed", deadline_s=60)

    assert (kept(project)["state"], project.running()["v1"]) == ("withheld", old)
    assert "v1: data or rules have changed" in kept(project)["reason"]


def test_a_canary_may_be_watched_for_longer_than_its_switch_waits(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time to act is counted from the end of all proofs: a bake of hours is on top of it."""
    project = a_project()
    assert project.deploy().exit is Exit.OK
    project.commit("ok", "a build to watch")
    left_s: list[float] = []

    def watch(_mesh: Any, _names: Any, *, bake_s: float, **_: Any) -> dict[str, str]:
        left_s.append(kept(project)["due_s"] - Moment.read().now_s - bake_s)
        assert kept(project)["state"] == "armed"
        return {}

    monkeypatch.setattr(rolling, "bake", watch)
    done = project.deploy(choice=Choice(canary=1, bake_s=10_000))

    assert done.exit is Exit.OK, done.error
    assert [each > 0 for each in left_s] == [True]
    assert kept(project)["state"] == "disarmed"


def test_a_deploy_whose_node_was_taken_back_before_its_end_has_failed(a_project: Build) -> None:
    """Whatever proved the mesh: the record says healthy of nodes that run what they were given."""
    project = a_project()
    assert project.deploy().exit is Exit.OK
    good = project.git("rev-parse", "HEAD")
    project.commit("ok", "a build that does not stay")

    def prove(_environment: Any) -> tuple[str, str]:
        files.point(project.host_file("opt/aitbc/dev/v2/current"), f"../releases/{good}")
        return "1 of 1 checks", ""

    failed = project.deploy(prove=prove)

    assert failed.exit is Exit.ROLLED_BACK
    assert "v2 no longer run what they were given" in failed.error
    assert set(project.running().values()) == {good}


def test_a_deploy_whose_node_crashed_after_its_gate_has_failed(
    a_project: Build, eventually: Wait
) -> None:
    """It runs what it was given, and is not the process that was proved."""
    project = a_project()
    assert project.deploy().exit is Exit.OK
    project.commit("ok", "a build that crashes later")

    def prove(_environment: Any) -> tuple[str, str]:
        first = project.services()["v2"]["pid"]
        os.kill(first, signal.SIGKILL)
        anew = lambda: project.services()["v2"]["pid"] not in {0, first}  # noqa: E731 - one condition
        eventually("v2 to be another process", anew, deadline_s=60)
        return "1 of 1 checks", ""

    failed = project.deploy(prove=prove)

    assert failed.exit is Exit.ROLLED_BACK
    assert "v2 crashed after passing the gate" in failed.error
