"""Check 9: how a deploy ended is what its status says, one test for each of them.

The statuses of the command line itself (64, 69, 70, 77, 78) are proved where they are raised.
"""

from collections.abc import Callable
from typing import Any

import pytest

from aitbc_toolkit import identity
from aitbc_toolkit.errors import AitbcError, Exit, Interrupted
from aitbc_toolkit.release import history, journal
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.inquiry import inquire
from aitbc_toolkit.release.journal import Journal, Point
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.remote import Row

pytestmark = pytest.mark.integration

Build = Callable[..., Any]


@pytest.fixture
def project(a_project: Build) -> Any:
    """Give a mesh that runs, and a newer commit."""
    found = a_project()
    assert found.deploy().exit is Exit.OK
    found.commit("ok", "a second build")
    return found


def at_point(monkeypatch: pytest.MonkeyPatch, point: Point, act: Callable[[], None]) -> None:
    """Do something right after the journal has written a point for the first time."""
    write, done = Journal.write, list[bool]()

    def acting(journal: Journal, written: Point, **facts: Any) -> None:
        write(journal, written, **facts)
        if written == point and not done:
            done.append(True)
            act()

    monkeypatch.setattr(Journal, "write", acting)


def test_check_09_0_done_and_nothing_to_do(project: Any) -> None:
    """Every node is at the commit; the same again has nothing to do and says 0 as well."""
    assert (project.deploy().exit, project.deploy().exit) == (Exit.OK, Exit.OK)


@pytest.mark.proves("E51")
def test_check_09_21_rolled_back(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate failed, the report says which, and everything is as before without a question.

    A deploy that ends well quotes what was measured, and nothing else.
    """
    before = project.places()
    project.fail_the_gates_of({2}, monkeypatch)

    failed = project.deploy()

    assert failed.exit is Exit.ROLLED_BACK
    assert project.places() == before
    assert history.read(project.environment)[-1].outcome == "rolled back"
    assert "failed: wave 2 of 4: v" in failed.error
    assert "was failed by the test" in failed.error
    monkeypatch.undo()
    monkeypatch.setattr(identity, "stranger", lambda *_asked: "")
    good = project.deploy()
    for figure in ("longest_gap_ms", "floor_ms"):
        assert f"{good.facts[figure] / 1000:.1f} s" in "\n".join(good.lines)


def test_check_09_22_the_way_back_failed_too(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that could not be brought back is named, and the fleet is called mixed."""
    project.fail_the_gates_of({2, 3}, monkeypatch)

    failed = project.deploy()

    assert failed.exit is Exit.MIXED
    assert "stranded" in "\n".join(failed.lines)
    assert history.read(project.environment)[-1].outcome == "mixed"


def test_check_09_23_a_host_that_answers_nothing(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the switch nor the way back was answered: nobody claims to know what runs there."""
    silent = {"ok": False, "error": "the step did not end", "hint": "", "kind": "unknown"}
    monkeypatch.setattr(
        Crew,
        "switch",
        lambda *_asked: {"localhost": Row("localhost", ok=False, answer=silent, took_ms=1)},
    )

    failed = project.deploy()

    assert failed.exit is Exit.UNKNOWN
    assert failed.hint == "aitbc deploy status dev"
    monkeypatch.undo()
    found = inquire(project.environment)
    assert found is not None
    assert found.exit is Exit.UNKNOWN


def test_check_09_23_a_worker_that_was_lost(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection to all hosts is gone in the middle of a wave: unknown, and not closed."""
    workers: list[Any] = []
    hold = Crew.hold

    def remembered(crew: Crew, *arguments: Any) -> None:
        workers.append(crew._remote)
        hold(crew, *arguments)

    monkeypatch.setattr(Crew, "hold", remembered)

    def lose() -> None:
        workers[0]._child.kill()

    at_point(monkeypatch, "switch-begun", lose)

    with pytest.raises(AitbcError) as lost:
        project.deploy()

    assert lost.value.exit_status is Exit.UNKNOWN
    assert lost.value.hint.startswith("aitbc deploy status dev")
    assert history.read(project.environment)[-1].outcome == "unknown"


@pytest.mark.parametrize("harm", ["edited", "no room"])
def test_check_09_23_a_journal_that_cannot_be_written(
    project: Any, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """In the middle of the waves that is no refusal: who was switched is named, and where to look.

    Somebody has edited it, or the file system takes nothing more.
    """

    def spoil() -> None:
        run = journal.of(project.environment, history.read(project.environment)[-1].id)
        lock = run.path.with_name(f".{run.path.name}.lock")
        if harm == "edited":
            run.path.write_text(run.path.read_text().replace("announced", "closed"))
        else:
            lock.unlink()
            lock.mkdir()

    at_point(monkeypatch, "gate-passed", spoil)

    with pytest.raises(AitbcError) as lost:
        project.deploy()

    new = project.git("rev-parse", "HEAD")
    at_new = [name for name, commit in project.running().items() if commit == new]
    assert lost.value.exit_status is Exit.UNKNOWN
    assert lost.value.hint.startswith("aitbc deploy status dev")
    assert len(at_new) == 1, "nothing is switched that could not be written down before"
    assert f"switched so far  {at_new[0]}" in lost.value.message
    assert "nothing, on no host" not in lost.value.message
    found = inquire(project.environment)
    assert found is not None
    assert (found.exit, found.is_open) == (Exit.UNKNOWN, True)


def test_check_09_20_a_journal_that_cannot_be_begun(project: Any) -> None:
    """Before the announcement nothing was switched, and that is what is said."""
    before = project.running()
    journal.folder_of(project.environment).rename(project.root / "deploys")
    journal.folder_of(project.environment).touch()

    with pytest.raises(AitbcError, match="changed so far   nothing that runs") as refused:
        project.deploy()

    assert refused.value.exit_status is Exit.REFUSED
    assert refused.value.hint.startswith("df -h ")
    assert project.running() == before


def test_check_09_75_somebody_else_is_at_work(project: Any) -> None:
    """The lease is held: busy, and nothing was touched."""
    before = project.running()
    with (
        at_work(project.environment, project.records.append, reason="another deploy"),
        pytest.raises(AitbcError) as busy,
    ):
        project.deploy()

    assert busy.value.exit_status is Exit.BUSY
    assert project.running() == before


def test_check_09_130_interrupted(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle is on record, with both ways out; what was done is told."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    at_point(monkeypatch, "gate-passed", interrupt)

    with pytest.raises(Interrupted) as stopped:
        project.deploy()

    said = [str(each["text"]) for each in project.records if each["type"] == "note"]
    assert said[-2].startswith("interrupted; v")
    assert said[-1].startswith("armed: localhost takes v")
    assert stopped.value.hint.splitlines() == [
        "aitbc deploy dev --resume   # goes on",
        "aitbc rollback dev   # goes back",
    ]
    assert history.read(project.environment)[-1].outcome == "interrupted"
    assert sorted(project.running().values()).count(project.git("rev-parse", "HEAD")) == 1


@pytest.mark.proves("E51")
def test_a_mesh_that_is_not_proved_goes_back_one_node_at_a_time(project: Any) -> None:
    """A failed smoke suite takes the fleet back, and the way back keeps the quorum too."""
    before = project.places()

    failed = project.deploy(prove=lambda _environment: ("7 of 8 checks", "a transfer was lost"))

    returns = [
        each["nodes"]
        for each in project.records
        if each.get("state") == "done" and str(each.get("place", "")).startswith("return")
    ]
    assert (failed.exit, project.places()) == (Exit.ROLLED_BACK, before)
    assert "a transfer was lost" in failed.error
    assert sorted(returns) == [["v1"], ["v2"], ["v3"], ["v4"]]
