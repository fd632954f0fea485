"""Deploys and rollbacks of a stand-in node on this machine: real git, uv, pyinfra, supervisord."""

import dataclasses
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.errors import AitbcError, ConfigError, Exit
from aitbc_toolkit.release import audit, founding, history, source, state
from aitbc_toolkit.release.inquiry import inquire
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.remote import Hosts

pytestmark = pytest.mark.integration

Build = Callable[..., Any]


def test_a_second_run_changes_nothing(a_project: Build) -> None:
    """The first deploy brings four nodes up; the same again touches none of them."""
    project = a_project()

    first = project.deploy()
    again = project.deploy()

    assert first.exit is Exit.OK, first.error
    assert sorted(first.changed) == ["v1", "v2", "v3", "v4"]
    assert again.exit is Exit.OK
    assert again.changed == ()
    assert "Nothing to do" in again.lines[0]
    assert set(project.running().values()) == {project.git("rev-parse", "HEAD")}


def test_the_right_release_without_blocks_is_not_fine(a_project: Build) -> None:
    """Every process runs what it should and two hang: nothing to deploy, and nothing to praise."""
    project = a_project()
    assert project.deploy().exit is Exit.OK
    rows = project.services()
    for name in ("v1", "v2"):
        os.kill(rows[name]["pid"], signal.SIGSTOP)

    again = project.deploy()

    for name in ("v1", "v2"):
        os.kill(rows[name]["pid"], signal.SIGCONT)
    assert again.exit is Exit.FAILED
    assert "runs " in again.error
    assert "already, but it makes no blocks" in again.error
    assert "2 of 4 vote" in again.error
    assert again.changed == ()


@pytest.mark.proves("E47")
def test_a_rollback_brings_the_release_before_back(a_project: Build) -> None:
    """A new commit goes out node by node; a rollback that names no version undoes exactly that."""
    project = a_project()
    project.deploy()
    old = project.git("rev-parse", "HEAD")
    new = project.commit("ok", "a second build")

    deployed = project.deploy()
    after_deploy = project.running()
    rolled_back = project.rollback()

    assert deployed.exit is Exit.OK, deployed.error
    assert set(after_deploy.values()) == {new}
    assert rolled_back.exit is Exit.OK, rolled_back.error
    assert set(project.running().values()) == {old}
    waves = [each["nodes"] for each in project.records if each["type"] == "wave"]
    assert max(map(len, waves[2:])) == 1, "after the first start, nodes change one at a time"
    assert deployed.facts["longest_gap_ms"] > 0
    assert deployed.facts["floor_ms"] > 0
    assert [each.action for each in history.read(project.environment)] == [
        *("deploy", "deploy", "rollback"),
    ]


def test_check_02_a_build_that_crashes_touches_one_node_and_goes_back(a_project: Build) -> None:
    """The first wave fails at once, with what the node wrote; the others never notice."""
    project = a_project()
    project.deploy()
    good = project.git("rev-parse", "HEAD")
    bad = project.commit("crash")

    failed = project.deploy()

    assert failed.exit is Exit.ROLLED_BACK
    assert "keeps crashing" in failed.error
    assert "this build cannot start" in failed.error
    assert set(project.running().values()) == {good}
    assert "never changed" in "\n".join(failed.lines)
    newest = history.read(project.environment)[-1]
    assert (newest.commit, newest.outcome) == (bad, "rolled back")
    assert project.deploy(ref=good).changed == (), "all nodes run the good build as before"


def test_check_05_another_root_is_stopped_after_the_first_wave(a_project: Build) -> None:
    """Its node votes and its state differs: one node was switched, it goes back, all is kept."""
    project = a_project()
    project.deploy()
    good = project.git("rev-parse", "HEAD")
    bad = project.commit("root")

    failed = project.deploy()

    assert failed.exit is Exit.ROLLED_BACK
    assert "wave 1 of 4" in failed.error
    assert "state roots differ at height" in failed.error
    assert set(project.running().values()) == {good}
    [kept] = project.environment.folder.glob("deploys/*/evidence/wave-1.json")
    evidence = json.loads(kept.read_text())
    [other] = evidence["failed"]
    assert evidence["height"] > 0
    assert evidence["nodes"][other]["commit"] == bad
    assert {node["commit"] for name, node in evidence["nodes"].items() if name != other} == {good}
    roots = [node["state_root"] for name, node in evidence["nodes"].items() if name != other]
    assert len(set(roots)) == 1
    assert evidence["nodes"][other]["state_root"] not in {"", *roots}


def test_a_failed_first_deploy_leaves_nothing_running(a_project: Build) -> None:
    """There is no release to return to: as before means down."""
    project = a_project()
    project.commit("crash")

    failed = project.deploy()

    assert failed.exit is Exit.ROLLED_BACK
    assert "as before: not running" in "\n".join(failed.lines)
    rows = state.look(project.environment).nodes
    assert {row.state for row in rows} == {"unreachable"}
    assert not {row.service for row in rows} & {"running", "starting"}


def test_a_first_start_that_crashes_is_repaired_by_the_next_deploy(a_project: Build) -> None:
    """What failed is no obstacle: the next commit comes up on the same hosts and keys."""
    project = a_project()
    project.commit("crash")
    project.deploy()
    project.commit("ok", "repaired")

    assert project.deploy().exit is Exit.OK


@pytest.mark.proves("E45")
def test_code_comes_by_git_and_by_nothing_else(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line of a source file is in what is sent; the host's tree is the commit's, by git."""
    project = a_project()
    sent: list[str] = []
    send = Hosts._send

    def recorded(hosts: Hosts, job: dict[str, Any]) -> None:
        sent.append(json.dumps(job))
        send(hosts, job)

    monkeypatch.setattr(Hosts, "_send", recorded)
    project.deploy()

    code = (project.checkout / "node/aitbc_node/__main__.py").read_text()
    lines = [line for line in code.splitlines() if len(line) > 40]
    assert lines
    assert sent
    assert not [line for line in lines if json.dumps(line)[1:-1] in "".join(sent)]
    commit = project.git("rev-parse", "HEAD")
    release = project.host_file(f"opt/aitbc/dev/releases/{commit}")
    manifest = json.loads((release / "manifest.json").read_text())
    assert manifest["commit"] == commit
    assert {"tag", "lock", "proof", "by", "when", "subject", "snapshot"} <= manifest.keys()
    assert (release / "node/aitbc_node/__main__.py").read_text() == code
    mirror = project.host_file("opt/aitbc/dev/repo.git")
    assert (mirror / "HEAD").is_file()


def test_no_private_key_leaves_its_host(a_project: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a host answers has public parts only, and its admin token is nobody else's to read."""
    project = a_project()
    heard: list[str] = []
    wait = Hosts._wait_for

    def recorded(hosts: Hosts, job: int, **more: Any) -> dict[str, Any]:
        rows = wait(hosts, job, **more)
        heard.append(json.dumps(rows))
        return rows

    monkeypatch.setattr(Hosts, "_wait_for", recorded)
    project.deploy()

    keys = project.host_file("var/lib/aitbc-keys/v1")
    token = (keys / "admin.token").read_text().strip()
    assert (keys.stat().st_mode & 0o777, len(token)) == (0o700, 48)
    assert (keys / "admin.token").stat().st_mode & 0o777 == 0o600
    assert token not in "".join(heard)
    assert "PRIVATE" not in "".join(heard)


@pytest.mark.proves("E45")
def test_an_edited_release_is_refused(a_project: Build) -> None:
    """A folder that is not its commit any more is shown, and nothing is switched to it."""
    project = a_project()
    project.deploy()
    old = project.git("rev-parse", "HEAD")
    project.commit("ok", "a second build")
    project.deploy()
    edited = project.host_file(f"opt/aitbc/dev/releases/{old}/node/aitbc_node/__main__.py")
    edited.write_text(edited.read_text() + "# a quick fix\n")

    with pytest.raises(AitbcError) as refused:
        project.deploy(ref=old)

    assert refused.value.exit_status is Exit.REFUSED
    assert "M node/aitbc_node/__main__.py" in refused.value.message
    assert old not in project.running().values()


def test_an_interrupted_switch_is_finished_by_the_next_run(a_project: Build) -> None:
    """Links that changed without a restart are noticed by what the process runs."""
    project = a_project()
    project.deploy()
    old = project.git("rev-parse", "HEAD")
    new = project.commit("ok", "a second build")
    project.deploy()
    link = project.host_file("opt/aitbc/dev/v2/current")
    link.unlink()
    link.symlink_to(f"../releases/{old}")

    repaired = project.deploy()

    assert repaired.changed == ["v2"]
    assert set(project.running().values()) == {new}


def test_uncommitted_work_goes_along_only_when_asked(a_project: Build) -> None:
    """A snapshot is a commit of its own: no branch, index or file of the checkout changes."""
    project = a_project()
    (project.checkout / "notes.txt").write_text("work in progress\n")
    project.git("add", "notes.txt")
    (project.checkout / "notes.txt").write_text("more of it\n")
    before = (project.git("status", "--porcelain"), project.git("rev-parse", "HEAD"))

    plain = source.resolve(None, snapshot=False, root=project.checkout)
    dirty = source.resolve(None, snapshot=True, root=project.checkout)
    again = source.resolve(None, snapshot=True, root=project.checkout)

    assert (plain.commit, plain.dirty) == (before[1], 1)
    assert dirty.commit not in {before[1], ""}
    assert again == dirty, "the same tree has the same name, so a second run finds no change"
    assert project.git("show", f"{dirty.commit}:notes.txt") == "more of it"
    assert before == (project.git("status", "--porcelain"), project.git("rev-parse", "HEAD"))
    assert project.git("for-each-ref", "--contains", dirty.commit) == ""
    assert project.deploy(snapshot=True).exit is Exit.OK
    assert set(project.running().values()) == {dirty.commit}


def test_a_port_in_use_is_named_before_anything_changes(a_project: Build) -> None:
    """The refusal says whose port on which host, and no folder was made."""
    project = a_project()
    instance = project.environment.instance("v2")
    with socket.socket() as other:
        other.bind((instance.address, instance.rpc_port))
        other.listen()

        with pytest.raises(AitbcError) as refused:
            project.deploy()

    assert refused.value.exit_status is Exit.REFUSED
    assert f"v2             {instance.address}:{instance.rpc_port} (rpc)" in refused.value.message
    assert not project.host_file("opt").exists()


def test_an_unreachable_host_is_refused_in_one_sentence(a_project: Build) -> None:
    """No traceback, no half-done deploy: the host, the reason, the command that shows it."""
    project = a_project()
    path = project.root / "inventories/dev/inventory.toml"
    known_hosts = project.root / "known_hosts"
    known_hosts.write_text("")
    remote = (
        f'connector = "ssh"\naddress = "127.0.0.1"\nssh_port = 1\nknown_hosts = "{known_hosts}"'
    )
    path.write_text(path.read_text().replace('connector = "local"', remote))

    with pytest.raises(AitbcError) as refused:
        project.deploy()

    assert refused.value.exit_status is Exit.REFUSED
    assert "localhost" in refused.value.message
    assert "nothing, on no host" in refused.value.message
    assert refused.value.hint == "ssh -p 1 root@127.0.0.1 true"
    path.write_text(path.read_text().replace(remote, 'connector = "local"'))


def test_two_runs_do_not_meet(a_project: Build) -> None:
    """The second is told who works on the environment, on what and until when."""
    project = a_project()
    with (
        at_work(project.environment, project.records.append, reason="the first"),
        pytest.raises(AitbcError, match="holds the lease of dev") as refused,
    ):
        project.deploy()

    assert refused.value.exit_status is Exit.BUSY
    assert "reason           the first" in refused.value.message
    assert not project.host_file("opt").exists()


def test_a_lease_is_broken_with_a_reason_that_is_audited(a_project: Build) -> None:
    """Who takes the lease away from a run says why; the log keeps whose it was."""
    project = a_project()
    environment = project.environment
    with at_work(environment, project.records.append, reason="the first") as first:
        with at_work(
            environment, project.records.append, reason="the second", break_lease="it hangs"
        ) as second:
            taken = second.crew.service("stop", ["v1"])
        late = first.crew.service("stop", ["v1"])

    records, findings = audit.check(audit.path_of(environment))
    assert taken["localhost"].ok
    assert late["localhost"].kind == "lease"
    assert findings == []
    assert [each.entry.action for each in records] == ["break-lease"]
    assert records[0].entry.reason.startswith("it hangs (held by ")


@pytest.mark.parametrize(("request_", "said"), [({"ref": "no-such"}, "unknown commit")])
def test_a_name_that_is_no_commit_is_refused(
    a_project: Build, request_: dict[str, Any], said: str
) -> None:
    """A typo in a ref is a usage mistake."""
    with pytest.raises(AitbcError, match=said) as refused:
        a_project().deploy(**request_)

    assert refused.value.exit_status is Exit.USAGE


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    """Code moves only by git, so there has to be a repository."""
    with pytest.raises(ConfigError, match="no git checkout"):
        source.resolve(None, snapshot=False, root=tmp_path)


def test_a_chain_ends_only_when_asked_and_another_begins(a_project: Build) -> None:
    """`down` keeps the chain; `down --wipe` ends it, and the next deploy founds a new one."""
    project = a_project()
    project.deploy()
    first = founding.read(project.environment)

    project.down()
    project.deploy()
    kept = founding.read(project.environment)
    project.down(wipe=True)
    wiped = founding.read(project.environment)
    asked = inquire(project.environment)
    with pytest.raises(AitbcError, match="this chain has had no deploy yet"):
        project.rollback()
    again = project.down()
    project.deploy()
    second = founding.read(project.environment)
    table = state.history_lines("dev", history.read(project.environment))

    assert first is not None
    assert kept is not None
    assert second is not None
    assert kept.hash == first.hash
    assert wiped is None
    assert asked is None, "a run of a chain that is gone is nobody's to resume"
    assert again.lines[0].startswith("dev is down: it has no chain;")
    assert f"--- another chain began, genesis {second.hash[:12]}" in table
    assert second.hash != first.hash
    with pytest.raises(AitbcError, match="no release to return to") as refused:
        project.rollback()
    assert refused.value.exit_status is Exit.REFUSED, "the releases before were another chain's"
    assert not project.host_file("var/lib/aitbc-keys/v5").exists()


def test_status_tells_hosts_and_nodes_apart(a_project: Build) -> None:
    """A node that is down is a row that says so; its release is still what its host shows."""
    project = a_project()
    project.deploy()
    commit = project.git("rev-parse", "HEAD")

    up = state.look(project.environment)
    project.down()
    down = state.look(project.environment)

    assert (up.votes, {row.state for row in up.nodes}) == (4, {"voting"})
    assert {row.release for row in up.nodes} == {commit}
    assert (down.votes, {row.state for row in down.nodes}) == (0, {"unreachable"})
    assert {row.release for row in down.nodes} == {commit}


def test_status_tells_whether_an_interrupted_run_was_made_up_for(a_project: Build) -> None:
    """When every node is there, status says so; while one is missing, it says what to do next."""
    project = a_project(rollout="all")
    project.deploy()
    environment = project.environment
    done = history.read(environment)[-1]
    cut = dataclasses.replace(done, id="0" * 16, number=done.number + 1, outcome="interrupted")
    history.append(environment, cut)

    healed = state.look(environment)
    project.down()
    open_ = state.look(environment)

    assert healed.to_lines()[-1].endswith("; every node runs it now")
    assert open_.to_lines()[-2:] == [
        "next: aitbc deploy dev --resume   # goes on",
        "      aitbc rollback dev   # goes back",
    ]
    assert (healed.reached, open_.reached) == (True, False)
