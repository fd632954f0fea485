"""What does a pull request have to pass? The file that says so to the service that runs it."""

import ast
import re
from pathlib import Path

import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.suites import stages

ROOT = paths.project_root()
WORKFLOW = ROOT / ".github" / "workflows" / "test.yml"
SMOKE = ROOT / "tests" / "mesh" / "test_smoke_live.py"


@pytest.mark.proves("C7")
def test_a_pull_request_runs_units_integration_and_smoke_on_a_mesh() -> None:
    """It runs every stage of the usual tier, and those hold all three kinds of tests."""
    workflow = WORKFLOW.read_text(encoding="utf-8")
    kinds = {kind for stage in stages.STAGES if "ci" in stage.tiers for kind in stage.kinds}

    assert re.search(r"^on: .*\bpull_request\b", workflow, re.MULTILINE)
    assert re.findall(r"\brun: (.+)", workflow) == ["./aitbc test"]
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
