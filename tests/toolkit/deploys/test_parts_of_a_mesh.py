"""What a change does without: nodes that were down before it, and hosts that do not answer."""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from killed_runs import asked

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import history
from aitbc_toolkit.release.journal import Journal, Point
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.request import Choice
from aitbc_toolkit.remote import Hosts, Row
from aitbc_toolkit.suites.waiting import Look, wait_until

pytestmark = pytest.mark.integration

Build = Callable[..., Any]
SEVEN = tuple(f"v{number}" for number in range(1, 8))


def break_down(project: Any, name: str) -> None:
    """Let a node end now, and at each start from now on."""
    (data,) = project.root.glob(f"state/*/var/lib/aitbc/dev/{name}")
    (data / "damaged").touch()
    pid = project.services()[name]["pid"]
    os.kill(pid, signal.SIGKILL)

    def silent() -> Look[None]:
        with Mesh(project.environment) as mesh:
            status = mesh.statuses([name])[name]
        return Look(status is None, None, str(status))

    wait_until(f"{name} is silent", silent, deadline_s=60)


def cut(monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    """Let nobody reach a host."""
    step = Hosts.step  # as the fixture made it
    why = {"ok": False, "error": "Could not connect", "hint": "", "kind": "unreachable"}

    def without(
        hosts: Hosts, name: str, params: Mapping[str, Mapping[str, Any]], *, deadline_s: int
    ) -> dict[str, Row]:
        reached = {host: each for host, each in params.items() if host != lost}
        rows = dict(step(hosts, name, reached, deadline_s=deadline_s)) if reached else {}
        if lost in params:
            rows[lost] = Row(lost, ok=False, answer=why, took_ms=1)
        return rows

    monkeypatch.setattr(Hosts, "step", without)


def test_a_deploy_of_one_node_is_proved_by_those_that_were_up(a_project: Build) -> None:
    """One of seven is down and stays so: plan and budget allow it, and so does the proof."""
    project = a_project(names=SEVEN)
    project.deploy()
    new = project.commit("ok", "a second build")
    break_down(project, "v7")
    proved: list[str] = []

    def prove(part: Environment) -> tuple[str, str]:
        proved.extend(each.name for each in part.instances)
        return "0 of 0 checks", ""

    done = project.deploy(choice=Choice(only=("v2",)), prove=prove)

    assert done.exit is Exit.OK, done.error
    assert [name for name, commit in project.running().items() if commit == new] == ["v2"]
    assert proved == ["v1", "v2", "v3", "v4", "v5", "v6"]
    assert done.facts["not_asked"] == ["v7"]
    assert "on all but v7" in "\n".join(done.lines)


def test_a_rollback_goes_without_a_host_that_does_not_answer(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its node is named, the end is not called good, and a second rollback takes it along.

    The node itself votes on: the one of another host may be restarted meanwhile.
    """
    project = a_project(hosts=3)
    project.deploy()
    old = project.git("rev-parse", "HEAD")
    new = project.commit("ok", "a second build")
    project.deploy()

    with monkeypatch.context() as patched:
        cut(patched, "host-3")
        back = project.rollback()
        found = asked(project)

    assert back.exit is Exit.MIXED
    assert "v4 was left out, its host host-3 does not answer" in back.error
    assert "aitbc rollback dev" in back.hint
    assert project.running() == {"v1": old, "v2": old, "v3": old, "v4": new}
    assert (found.record.outcome, found.nodes["v4"]) == ("mixed", None)
    assert [found.nodes[name] for name in ("v1", "v2", "v3")] == 3 * ["at the target"]
    again = project.rollback()
    assert again.exit is Exit.OK, again.error
    assert set(project.running().values()) == {old}
    assert history.read(project.environment)[-1].outcome == "healthy"
    with pytest.raises(AitbcError, match="there is no release to return to"):
        project.rollback()


def test_a_rollback_does_not_go_without_the_quorum(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of three hosts answer, but half of the votes are on the other: refused, with the sum."""
    project = a_project(hosts=3)
    project.deploy()
    project.commit("ok", "a second build")
    project.deploy()
    before = project.running()
    cut(monkeypatch, "localhost")

    with pytest.raises(AitbcError, match="too much voting power does not answer") as refused:
        project.rollback()

    assert refused.value.exit_status is Exit.REFUSED
    assert "3*2 = 6 <= 2*4 = 8" in refused.value.message
    assert project.running() == before


def test_a_node_that_was_down_strands_alone(a_project: Build) -> None:
    """It cannot start on either release: the others go back all the same, and it is named."""
    project = a_project(names=SEVEN)
    project.deploy()
    old = project.git("rev-parse", "HEAD")
    project.commit("ok", "a second build")
    project.deploy(choice=Choice(only=("v1", "v2")))
    break_down(project, "v2")

    back = project.rollback()

    assert back.exit is Exit.MIXED
    assert "is not whole: v2 " in back.error
    assert set(project.running().values()) == {old}
    found = asked(project)
    assert (found.record.outcome, found.is_open) == ("mixed", True)
    assert found.record.reason.startswith("v2 ")
    assert back.facts["not_asked"] == ["v2"]


def test_the_way_back_takes_nobody_down_whom_the_mesh_needs(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node dies behind the first wave: it is tried next, in vain; the others have to stay."""
    project = a_project()
    project.deploy()
    new = project.commit("ok", "a second build")
    write, switched, dead = Journal.write, list[str](), list[str]()

    def breaking(journal: Journal, point: Point, **facts: Any) -> None:
        write(journal, point, **facts)
        if point == "gate-passed" and not switched:
            switched.extend(facts["nodes"])
            dead.append("v1" if switched != ["v1"] else "v2")
            break_down(project, dead[0])

    monkeypatch.setattr(Journal, "write", breaking)

    failed = project.deploy()

    told = "\n".join(failed.lines)
    assert failed.exit is Exit.MIXED
    assert f"wave 2 of 4: {dead[0]} keeps crashing" in failed.error
    assert f"{switched[0]}: was left where it is: {switched[0]} cannot be spared" in told
    assert [name for name, commit in project.running().items() if commit == new] == switched
