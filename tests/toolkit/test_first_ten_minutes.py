"""What the README tells a tester to do first: a bug by hand is found by the scenario it names."""

import subprocess
from pathlib import Path

from checkout_copy import copy_checkout, copy_code
from planted_by_hand import planting

from aitbc_toolkit import paths
from aitbc_toolkit.suites.verdicts import Verdict, exit_of

SCENARIO = "partition/minority"


def test_the_bug_of_the_readme_turns_its_scenario_red(tmp_path: Path) -> None:
    """The line that plants it still fits the code; who was cut off stays behind, and is named."""
    checkout = copy_checkout(tmp_path)
    copy_code(paths.project_root() / "loadtests", tmp_path / "loadtests")
    subprocess.run(planting(), cwd=tmp_path, check=True)

    played = checkout.aitbc("test", SCENARIO, "-e", "sim", "--seed", "7")

    assert played.returncode == exit_of(Verdict.LIVENESS), played.stdout + played.stderr
    assert "all within 1 of the tip: not within" in played.stdout
    assert "last seen: behind: v" in played.stdout
