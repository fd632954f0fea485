"""Markers, proofs and the fence around unit tests do what `tests/conftest.py` says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aitbc_toolkit import features, junit, paths
from aitbc_toolkit.junit import Outcome


def run_tests(tree: Path, source: str, *options: str, folder: str = "unit") -> tuple[int, str]:
    """Run one test file under a copy of the conftest; return the exit status and the output."""
    root = paths.project_root()
    (tree / folder).mkdir(parents=True)
    shutil.copy(root / "tests" / "conftest.py", tree)
    (tree / folder / "test_it.py").write_text("import pytest\n" + source)
    argv = [sys.executable, "-m", "pytest", "-q", "-c", str(root / "pyproject.toml")]
    argv += ["--rootdir", str(tree), "-p", "no:cacheprovider", f"--junitxml={tree / 'it.xml'}"]
    ran = subprocess.run(
        [*argv, *options, str(tree)],
        # The plugins of libraries take three times as long as all that is tested here.
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_what_a_test_proves_reaches_the_junit_file(tmp_path: Path) -> None:
    """A passed test with the marker proves its features; a failed one does not."""
    source = """
@pytest.mark.proves("E4", "E5")
def test_good(): pass

@pytest.mark.proves("E6")
def test_bad(): raise ValueError
"""

    run_tests(tmp_path, source)

    assert sorted(features.proofs(junit.read(tmp_path / "it.xml"))) == ["E4", "E5"]


def test_an_unknown_feature_ends_the_collection(tmp_path: Path) -> None:
    """A marker with an id that the list does not know stops the run before any test."""
    status, output = run_tests(tmp_path, '@pytest.mark.proves("E999")\ndef test_it(): pass\n')

    assert status == pytest.ExitCode.USAGE_ERROR
    assert "unknown features: ['E999']" in output


def test_two_kinds_are_refused(tmp_path: Path) -> None:
    """A test has one kind."""
    status, output = run_tests(tmp_path, "@pytest.mark.sim\n@pytest.mark.mesh\ndef test_it(): 1\n")

    assert status == pytest.ExitCode.USAGE_ERROR
    assert "more than one kind" in output


def test_a_kind_is_refused_where_its_stage_does_not_look(tmp_path: Path) -> None:
    """No stage collects everything; a test that none of them finds would prove nothing."""
    status, output = run_tests(tmp_path, "@pytest.mark.lab\ndef test_it(): pass\n")

    assert status == pytest.ExitCode.USAGE_ERROR
    assert "is of kind lab: not looked for there" in output


def test_a_whole_form_runs_in_the_nightly_tier_only(tmp_path: Path) -> None:
    """A test marked nightly is skipped by the other tiers, with that as the reason."""
    source = "@pytest.mark.nightly\ndef test_it(): pass\n"
    details = {}
    for tier in ("fast", "ci", "nightly"):
        run_tests(tmp_path / tier, source, "--tier", tier)
        ((outcome, detail),) = [
            (case.outcome, case.detail) for case in junit.read(tmp_path / tier / "it.xml")
        ]
        details[tier] = (outcome, detail)

    assert details == {
        "fast": (Outcome.SKIPPED, "not part of tier fast"),
        "ci": (Outcome.SKIPPED, "not part of tier ci"),
        "nightly": (Outcome.PASSED, ""),
    }


@pytest.mark.parametrize("kind", ["mesh", "lab"])
def test_mesh_and_lab_skip_with_a_reason_unless_asked_for(tmp_path: Path, kind: str) -> None:
    """A plain run skips what it cannot have, saying how to ask for it."""
    run_tests(tmp_path / "plain", "def test_it(): pass\n", folder=kind)
    run_tests(tmp_path / "asked", "def test_it(): pass\n", f"--{kind}", folder=kind)

    (plain,) = junit.read(tmp_path / "plain" / "it.xml")
    (asked,) = junit.read(tmp_path / "asked" / "it.xml")
    assert plain.outcome is Outcome.SKIPPED
    assert f"--{kind}" in plain.detail
    assert asked.outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("folder", "deed"),
    [
        ("unit", "import socket; socket.create_connection(('127.0.0.1', 9), 1)"),
        ("unit", "import socket; socket.socket().bind(('127.0.0.1', 0))"),
        ("unit", "import subprocess; subprocess.run(['true'])"),
        ("unit/ledger", "open(__file__ + '.new', 'w')"),
    ],
)
@pytest.mark.proves("A20")
def test_a_unit_test_cannot_reach_the_outside(tmp_path: Path, folder: str, deed: str) -> None:
    """Network and processes fail a unit test; the pure packages' also writing."""
    run_tests(tmp_path, f"def test_it():\n    {deed}\n", folder=folder)

    (case,) = junit.read(tmp_path / "it.xml")
    assert case.outcome is Outcome.FAILED
    assert "is a unit test, but it did" in case.detail


def test_other_tests_may_reach_the_outside(tmp_path: Path) -> None:
    """The fence stands around unit tests only."""
    run_tests(
        tmp_path,
        "def test_it():\n    import subprocess; subprocess.run(['true'])\n",
        folder="toolkit",
    )

    (case,) = junit.read(tmp_path / "it.xml")
    assert case.outcome is Outcome.PASSED
