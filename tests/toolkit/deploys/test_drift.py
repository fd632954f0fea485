"""`aitbc drift` on a deployed project: every planted difference is named, and nothing is mended."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.deploys.hostside import compiled
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import drift
from aitbc_toolkit.release.drift import Report
from aitbc_toolkit.release.occupation import at_work

pytestmark = pytest.mark.integration

Build = Callable[..., Any]
EDIT = "# edited on the host\n"
# What an environment runs at each start: here it compiles every module to nothing.
POISON = """
from importlib.machinery import SourceFileLoader
SourceFileLoader.source_to_code = lambda self, data, path, **more: compile("0", path, "exec")
"""


def kinds(report: Report) -> set[tuple[str, str]]:
    """Tell which node has which kind of difference."""
    return {(each.node, each.kind) for each in report.differences}


def release_of(project: Any) -> Path:
    """Find the release folder of HEAD on the one host."""
    folder: Path = project.host_file("opt/aitbc/dev/releases") / project.git("rev-parse", "HEAD")
    return folder


def test_check_22_each_kind_of_drift_is_named(a_project: Build) -> None:
    """Commit, configuration, unit, environment, edits and a dead node: each by itself."""
    project = a_project(rollout="all")
    old = project.git("rev-parse", "HEAD")
    project.deploy()
    project.commit("ok", "a second build")
    project.deploy()
    clean = drift.look(project.environment)
    environment = project.environment

    current = Path(environment.instance("v1").paths.current)
    current.unlink()
    current.symlink_to(f"../releases/{old}")
    config = Path(environment.instance("v2").paths.config).resolve() / "node.toml"
    config.write_text(config.read_text().replace("[rpc]", "[rpc] # edited"))
    unit = (
        project.host_file("etc/supervisor/programs")
        / f"{environment.instance('v3').paths.unit}.conf"
    )
    unit.write_text(unit.read_text() + EDIT)
    with at_work(environment, project.records.append) as run:
        run.crew.service("stop", ["v4"])
    venv = (release_of(project) / "venv").resolve()
    (next(venv.glob("lib/python*/site-packages")) / "stranger-1.0.dist-info").mkdir()
    main = release_of(project) / "node/aitbc_node/__main__.py"
    main.write_text(main.read_text() + EDIT)
    report = drift.look(environment)

    assert (clean.differences, clean.exit) == ([], Exit.OK)
    assert report.exit is Exit.PENDING
    assert kinds(report) == {
        ("v1", "commit"),
        ("v2", "config"),
        ("v3", "unit"),
        ("v4", "service"),
        ("", "environment"),
        ("", "edited"),
    }
    said = "\n".join(report.to_lines())
    assert "stranger 1.0 is not in the lock" in said
    assert "M node/aitbc_node/__main__.py" in said
    assert "+# edited on the host" in said
    assert "+[rpc] # edited" in said
    assert f"points at {old[:12]}" in said
    assert json.loads(json.dumps(report.to_document()))["differences"]


def test_a_local_edit_is_kept_aside_and_put_back_only_when_told(a_project: Build) -> None:
    """A deploy and a rollback refuse to switch to an edited release; restaging keeps the edits."""
    project = a_project(rollout="all")
    first = release_of(project)
    project.deploy()
    main = first / "node/aitbc_node/__main__.py"
    whole = main.read_text()
    main.write_text(whole + EDIT)
    project.commit("ok", "a second build")
    assert project.deploy().exit is Exit.OK

    with pytest.raises(AitbcError, match=r"is not what its commit says") as refused:
        project.rollback()

    assert refused.value.exit_status is Exit.REFUSED
    assert "aitbc drift dev --restage" in refused.value.hint
    assert main.read_text() == whole + EDIT

    done = drift.restage(project.environment, project.records.append)

    assert done.exit is Exit.OK
    assert main.read_text() == whole
    kept = list(project.host_file("opt/aitbc/dev/edited").glob("*/node/aitbc_node/__main__.py"))
    assert [each.read_text() for each in kept] == [whole + EDIT]
    assert drift.look(project.environment).differences == []
    assert project.rollback().exit is Exit.OK


def test_what_an_edited_environment_compiled_is_not_believed(a_project: Build) -> None:
    """Its release is not sealed, and restaging mends the environment before the releases."""
    project = a_project(rollout="all")
    assert project.deploy().exit is Exit.OK
    state = project.host_file("var/lib/aitbc/dev/deploy")
    main = release_of(project) / "node/aitbc_node/__main__.py"
    main.write_text(main.read_text() + EDIT)
    (packages,) = (release_of(project) / "venv").resolve().glob("lib/python*/site-packages")
    (packages / "sitecustomize.py").write_text(POISON)
    new = project.commit("ok", "a second build")

    with pytest.raises(AitbcError, match="is not what its lock says"):
        project.deploy()
    sealed = compiled.seal(state, new)
    poisoned = compiled.findings(release_of(project))
    drift.restage(project.environment, project.records.append)

    assert (sealed, poisoned != []) == ("", True), "or nothing was compiled by it"
    assert drift.look(project.environment).differences == []
    assert compiled.seal(state, new) != ""
    assert project.deploy().exit is Exit.OK


def test_edited_configuration_and_unit_are_put_back(a_project: Build) -> None:
    """What a deploy rendered comes back with the same names; running nodes are left alone."""
    project = a_project(rollout="all")
    project.deploy()
    environment = project.environment
    before = {name: row["pid"] for name, row in project.services().items()}
    config = Path(environment.instance("v2").paths.config).resolve() / "node.toml"
    rendered = config.read_text()
    config.write_text(rendered + EDIT)
    unit = (
        project.host_file("etc/supervisor/programs")
        / f"{environment.instance('v3').paths.unit}.conf"
    )
    unit.write_text(unit.read_text() + EDIT)

    done = drift.restage(environment, project.records.append)
    again = drift.restage(environment, project.records.append)

    assert "configuration of v2" in "\n".join(done.lines)
    assert "unit of v3" in "\n".join(done.lines)
    assert config.read_text() == rendered
    assert not again.changed
    assert drift.look(environment).differences == []
    assert {name: row["pid"] for name, row in project.services().items()} == before


def test_a_change_of_the_inventory_shows_as_pending(a_project: Build) -> None:
    """What a deploy would change is told apart from what somebody did on a host."""
    project = a_project(rollout="all")
    project.deploy()
    path = project.root / "inventories/dev/inventory.toml"
    path.write_text(path.read_text().replace('log_level = "DEBUG"', 'log_level = "INFO"'))

    report = drift.look(project.environment)

    assert {each.kind for each in report.differences} == {"pending"}
    assert '+log_level = "info"' in "\n".join(report.to_lines())
