"""What a host keeps when a run ends, and what a kill in the middle of dropping the rest leaves."""

import shutil
from pathlib import Path

import pytest

from aitbc_toolkit.deploys.hostside import journaling

pytestmark = pytest.mark.integration


def a_base(folder: Path) -> Path:
    """Lay out two releases, each with an environment of its own; the node points to the second."""
    for name in ("old", "new"):
        release, venv = folder / "releases" / name, folder / "venvs" / f"venv-{name}"
        release.mkdir(parents=True)
        (release / "manifest.json").write_text("{}")
        venv.mkdir(parents=True)
        (venv / "python").write_text("")
        (release / "venv").symlink_to(f"../../venvs/venv-{name}")
    (folder / "v1").mkdir()
    (folder / "v1" / "current").symlink_to("../releases/new")
    return folder


def names(folder: Path) -> list[str]:
    """List what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


class Killed(BaseException):
    """Say that the process was killed here."""


@pytest.mark.parametrize("removed", [0, 1])
def test_a_kill_while_dropping_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    """Half a release or environment has no name that a deploy would take; the next one sweeps."""
    base, real, left = a_base(tmp_path), shutil.rmtree, [removed]

    def half(path: Path) -> None:
        if left[0] == 0:
            (path / "manifest.json").unlink(missing_ok=True)
            (path / "python").unlink(missing_ok=True)
            raise Killed
        left[0] -= 1
        real(path)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", half)
        with pytest.raises(Killed):
            journaling._prune(base, keep=set())
    whole = [
        [each for each in names(base / folder) if not each.startswith(".")]
        for folder in ("releases", "venvs")
    ]

    journaling._prune(base, keep=set())

    assert whole[0] == ["new"]
    assert whole[1] == (["venv-new"] if removed else ["venv-new", "venv-old"])
    assert names(base / "releases") == ["new"]
    assert names(base / "venvs") == ["venv-new"]


def test_what_is_kept_or_pointed_at_stays(tmp_path: Path) -> None:
    """The way back needs the release before; only what nothing needs is dropped, and told."""
    base = a_base(tmp_path)

    assert journaling._prune(base, keep={"old"}) == []
    assert journaling._prune(base, keep=set()) == ["old"]
    assert names(base / "venvs") == ["venv-new"]
