"""A release of several repositories: one manifest, switched together, and synchronised locally."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from signed_work import Repository, a_repository

from aitbc_toolkit import paths
from aitbc_toolkit.cli import main
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit
from aitbc_toolkit.release import components

pytestmark = pytest.mark.integration

Build = Callable[..., Any]
NOWHERE = "0" * 40


def manifest(**named: tuple[Repository, str]) -> str:
    """Write a release.toml."""
    return "".join(
        f'[repositories.{name}]\nurl = "{repository.root}"\ncommit = "{commit}"\n'
        for name, (repository, commit) in named.items()
    )


def parts(project: Any) -> dict[str, set[str]]:
    """Read what each node's current release has of the components."""
    found = {}
    for name in project.running():
        current = project.host_file(f"opt/aitbc/dev/{name}/current")
        texts = {path.read_text() for path in current.glob("components/*/file")}
        found[name] = texts
    return found


def test_check_28_components_are_switched_together_or_not_at_all(
    a_project: Build, tmp_path: Path
) -> None:
    """One manifest names two repositories; one that cannot be had leaves all as they were."""
    project = a_project(rollout="all")
    stoq, mint = a_repository(tmp_path / "stoq"), a_repository(tmp_path / "mint")
    file = project.checkout / "release.toml"

    def deploy(name: str, *, broken: bool = False) -> Any:
        one, two = stoq.commit(f"stoq {name}"), mint.commit(f"mint {name}")
        two = NOWHERE if broken else two
        file.write_text(manifest(stoq=(stoq, one), mint=(mint, two)), encoding="utf-8")
        project.commit("ok", name)
        return project.deploy()

    first, second = deploy("one"), deploy("two")
    before = project.running()
    with pytest.raises(AitbcError, match="component mint: git fetch from") as caught:
        deploy("three", broken=True)

    assert (first.exit, second.exit) == (Exit.OK, Exit.OK)
    assert caught.value.exit_status is Exit.REFUSED
    assert project.running() == before
    assert parts(project) == {key: {"stoq two", "mint two"} for key in before}
    assert project.git("rev-parse", "HEAD") not in {
        each.name for each in project.host_file("opt/aitbc/dev").glob("releases/*")
    }
    assert project.rollback().exit is Exit.OK
    assert parts(project) == {key: {"stoq one", "mint one"} for key in before}


def test_an_edit_of_a_component_is_drift(a_project: Build, tmp_path: Path) -> None:
    """Its files are held against its own commit, by the host, before anybody switches to them."""
    project = a_project(rollout="all")
    stoq = a_repository(tmp_path / "stoq")
    text = manifest(stoq=(stoq, stoq.commit("one")))
    (project.checkout / "release.toml").write_text(text, encoding="utf-8")
    commit = project.commit("ok", "with a component")
    project.deploy()
    project.down()
    edited = project.host_file(f"opt/aitbc/dev/releases/{commit}/components/stoq/file")
    edited.write_text("another", encoding="utf-8")

    with pytest.raises(AitbcError, match="M components/stoq/file"):
        project.deploy()


@pytest.mark.proves("C1")
def test_repos_sync_moves_the_named_one_and_a_dry_run_moves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The dry run prints the exact git commands; what is done are exactly those."""
    stoq, mint = a_repository(tmp_path / "stoq"), a_repository(tmp_path / "mint")
    text = manifest(stoq=(stoq, stoq.commit("one")), mint=(mint, mint.commit("one")))
    (tmp_path / "release.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    clones = tmp_path / ".aitbc" / "repos"

    assert main.run(["repos", "sync", "stoq", "--dry-run"]) == Exit.OK
    said = capsys.readouterr().out
    nothing = list(tmp_path.glob(".aitbc/**"))
    assert main.run(["repos", "sync", "stoq", "--json"]) == Exit.OK
    done = json.loads(capsys.readouterr().out)["repositories"]
    moved = [path.name for path in clones.iterdir()]
    assert main.run(["repos", "sync"]) == Exit.OK

    assert nothing == []
    assert [" ".join(argv) for argv in done["stoq"]] == said.splitlines()
    assert said.splitlines()[0] == f"git clone --quiet --no-checkout {stoq.root} {clones}/stoq"
    assert moved == ["stoq"]
    assert (clones / "stoq" / "file").read_text() == "one"
    assert sorted(path.name for path in clones.iterdir()) == ["mint", "stoq"]
    assert "stoq is at" in capsys.readouterr().out
    assert main.run(["repos", "sync", "stok"]) == Exit.USAGE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[repositories.a]\nurl = "x"\n', "repositories.a.commit"),
        ('[repositories.a]\nurl = "--upload-pack=x"\ncommit = "' + NOWHERE + '"\n', "a.url"),
        ('[repositories.a]\nurl = "x"\ncommit = "main"\n', "a.commit"),
        ('[repositories."../a"]\nurl = "x"\ncommit = "' + NOWHERE + '"\n', "repositories."),
        ('[repositories.aitbc]\nurl = "x"\ncommit = "' + NOWHERE + '"\n', "is the commit itself"),
        ("repositories = 1\n", "repositories"),
        ("[", "is not TOML"),
    ],
)
def test_a_manifest_that_is_none_is_refused(text: str, said: str) -> None:
    """A branch is no commit, an option is no address, and a path is no name."""
    with pytest.raises(ConfigError, match=r"release\.toml") as caught:
        components.parse(text, where="release.toml")

    assert said in caught.value.message
