"""A dev mesh whose supervisor is gone: every verb says what is true, and ends only what is its own.

The nodes are stand-ins; supervisord, pyinfra and the processes are real.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.deploys.hostside import processes
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Instance
from aitbc_toolkit.release import services, state

pytestmark = pytest.mark.integration

Build = Callable[..., Any]
Eventually = Callable[..., None]


def words(instance: Instance) -> list[str]:
    """Give what the command line of a node has and no other has."""
    return ["-m", "aitbc_node", "run", "--config", str(instance.paths.config / "node.toml")]


def running(project: Any) -> dict[str, list[int]]:
    """List the processes of each node, whoever started them."""
    return {each.name: processes.find(words(each)) for each in project.environment.instances}


def kill_supervisor(project: Any) -> None:
    """Kill the supervisor as the kernel does when memory is short."""
    pid = int(project.host_file("etc/supervisor/supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """End what a test started itself."""
    children: list[subprocess.Popen[bytes]] = []
    yield children
    for child in children:
        child.kill()
        child.wait()


def start_orphan(project: Any, name: str, *, folder: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a node as the supervisor would, without one."""
    instance = project.environment.instance(name)
    release = Path(instance.paths.current).resolve()
    config = (folder or Path(instance.paths.config)) / "node.toml"
    argv = [
        *(str(release / "venv/bin/python"), "-P", "-m", "aitbc_node", "run", "--config"),
        str(config),
    ]
    environ = {**os.environ, "PYTHONPATH": str(release / "node")}
    return subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL)


def test_nodes_end_with_a_supervisor_that_is_killed(
    a_project: Build, eventually: Eventually
) -> None:
    """SIGKILL of supervisord leaves no orphans; the next deploy starts all of them anew."""
    project = a_project(rollout="all")
    project.deploy()
    before = running(project)

    kill_supervisor(project)
    eventually("all nodes to end", lambda: not any(running(project).values()))
    shown = {row.service for row in state.look(project.environment).nodes}
    again = project.deploy()

    assert all(before.values())
    assert shown == {"absent"}
    assert again.exit is Exit.OK, again.error
    assert sorted(again.changed) == sorted(before)


def test_orphans_are_shown_and_the_next_deploy_takes_their_place(
    a_project: Build, started: list[subprocess.Popen[bytes]], eventually: Eventually
) -> None:
    """Two nodes run without their supervisor: status says so, `deploy` brings all below one."""
    project = a_project(rollout="all")
    project.deploy()
    project.down()
    started += [start_orphan(project, "v1"), start_orphan(project, "v2")]
    eventually("both", lambda: running(project)["v1"] and running(project)["v2"])

    shown = {row.name: row.service for row in state.look(project.environment).nodes}
    again = project.deploy()

    assert shown == {"v1": "orphan", "v2": "orphan", "v3": "absent", "v4": "absent"}
    assert again.exit is Exit.OK, again.error
    assert [child.wait(timeout=60) is not None for child in started] == [True, True]
    assert {name: len(pids) for name, pids in running(project).items()} == dict.fromkeys(shown, 1)
    assert {row.service for row in state.look(project.environment).nodes} <= {"running", "starting"}


def test_down_ends_orphans_even_frozen_ones_and_nobody_else(
    a_project: Build,
    started: list[subprocess.Popen[bytes]],
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    """What ran is named and gone; a node of another configuration lives on."""
    project = a_project(rollout="all")
    project.deploy()
    project.down()
    other = tmp_path / "other"
    other.mkdir()
    text = (Path(project.environment.instance("v4").paths.config) / "node.toml").read_text()
    (other / "node.toml").write_text(text)
    mine = [start_orphan(project, "v1"), start_orphan(project, "v3")]
    theirs = start_orphan(project, "v4", folder=other)
    started += [*mine, theirs]
    eventually("both", lambda: running(project)["v1"] and running(project)["v3"])
    mine[1].send_signal(signal.SIGSTOP)

    done = project.down(wipe=True)

    assert sorted(done.changed) == ["v1", "v3"]
    assert [child.wait(timeout=60) for child in mine] == [0, -signal.SIGKILL]
    assert theirs.poll() is None


def test_node_verbs_end_the_orphan_first(
    a_project: Build, started: list[subprocess.Popen[bytes]], eventually: Eventually
) -> None:
    """`node stop` stops it, `start` and `restart` put a process of the supervisor in its place."""
    project = a_project(rollout="all")
    project.deploy()
    actions: dict[services.Action, int] = {"start": 1, "restart": 1, "stop": 0}
    for action, left in actions.items():
        kill_supervisor(project)
        eventually("all nodes to end", lambda: not any(running(project).values()))
        started.append(start_orphan(project, "v2"))
        eventually("the orphan", lambda: running(project)["v2"])

        done = services.control(project.environment, action, "v2", lambda _record: None, force=True)

        assert done.exit is Exit.OK, done.error
        assert started[-1].wait(timeout=60) == 0
        assert len(running(project)["v2"]) == left


def test_a_node_that_was_never_deployed_is_told_so(a_project: Build) -> None:
    """The supervisor's fault becomes one sentence with the verb that helps."""
    project = a_project(rollout="all")

    with pytest.raises(AitbcError, match="has never been deployed here") as refused:
        services.control(project.environment, "start", "v1", lambda _record: None)

    assert refused.value.exit_status is Exit.FAILED
    assert refused.value.hint == "aitbc deploy dev"


def test_a_node_that_cannot_vote_is_not_said_to(a_project: Build) -> None:
    """Started while the others are down: the mesh has no quorum, and what starts them is told."""
    project = a_project()
    project.deploy()
    project.down()

    done = services.control(project.environment, "start", "v2", lambda _record: None)

    assert done.lines[1:] == [
        "  but           it cannot vote: the mesh has no quorum",
        "next: aitbc up dev   # starts the others",
    ]


def test_a_supervisor_that_does_not_answer_is_named_and_down_ends_it(a_project: Build) -> None:
    """Its socket was removed: single nodes are refused with the way out, which then works."""
    project = a_project(rollout="all")
    project.deploy()
    supervisor = int(project.host_file("etc/supervisor/supervisord.pid").read_text())
    socket(project).unlink()

    with pytest.raises(AitbcError, match=f"process {supervisor}\\) does not answer") as refused:
        services.control(project.environment, "stop", "v1", lambda _record: None, force=True)
    done = project.down()

    assert refused.value.hint == "aitbc down dev\naitbc up dev"
    assert sorted(done.changed) == ["v1", "v2", "v3", "v4"]
    assert not any(running(project).values())
    conf = project.host_file("etc/supervisor/supervisord.conf")
    assert not processes.find(["supervisor.supervisord", "-c", str(conf)])


def socket(project: Any) -> Path:
    """Read where the supervisor of a project listens."""
    lines: Sequence[str] = (
        project.host_file("etc/supervisor/supervisord.conf").read_text().splitlines()
    )
    return Path(next(line for line in lines if line.startswith("file=")).removeprefix("file="))


def test_only_the_lines_since_the_switch_are_quoted(a_project: Build) -> None:
    """A build that ends at once and silently is not explained by its predecessor's words."""
    project = a_project(rollout="all")
    project.deploy()
    project.commit("silent")

    failed = project.deploy()

    assert failed.exit is Exit.ROLLED_BACK
    assert "keeps crashing" in failed.error
    assert "listening" not in failed.error


def test_a_refusal_after_observing_is_not_told_as_a_failed_observation(a_project: Build) -> None:
    """The hosts were seen; what was seen speaks against it."""
    project = a_project(rollout="all")

    with pytest.raises(AitbcError, match="dev is down, and there is no release to return to"):
        project.rollback()

    steps = {each["step"]: each["state"] for each in project.records if each["type"] == "step"}
    assert steps["observe"] == "done"
    assert "failed" not in steps.values()
