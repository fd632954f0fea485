"""The operator's own programs around a deploy: what they are told, and what they can stop."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killed_runs import killed, resumed

from aitbc_toolkit.errors import AitbcError, ConfigError, Exit
from aitbc_toolkit.release import audit, hooks

pytestmark = pytest.mark.integration

Build = Callable[..., Any]
Wait = Callable[..., None]


def a_hook(project: Any, name: str, text: str) -> Path:
    """Write an executable hook of the project's environment."""
    path: Path = project.environment.inventories / "dev" / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def is_alive(process: Path) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def outputs(project: Any) -> list[str]:
    """List what hooks have printed."""
    texts = [str(each.get("text", "")) for each in project.records if each["type"] == "note"]
    return [text.strip() for text in texts if re.match("  (before|after)-", text)]


@pytest.mark.proves("D5")
def test_hooks_are_told_the_plan_and_the_outcome_and_no_secret(
    a_project: Build, tmp_path: Path
) -> None:
    """In the order of the phases; the outcome says that dev mode let the commit through."""
    project = a_project(rollout="all")
    kept = tmp_path / "told"
    kept.mkdir()
    names = [
        f"{when}-{what}" for what in ("deploy", "stage", "waves") for when in ("before", "after")
    ]
    for name in names:
        a_hook(project, name, f'#!/bin/sh\necho "saw {name}"\ncat > {kept}/{name}\n')

    done = project.deploy()

    assert done.exit is Exit.OK, done.error
    told = {name: json.loads((kept / name).read_text(encoding="utf-8")) for name in names}
    assert [each.partition(":")[0] for each in outputs(project)] == [
        *("before-deploy", "before-stage", "after-stage"),
        *("before-waves", "after-waves", "after-deploy"),
    ]
    assert {each["commit"] for each in told.values()} == {project.git("rev-parse", "HEAD")}
    assert told["before-waves"]["plan"]["environment"] == "dev"
    assert told["after-waves"]["outcome"]["exit"] == 0
    assert told["after-deploy"]["outcome"]["bypassed"] is True
    secrets = [each.read_text().strip() for each in project.root.rglob("admin.token")]
    assert secrets
    assert not any(secret in json.dumps(told) for secret in secrets)
    warned = [each for each in project.records if "nobody has vouched" in str(each.get("text"))]
    records, _ = audit.check(audit.path_of(project.environment))
    assert warned
    assert [each.entry.bypassed for each in records if each.entry.action == "decide"] == [True]


@pytest.mark.parametrize("phase", ["deploy", "stage", "waves"])
def test_a_hook_that_says_no_stops_before_anything_runs_differently(
    a_project: Build, phase: str
) -> None:
    """Status 20 with the hook's name, its words are shown, and no node was ever started."""
    project = a_project(rollout="all")
    a_hook(project, f"before-{phase}", "#!/bin/sh\necho 'not on a Friday' >&2\nexit 3\n")

    with pytest.raises(AitbcError, match=f"hook before-{phase}: it ended with status 3") as caught:
        project.deploy()

    assert caught.value.exit_status is Exit.REFUSED
    assert outputs(project) == [f"before-{phase}: not on a Friday"]
    assert project.running() == {}


def test_the_hooks_of_a_resumed_deploy_are_asked_anew_and_may_stop_it(a_project: Build) -> None:
    """The first of them, too; and its refusal claims nothing of what the run did before."""
    project = a_project(names=("v1",))
    killed(project, "announced", allow_stall=True)
    a_hook(project, "before-deploy", "#!/bin/sh\nexit 3\n")

    with pytest.raises(AitbcError, match="hook before-deploy: it ended with status 3") as caught:
        resumed(project)

    assert caught.value.exit_status is Exit.REFUSED
    assert "changed so far   nothing that runs, by this attempt" in caught.value.message
    assert project.running() == {}


def test_a_hook_that_hangs_is_ended(
    a_project: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Wait
) -> None:
    """Its deadline passes: the run is refused, and neither the hook nor its child is left."""
    monkeypatch.setattr(hooks, "DEADLINE_S", 2.0)
    project = a_project(rollout="all")
    pids = tmp_path / "pids"
    a_hook(
        project,
        "before-deploy",
        f"#!/bin/sh\nsleep 600 &\necho $$ $! > {pids}.new\nmv {pids}.new {pids}\nexec sleep 601\n",
    )

    with pytest.raises(AitbcError, match="did not end within") as caught:
        project.deploy()

    assert caught.value.exit_status is Exit.REFUSED
    left = [Path("/proc", pid) for pid in pids.read_text(encoding="ascii").split()]
    assert len(left) == 2
    eventually("hook and child to end", lambda: not any(map(is_alive, left)), deadline_s=60)


def test_a_hook_that_would_never_run_is_a_mistake(a_project: Build) -> None:
    """A name that no phase has, and a file that is not executable."""
    project = a_project(rollout="all")
    path = a_hook(project, "before-wave", "#!/bin/sh\n")

    with pytest.raises(ConfigError, match="no hook is called before-wave, the nearest is before-w"):
        hooks.found(project.environment)
    path = path.rename(path.with_name("before-waves"))
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="hook before-waves is not executable"):
        hooks.found(project.environment)
