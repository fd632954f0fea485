"""A validator that runs and does not vote goes first, and nobody follows before it votes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from killed_runs import killed, resumed

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import history, rolling
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.suites.waiting import Look, wait_until

pytestmark = pytest.mark.integration

Build = Callable[..., Any]


def votes(environment: Environment) -> list[str]:
    """Ask who votes."""
    with Mesh(environment) as mesh:
        return voting(environment, mesh.statuses())


def fall_silent(project: Any, name: str, *, for_good: bool = False) -> None:
    """Let a node stop voting: as long as it has the build that it has, or with any."""
    build = project.running()[name]
    text = "any" if for_good else build
    project.host_file(f"var/lib/aitbc/dev/{name}/silent_with").write_text(text)

    def others() -> Look[None]:
        found = votes(project.environment)
        return Look(name not in found and len(found) == 3, None, str(found))

    wait_until(f"all but {name} vote", others, deadline_s=60)


def fail_without_vote(silent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let these nodes pass only those gates that ask no vote of them."""
    judge = rolling.gates.pass_gate

    def judged(mesh: Any, names: Any, **more: Any) -> Any:
        verdict = judge(mesh, names, **more)
        asked = [] if more["answer_is_enough"] else [each for each in names if each in silent]
        return replace(verdict, failed={**verdict.failed, **dict.fromkeys(asked, "does not vote")})

    monkeypatch.setattr(rolling.gates, "pass_gate", judged)


@pytest.fixture
def project(a_project: Build) -> Any:
    """Four validators that have been through two releases."""
    made = a_project()
    made.deploy()
    made.commit("ok", "a second build")
    made.deploy()
    made.records.clear()
    return made


def waves(project: Any) -> list[str]:
    """Name the nodes of each wave, in the order in which they began."""
    found = [each for each in project.records if each["type"] == "wave"]
    return [" ".join(each["nodes"]) for each in found if each["state"] == "begin"]


@pytest.mark.proves("E47")
def test_a_rollback_heals_who_does_not_vote_before_it_touches_the_others(project: Any) -> None:
    """Three of four are just enough: the silent one costs nothing and is one more from then on."""
    bad = project.running()["v3"]
    fall_silent(project, "v3")

    done = project.rollback()

    assert done.exit is Exit.OK, done.error
    order = waves(project)
    assert (order[0], sorted(order)) == ("v3", ["v1", "v2", "v3", "v4"])
    assert bad not in project.running().values()
    assert votes(project.environment) == ["v1", "v2", "v3", "v4"]


def test_a_deploy_heals_who_does_not_vote_before_it_touches_the_others(project: Any) -> None:
    """So a release that repairs a mesh gets to it."""
    fall_silent(project, "v3")
    new = project.commit("ok", "a repair")

    done = project.deploy()

    assert done.exit is Exit.OK, done.error
    assert waves(project)[0] == "v3"
    assert set(project.running().values()) == {new}


def test_who_does_not_come_back_keeps_the_others_from_being_touched(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said why, and what helps; all is as before, and no second node was restarted."""
    before = project.running()
    fall_silent(project, "v3", for_good=True)
    project.fail_the_gates_of({1, 2}, monkeypatch)

    failed = project.rollback()

    assert failed.exit is Exit.ROLLED_BACK
    assert "wave 2 of 4: " in failed.error
    assert "without it 3*2 = 6 <= 2*4 = 8; v3 was failed by the test" in failed.error
    assert "aitbc diagnose consensus -e dev   # why v3 does not vote" in failed.hint
    assert waves(project) == ["v3", "v3"], "there and back"
    assert project.running() == before
    assert history.read(project.environment)[-1].outcome == "rolled back"


def test_a_rollback_that_may_stall_goes_on_without_who_does_not_come_back(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others return, and the one is left behind by its name."""
    bad = project.running()["v3"]
    fall_silent(project, "v3", for_good=True)
    project.fail_the_gates_of({1}, monkeypatch)

    back = project.rollback(allow_stall=True)

    assert back.exit is Exit.MIXED
    assert "is not whole: v3 was failed by the test" in back.error
    assert bad not in project.running().values()


def test_a_rollback_that_was_killed_still_goes_on_without_who_does_not_come_back(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may stay behind, and that the others may stall, was said when it was begun."""
    bad = project.running()["v3"]
    fall_silent(project, "v3", for_good=True)
    killed(project, "switched", verb="rollback", allow_stall=True)
    fail_without_vote(["v3"], monkeypatch)

    back = resumed(project)

    assert back.exit is Exit.MIXED
    assert "is not whole: v3 does not vote" in back.error
    assert bad not in [project.running()[name] for name in ("v1", "v2", "v4")]


@pytest.mark.parametrize("point", ["return-begun", "returned"])
def test_a_return_that_was_killed_asks_no_vote_of_who_did_not_vote_before(
    project: Any, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """On its way back, or back already: it answers, so all is as before."""
    before = project.running()
    fall_silent(project, "v3", for_good=True)
    killed(project, point, verb="rollback")
    fail_without_vote(["v3"], monkeypatch)

    failed = resumed(project)

    assert failed.exit is Exit.ROLLED_BACK
    assert project.running() == before


def test_who_falls_silent_meanwhile_is_switched_next(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the first wave v3 votes no more: v2, whose turn it is, cannot be spared before it."""
    judge = rolling.gates.pass_gate

    def judged(mesh: Any, names: Any, **more: Any) -> Any:
        verdict = judge(mesh, names, **more)
        if names == ("v1",):
            fall_silent(project, "v3")
        return verdict

    monkeypatch.setattr(rolling.gates, "pass_gate", judged)
    monkeypatch.setattr(rolling, "farthest", lambda _mesh, candidates: candidates[0])

    done = project.rollback()

    assert done.exit is Exit.OK, done.error
    assert waves(project) == ["v1", "v3", "v2", "v4"]
