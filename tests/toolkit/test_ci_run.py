"""What does a proposed change have to pass? `.ci/run` says so to whatever service runs it."""

import ast
from pathlib import Path

import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.suites import stages

ROOT = paths.project_root()
SMOKE = ROOT / "tests" / "mesh" / "test_smoke_live.py"


@pytest.mark.proves("C7")
def test_ci_runs_units_integration_and_smoke_on_a_mesh() -> None:
    """It runs every stage of the usual tier, and those hold all three kinds of tests."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    kinds = {kind for stage in stages.STAGES if "ci" in stage.tiers for kind in stage.kinds}

    assert script[-1] == 'exec ./aitbc test "$@"'
    assert {"unit", "integration", "mesh"} <= kinds
    assert "test_the_smoke_suite_passes_on_real_processes" in usual_tests_of(SMOKE)


def usual_tests_of(file: Path) -> set[str]:
    """Name the tests of a file that do not wait for the night."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {
        each.name
        for each in tree.body
        if isinstance(each, ast.FunctionDef)
        and "nightly" not in "".join(map(ast.unparse, each.decorator_list))
    }
