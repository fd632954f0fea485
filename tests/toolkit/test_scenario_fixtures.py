"""Tests in Python and scenario files, both as pytest plays them, in the simulator."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aitbc_toolkit.suites import catalogue

PLUGIN = "aitbc_toolkit.suites.scenario.fixtures"
TESTS = '''
def test_leader_isolated(net, chaos, load):
    """The chain goes on without an isolated proposer, which catches up after."""
    with load.transfers(rate=30), chaos.cut(net.leader, net.others, lease="20s") as cut:
        net.expect_auto(during=cut)
    assert net.eventually.all_at_tip(within="10s") < 10


def test_two_of_four_are_too_many(net, chaos):
    """What is expected of three of four does not hold of two."""
    with chaos.hit("proc.kill", ["v1", "v2"], lease="20s"):
        net.eventually.heights_advance(3, on=["v3", "v4"], within="10s")
'''


def played(*words: str | Path) -> tuple[int, str]:
    """Run pytest with the plugin; return its status and what it wrote."""
    argv = [sys.executable, "-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", "-rA", "-q"]
    done = subprocess.run(
        [*argv, "-c", os.devnull, "--rootdir", "/", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_test_in_python_breaks_a_mesh_and_hears_the_verdict(tmp_path: Path) -> None:
    """What holds passes, what does not fails by its verdict, and the worst is told last."""
    path = tmp_path / "test_mine.py"
    path.write_text(TESTS)

    status, told = played(path)

    assert status == 1, told
    assert "1 failed, 1 passed" in told
    assert "not within" in told
    assert "worst verdict: LIVENESS" in told


GOOD = """
def test_good(net):
    assert net.leader
"""
WRONG = """
import pytest
from aitbc_toolkit.faults import NotBitten, Residue

def test_wrong(net):
    raise {failure}
"""
EXPECTED = """
import pytest

@pytest.mark.xfail(strict=True)
def test_known(net):
    assert False
"""


@pytest.mark.parametrize(
    ("failure", "verdict"),
    [
        ("AssertionError('it is not so')", "INVALID"),
        ("NotBitten('the cut does not bite')", "INFRA"),
        ("Residue('a rule is left')", "UNHEALED"),
        ("pytest.fail.Exception('somebody gave up')", "INVALID"),
    ],
)
def test_no_pass_is_told_beside_a_failure(tmp_path: Path, failure: str, verdict: str) -> None:
    """Whatever ends a test counts, though the mesh itself was found well behind it."""
    path = tmp_path / "test_mine.py"
    path.write_text(GOOD + WRONG.replace("{failure}", failure))
    xml = tmp_path / "junit.xml"

    status, told = played(path, "--junitxml", xml)

    assert status == 1, told
    assert "1 failed, 1 passed" in told
    assert f"worst verdict: {verdict}" in told
    kept = re.findall('name="verdict" value="([A-Z]+)"', xml.read_text())
    assert kept == ["PASS", verdict]


def test_an_expected_failure_and_a_test_of_no_mesh_say_nothing_of_one(tmp_path: Path) -> None:
    """What is marked so is no finding, and what asks for no mesh has no verdict."""
    path = tmp_path / "test_mine.py"
    path.write_text(GOOD + EXPECTED + "\n\ndef test_sum():\n    assert 1 + 1 == 3\n")

    _status, told = played(path)

    assert "1 failed, 1 passed, 1 xfailed" in told
    assert "worst verdict: PASS" in told


def test_pytest_collects_scenario_files() -> None:
    """A file is as many tests as it has cases for the day."""
    status, told = played(catalogue.folder() / "crash" / "all-at-once.yaml", "--seed", "5")

    assert status == 0, told
    assert "PASSED" in told
    assert "crash/all-at-once" in told
    assert "worst verdict: PASS" in told


def test_a_case_that_a_mesh_cannot_play_is_skipped() -> None:
    """What is for hosts alone is not played on something else, and says why."""
    _status, told = played(catalogue.folder() / "crash" / "disk-full.yaml")

    assert "1 skipped" in told
    assert "it is not for the simulator" in told
    assert "worst verdict" not in told
