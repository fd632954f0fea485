"""Tests in Python and scenario files, both as pytest plays them, in the simulator."""

import os
import re
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import catalogue
from aitbc_toolkit.suites.scenario import session

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


PLANTED = """
import pathlib
from contextlib import contextmanager
from aitbc_toolkit.suites.scenario import session

noted = pathlib.Path({folder!r})

@contextmanager
def own_lab(name, tell):
    (noted / f"{{name}}.up").touch(exist_ok=False)
    yield name
    (noted / f"{{name}}.down").touch(exist_ok=False)

session.own_lab = own_lab
"""
NAMED = '''
import pytest

@pytest.mark.parametrize("number", range(4))
def test_named(swarm, number):
    """A swarm is given the mesh of its process, and begins nothing by itself."""
    print("plays on", swarm.keywords["environment"])
'''


def test_each_worker_has_a_lab_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, two labs: each is brought up once, and taken down when its worker is done."""
    path = tmp_path / "test_mine.py"
    path.write_text(NAMED)
    (tmp_path / "planted_labs.py").write_text(PLANTED.format(folder=str(tmp_path)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    status, told = played(path, "-n", "2", "--env", "lab", "-p", "planted_labs")

    assert status == 0, told
    assert set(re.findall(r"plays on (\S+)", told)) == {"lab-gw0", "lab-gw1"}
    noted = sorted(each.name for each in tmp_path.glob("lab-*"))
    assert noted == ["lab-gw0.down", "lab-gw0.up", "lab-gw1.down", "lab-gw1.up"]


def test_several_workers_do_not_meet_on_one_mesh(tmp_path: Path) -> None:
    """Hosts that are there once are refused before any test, with what to do instead."""
    path = tmp_path / "test_mine.py"
    path.write_text(GOOD)

    status, told = played(path, "-n", "2", "--env", "dev")

    assert status == pytest.ExitCode.USAGE_ERROR, told
    assert "dev is one mesh, and cannot be shared out" in told
    assert "-n 0, or with labs of their own: --env lab" in told


def test_a_lab_that_does_not_come_up_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first test waits for it, the others hear why at once; alone a session brings none up."""
    tried: list[str] = []

    def no_room(name: str, _tell: object) -> AbstractContextManager[Environment]:
        tried.append(name)
        raise AitbcError("no room for a lab")

    monkeypatch.setattr(session, "own_lab", no_room)
    found = session.Session("lab-mine", "gw0")

    for _ in range(2):
        with pytest.raises(AitbcError, match="no room"):
            found.environment()

    assert tried == ["lab-mine-gw0"]
    assert session.Session("lab-mine", "").name == "lab-mine"
