"""The list of features is well formed, and only a test that ran and passed proves one."""

from pathlib import Path

import pytest

from aitbc_toolkit import features, junit, paths
from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.junit import Case, Outcome


def a_list(folder: Path, entry: str) -> Path:
    """Write a list of features with one entry."""
    path = folder / "features.toml"
    path.write_text(f"milestones_done = [2]\n[features]\n{entry}\n")
    return path


def test_the_committed_list_is_complete() -> None:
    """The list holds all 192 features of the five source systems and the 13 traces."""
    known = features.load(paths.project_root() / "docs" / "features.toml").features

    counts = {letter: sum(name.startswith(letter) for name in known) for letter in "ABCDEMT"}
    assert counts == {"A": 26, "B": 20, "C": 33, "D": 25, "E": 73, "M": 15, "T": 13}


@pytest.mark.parametrize(
    ("entry", "finding"),
    [
        ('A1 = { mark = "P3", title = "x" }', "mark of A1"),
        ('A1 = { mark = "P0" }', "A1 has no title"),
        ('A1 = { mark = "P0", title = "x", milestones = 2 }', "unknown key 'milestones'"),
        ("A1 = {", "cannot be read"),
    ],
)
def test_a_wrong_entry_is_refused(tmp_path: Path, entry: str, finding: str) -> None:
    """A list with a mistake is refused as a whole, naming the entry."""
    with pytest.raises(ConfigError, match=finding):
        features.load(a_list(tmp_path, entry))


@pytest.mark.parametrize(
    ("entry", "required"),
    [
        ('A1 = { mark = "P0", milestone = 2, title = "x" }', ["A1"]),
        ('A1 = { mark = "P1", milestone = 2, title = "x" }', ["A1"]),
        ('A1 = { mark = "P2", milestone = 2, title = "x" }', []),
        ('A1 = { mark = "P0", milestone = 3, title = "x" }', []),
        ('A1 = { mark = "P0", title = "x" }', []),
    ],
)
def test_only_finished_milestones_require(tmp_path: Path, entry: str, required: list[str]) -> None:
    """P0 and P1 features of finished milestones must be proved, the others need not."""
    catalogue = features.load(a_list(tmp_path, entry))

    assert [feature.id for feature in catalogue.required()] == required


def test_only_a_passed_test_proves() -> None:
    """A failed or skipped test leaves its features unproved."""
    cases = [
        Case("a", Outcome.PASSED, proves=("E4", "E5")),
        Case("b", Outcome.PASSED, proves=("E4",)),
        Case("c", Outcome.SKIPPED, proves=("E6",)),
        Case("d", Outcome.FAILED, proves=("E9",)),
    ]

    assert features.proofs(cases) == {"E4": ["a", "b"], "E5": ["a"]}


def test_junit_files_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Every outcome, its detail and its proofs survive the file."""
    cases = [
        Case("lint.one", Outcome.PASSED, "", ("D23",)),
        Case("lint.two", Outcome.FAILED, "3 findings", ()),
        Case("lint.three", Outcome.SKIPPED, "not here", ("E4", "E5")),
    ]
    plain = [case._replace(name=case.name.removeprefix("lint.")) for case in cases]

    junit.write(tmp_path / "lint.xml", "lint", plain)

    assert list(junit.read_folder(tmp_path)) == cases


def test_an_unfinished_file_has_no_cases(tmp_path: Path) -> None:
    """The file of a killed run is no proof of anything, and no crash either."""
    (tmp_path / "unit.xml").write_text('<testsuite><testcase name="a">')

    assert list(junit.read_folder(tmp_path)) == []
