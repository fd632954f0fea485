"""What is known of a run whose controller was killed, and how it comes to its end."""

import errno
import json
from collections.abc import Callable
from typing import Any

import pytest
from killed_runs import asked, forget_everything, killed, pids, resumed

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import history, integrity, journal, rolling
from aitbc_toolkit.release.request import Choice

pytestmark = pytest.mark.integration

Build = Callable[..., Any]


def test_a_closed_run_is_not_resumed(a_project: Build) -> None:
    """There is nothing left of it, and the refusal says so."""
    project = a_project()
    project.deploy()

    with pytest.raises(AitbcError, match="there is no run to resume") as refused:
        resumed(project)

    assert refused.value.exit_status is Exit.REFUSED
    assert refused.value.hint == "aitbc deploy dev"


def test_interrupted_between_links_and_restart_is_restarted_once(a_project: Build) -> None:
    """The process of a half-switched node runs the old release: seen as that, and restarted."""
    project = a_project()
    project.deploy()
    new = project.commit("ok", "a second build")
    killed(project, "gate-passed", 2)
    at_new = [name for name, commit in project.running().items() if commit == new]
    half = next(name for name in ("v1", "v2", "v3", "v4") if name not in at_new)
    configured = next(project.host_file(f"opt/aitbc/dev/releases/{new}/etc").glob(f"{half}-*"))
    for link, target in (
        (project.host_file(f"opt/aitbc/dev/{half}/current"), f"../releases/{new}"),
        (project.host_file(f"etc/aitbc/{half}"), str(configured)),
    ):
        link.unlink()
        link.symlink_to(target)
    before = pids(project)

    found = asked(project)
    done = resumed(project)

    after = pids(project)
    assert found.nodes[half] == "links changed, not restarted"
    assert done.exit is Exit.OK, done.error
    assert half in done.changed
    assert sorted(name for name in before if before[name] == after[name]) == sorted(at_new)
    assert set(project.running().values()) == {new}


def test_a_return_that_was_killed_goes_on_back(a_project: Build) -> None:
    """The third wave failed and the way back was cut short: resume goes back, not on."""
    project = a_project()
    project.deploy()
    good = project.git("rev-parse", "HEAD")
    project.commit("crash")

    killed(project, "return-begun")
    found = asked(project)
    done = resumed(project)

    assert found.to_document()["state"].startswith("going back with ")
    assert done.exit is Exit.ROLLED_BACK
    assert "keeps crashing" in done.error
    assert set(project.running().values()) == {good}
    assert history.read(project.environment)[-1].outcome == "rolled back"
    assert project.deploy(ref=good).changed == (), "every node is as it was"


def test_check_12_five_failures_in_a_row_do_not_evict_the_last_good_release(
    a_project: Build,
) -> None:
    """Whatever failed since, the release before is still there, and a rollback returns to it."""
    project = a_project(names=("v1",))
    project.deploy()
    good = project.git("rev-parse", "HEAD")
    project.commit("ok", "a second good build")
    allowed = {"choice": Choice(allow_stall=True)}
    project.deploy(**allowed)
    for number in range(5):
        project.commit("crash", f"failure {number}")
        assert project.deploy(**allowed).exit is Exit.ROLLED_BACK

    back = project.rollback(allow_stall=True)

    assert back.exit is Exit.OK, back.error
    assert set(project.running().values()) == {good}
    kept = {each.name for each in project.host_file("opt/aitbc/dev/releases").iterdir()}
    assert len(kept) <= 4, "what failed is not kept for ever"


def test_check_23_an_edited_or_removed_record_is_found(a_project: Build) -> None:
    """On the host and here, in the middle and at the end; and nothing is built on it."""
    project = a_project()
    project.deploy()
    there = project.host_file("var/lib/aitbc/dev/deploy/journal.jsonl")
    whole = there.read_text()
    assert [len(each.findings) for each in integrity.verify(project.environment)] == [0, 0]

    there.write_text(whole.replace("healthy", "mixed"))
    edited = integrity.verify(project.environment)[1]
    there.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    removed = integrity.verify(project.environment)[1]
    project.commit("ok", "a second build")
    with pytest.raises(AitbcError, match="newer records were removed") as refused:
        project.deploy()
    there.write_text(whole)

    assert "edited: its hash does not match its text" in edited.findings[0]
    assert "1 newer records were removed" in removed.findings[0]
    assert refused.value.exit_status is Exit.REFUSED
    assert "journal.jsonl.evidence" in refused.value.hint
    (run, *_) = journal.folder_of(project.environment).glob("*.jsonl")
    lines = run.read_text().splitlines()
    run.write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    assert f"{run.name} line 2" in integrity.verify(project.environment)[0].findings[0]


def test_a_host_that_cannot_hear_of_a_run_is_not_changed(a_project: Build) -> None:
    """Before the first switch every host has the announcement; else nothing is switched."""
    project = a_project()
    project.deploy()
    good = project.running()
    project.commit("ok", "a second build")
    there = project.host_file("var/lib/aitbc/dev/deploy/journal.jsonl")
    there.write_text("somebody was here\n")

    with pytest.raises(AitbcError, match="no record of this log") as refused:
        project.deploy()

    assert refused.value.exit_status is Exit.REFUSED
    assert project.running() == good
    assert not asked(project).is_open


def test_a_run_that_this_machine_cannot_write_down_is_closed_on_the_hosts(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up after the hosts were told: refused, and no host shows an open run."""
    project = a_project()
    project.deploy()
    good = project.running()
    project.commit("ok", "a second build")
    write = journal.Journal.write

    def full(self: journal.Journal, point: journal.Point, **facts: Any) -> None:
        if point == "announced":
            raise OSError(errno.ENOSPC, "No space left on device", "journal")
        write(self, point, **facts)

    monkeypatch.setattr(journal.Journal, "write", full)
    with pytest.raises(AitbcError, match="No space left on device") as refused:
        project.deploy()

    there = project.host_file("var/lib/aitbc/dev/deploy/journal.jsonl").read_text()
    last = json.loads(there.splitlines()[-1])["record"]
    assert refused.value.exit_status is Exit.REFUSED
    assert project.running() == good
    assert last["outcome"] == "rolled back"


def test_a_resumed_run_that_a_host_cannot_hear_of_stays_open(a_project: Build) -> None:
    """Half of the fleet is switched: a refusal to go on is not the end, and says so."""
    project = a_project()
    project.deploy()
    new = project.commit("ok", "a second build")
    killed(project, "switched", 2)
    at_new = project.running()
    there = project.host_file("var/lib/aitbc/dev/deploy/journal.jsonl")
    whole = there.read_text()
    there.write_text("somebody was here\n")

    with pytest.raises(AitbcError, match="no record of this log") as refused:
        resumed(project)

    found = asked(project)
    assert refused.value.exit_status is Exit.REFUSED
    assert "nothing that runs, on no host, by this attempt" in refused.value.message
    assert "aitbc deploy status dev" in refused.value.hint
    assert (found.record.outcome, found.is_open) == ("unknown", True)
    assert found.to_document()["state"].startswith("resumed, nothing done since; before that: ")
    assert project.running() == at_new
    there.write_text(whole)
    done = resumed(project)
    assert done.exit is Exit.OK, done.error
    assert set(project.running().values()) == {new}


@pytest.mark.parametrize(("mode", "ends"), [("pause", 1), ("continue", 1)])
def test_a_failure_is_left_as_it_is_when_asked(a_project: Build, mode: str, ends: int) -> None:
    """Status 22 and the names of what stays; resume or rollback end it."""
    project = a_project()
    project.deploy()
    good = project.git("rev-parse", "HEAD")
    bad = project.commit("crash")

    failed = project.deploy(on_failure=mode)

    assert failed.exit is Exit.MIXED
    assert list(project.running().values()).count(bad) == ends
    assert "left as it is" in "\n".join(failed.lines)
    assert asked(project).is_open
    back = project.rollback()
    assert back.exit is Exit.OK, back.error
    assert set(project.running().values()) == {good}


def test_check_03_a_failure_in_the_third_wave_takes_all_back(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nodes had passed; at the end every one has its old commit and configuration hash."""
    project = a_project()
    project.deploy()
    before = history.read(project.environment)[-1].places
    path = project.root / "inventories/dev/inventory.toml"
    path.write_text(path.read_text().replace('log_level = "DEBUG"', 'log_level = "INFO"'))
    project.commit("ok", "a second build")
    project.fail_the_gates_of({3}, monkeypatch)

    failed = project.deploy()

    assert failed.exit is Exit.ROLLED_BACK
    assert failed.error.partition(": ")[2].startswith("wave 3 of 4")
    assert project.places() == before


def test_a_first_run_that_was_killed_is_known_from_the_hosts_alone(a_project: Build) -> None:
    """Another machine has no journal of it; the announcement on the hosts is enough to resume."""
    project = a_project()
    project.deploy()
    new = project.commit("ok", "a second build")
    killed(project, "switched", 2)
    forget_everything(project)

    found = asked(project)
    done = resumed(project)

    assert (found.exit, found.is_open) == (Exit.UNKNOWN, True)
    assert done.exit is Exit.OK, done.error
    assert set(project.running().values()) == {new}


def test_another_machine_goes_on_back_where_a_run_was_on_its_way_back(a_project: Build) -> None:
    """The hosts say so themselves: nobody takes them to a release that has failed its gate."""
    project = a_project()
    project.deploy()
    good = project.git("rev-parse", "HEAD")
    bad = project.commit("crash")
    killed(project, "switch-begun", 2)
    forget_everything(project)

    found = asked(project)
    done = resumed(project)

    assert "going back after: wave 1 of 4: " in found.to_document()["state"]
    assert found.record.commit == bad
    assert done.exit is Exit.ROLLED_BACK
    assert set(project.running().values()) == {good}
    assert not asked(project).is_open


def test_another_machine_that_resumes_drops_no_healthy_release(a_project: Build) -> None:
    """It has no genesis of its own and keeps to the hosts' records: five good ones stay."""
    project = a_project(names=("v1",))
    stall = {"choice": Choice(allow_stall=True)}
    builds = []
    for number in range(4):
        builds.append(project.commit("ok", f"build {number}"))
        assert project.deploy(**stall).exit is Exit.OK
    builds.append(project.commit("ok", "the last build"))
    killed(project, "switched", allow_stall=True)
    forget_everything(project)

    done = resumed(project, **stall)

    assert done.exit is Exit.OK, done.error
    kept = {each.name for each in project.host_file("opt/aitbc/dev/releases").iterdir()}
    assert kept >= set(builds)
    back = project.rollback(allow_stall=True)
    assert back.exit is Exit.OK, back.error
    assert set(project.running().values()) == {builds[-2]}


def test_a_resumed_deploy_is_as_careful_as_it_was_begun(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The canary is watched before the others follow, and the hook is asked before them."""
    project = a_project()
    project.deploy()
    new = project.commit("ok", "a second build")
    killed(project, "gate-passed", 1, canary=1, bake_s=3)
    told = project.root / "told"
    hook = project.root / "inventories/dev/hooks/before-waves"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ncat >{told}\n")
    hook.chmod(0o755)
    watched: list[float] = []
    bake = rolling.bake

    def watching(mesh: Any, names: Any, *, bake_s: float, **more: Any) -> dict[str, str]:
        watched.extend([bake_s, list(project.running().values()).count(new)])
        return bake(mesh, names, bake_s=bake_s, **more)

    monkeypatch.setattr(rolling, "bake", watching)

    done = resumed(project)

    assert done.exit is Exit.OK, done.error
    assert watched == [3, 1]
    said = json.loads(told.read_text())
    assert (said["resumed"], said["commit"], len(said["nodes"])) == (True, new, 3)


def test_a_resumed_deploy_switches_nobody_to_a_release_that_was_edited(a_project: Build) -> None:
    """Somebody worked in the folder meanwhile; what was switched stays, and the run stays open."""
    project = a_project()
    project.deploy()
    new = project.commit("ok", "a second build")
    killed(project, "switched", 2)
    before = project.running()
    path = project.host_file(f"opt/aitbc/dev/releases/{new}/node/aitbc_node/behaviour")
    path.write_text("mute\n")

    with pytest.raises(AitbcError, match="deploy --resume dev refused") as refused:
        resumed(project)

    assert refused.value.exit_status is Exit.REFUSED
    assert project.running() == before
    assert asked(project).is_open


def test_a_journal_survives_in_order(a_project: Build) -> None:
    """Every point is there once it happened, each line bound to the last."""
    project = a_project()
    project.deploy()
    project.commit("ok", "a second build")
    project.deploy()

    run = history.read(project.environment)[-1].id
    points = [each["point"] for each in journal.read(project.environment, run)]

    wave = ["switch-begun", "switched", "gate-passed"]
    ends = ["verify-begun", "verified", "closing", "closed"]
    assert points == ["begun", "announced", *(4 * wave), *ends]
    assert journal.findings(project.environment) == []
    assert json.loads(journal.of(project.environment, run).path.read_text().splitlines()[0])


def test_a_controller_that_hangs_is_running_and_one_that_is_gone_is_not(a_project: Build) -> None:
    """A lease on the host outlives a killed process of this machine; nobody is fooled by it."""
    project = a_project()
    project.deploy()
    project.commit("ok", "a second build")

    killed(project, "announced")

    assert not asked(project).running
