"""A release folder is judged by its commit alone, whatever was told to the index beside it."""

from pathlib import Path

import pytest
from signed_work import a_repository

from aitbc_toolkit.deploys.hostside import files, mirrors

pytestmark = pytest.mark.integration

EDITS = {
    "an edit": [],
    "an edit that was added": ["add", "work.txt"],
    "an edit that git was told to overlook": ["update-index", "--assume-unchanged", "work.txt"],
    "an edit outside of the work": ["update-index", "--skip-worktree", "work.txt"],
}


@pytest.mark.parametrize("words", EDITS.values(), ids=EDITS)
def test_no_word_to_the_index_hides_an_edit(tmp_path: Path, words: list[str]) -> None:
    """The folder is as its commit says until a file differs, and then whatever git was told."""
    repository = a_repository(tmp_path / "work")
    (repository.root / "work.txt").write_text("as it was\n")
    repository.git("add", "work.txt")
    commit = repository.commit("one")
    mirror, folder = repository.root / ".git", tmp_path / commit
    folder.mkdir()
    mirrors.check_out(mirror, commit, folder)
    before = mirrors.drift(mirror, folder, commit, ours=[".index"])
    (folder / "work.txt").write_text("edited\n")
    if words:
        git = ["git", f"--git-dir={mirror}", f"--work-tree={folder}", *words]
        files.call(git, env={"GIT_INDEX_FILE": str(folder / ".index")}, cwd=folder)

    found = mirrors.drift(mirror, folder, commit, ours=[".index"])

    assert before == []
    assert found == ["M work.txt"]
