"""What a lab's forge is given for a release goes there at once: one way there costs as much."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from signed_work import QUIET, a_repository
from test_inventory import a_lab

from aitbc_toolkit import shell
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import labs, source, vouching
from aitbc_toolkit.release.source import Revision
from aitbc_toolkit.release.vouching import Admission


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bare repository that stands in for the forge of every lab."""
    path = tmp_path / "forge.git"
    subprocess.run(["git", "init", "-q", "--bare", path], check=True, env=QUIET)
    url = "ssh://git@forge/aitbc.git"
    rewritten = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{path}.insteadOf",
        "GIT_CONFIG_VALUE_0": url,
    }
    found = SimpleNamespace(git_url=url, git_environment=rewritten, ssh_config=tmp_path / "config")
    monkeypatch.setattr(labs, "of", lambda _environment: found)
    return path


@pytest.fixture
def pushes(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str | Path]]:
    """Every push that is made from here on."""
    seen: list[Sequence[str | Path]] = []
    run = shell.run

    def noted(argv: Sequence[str | Path], **manner: Any) -> shell.Result:
        seen.extend([argv] if "push" in argv else [])
        return run(argv, **manner)

    monkeypatch.setattr(shell, "run", noted)
    return seen


def published(environment: Environment, commit: str, root: Path) -> str:
    """Publish a commit as a deploy does; return the tag that its hosts are to verify."""
    vouched, beside = vouching.vouch(environment, Admission(commit, "ana"), root=root)
    revision = Revision(commit, "a subject", dirty=0, snapshot=False)
    source.publish(environment, revision, beside=beside, root=root)
    assert vouched is not None
    return vouched.tag


def test_commit_and_tag_reach_the_forge_in_one_push(
    forge: Path, pushes: list[Sequence[str | Path]], tmp_path: Path
) -> None:
    """Once for a release and once more where its tag is there already; both refs are there."""
    a_lab(tmp_path, hosts=4)
    environment = Inventory.load("lab-demo", state=tmp_path)
    work = a_repository(tmp_path / "work")
    commit = work.commit("one")

    tag = published(environment, commit, work.root)
    first = len(pushes)
    again = published(environment, commit, work.root)

    refs = subprocess.run(
        ["git", "-C", forge, "for-each-ref", "--format=%(refname) %(*objectname)%(objectname)"],
        check=True,
        capture_output=True,
        text=True,
        env=QUIET,
    ).stdout
    assert (first, len(pushes)) == (1, 2)
    assert tag == again == f"rel/{environment.name}/1"
    assert f"refs/heads/release/{commit} {commit}" in refs
    assert f"refs/tags/{tag} {commit}" in refs
