"""The deploy benchmark: its ground, its figures, and what it refuses."""

import os
import re
import subprocess
from pathlib import Path

import msgspec
import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.benchmarks import deploying, ground
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.mistakes import parse


def test_the_ground_has_as_many_hosts_as_asked_under_the_rules_of_the_lab() -> None:
    """The inventory that is measured differs from the lab's own in its hosts and nodes only."""
    path = paths.inventories() / "lab/inventory.toml"
    own = parse(path.read_text(encoding="utf-8"), path=path)

    found = parse(ground.inventory(path.read_text(encoding="utf-8"), 8), path=path)

    assert list(found.hosts) == [f"lab{number}" for number in range(1, 9)]
    assert [each.host for each in found.instances.values()] == list(found.hosts)
    assert (found.environment, found.chain, found.profile) == (
        own.environment,
        own.chain,
        own.profile,
    )
    assert {msgspec.json.encode(each) for each in found.hosts.values()} == {
        msgspec.json.encode(own.hosts["lab1"])
    }


def test_a_ratio_is_that_of_the_middle_times() -> None:
    """One slow round of a shared machine does not decide."""
    measured = deploying.Measured()
    for took_s in (2.0, 30.0, 2.2):
        measured.add("ours", "noop", took_s)
    for took_s in (2.0, 1.9, 9.0):
        measured.add("floor", "noop", took_s)

    assert measured.median("ours", "noop") == 2.2
    assert measured.ratio("ours", "floor", "noop") == 1.1


def test_what_was_not_measured_is_not_in_the_line() -> None:
    """Ansible's play has no staging of its own, and may be left out."""
    measured = deploying.Measured()
    for name in ("ours", "floor"):
        for job in deploying.JOBS:
            measured.add(name, job, 2.0)
    measured.add("ansible", "noop", 20.0)

    line = deploying.line(measured)

    assert line.startswith("noop ours 2.0 s floor 2.0 s ansible 20.0 s, staging ours 2.0 s floor")
    assert line.count("ansible") == 1


def test_no_other_environment_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """A benchmark restarts nodes over and over: it has a lab of its own."""
    status = run(["benchmark", "deploy", "-e", "production"])

    assert status is Exit.USAGE
    assert "hint: aitbc benchmark deploy -e lab" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["floor.sh", "host.sh"])
def test_the_floor_is_plain_shell(name: str) -> None:
    """Both scripts parse with a POSIX shell; what they do is shown by the benchmark itself."""
    script = paths.project_root() / "deploy/baselines" / name

    parsed = subprocess.run(["sh", "-n", str(script)], capture_output=True, check=False)

    assert parsed.returncode == 0, parsed.stderr


@pytest.mark.parametrize("failing", ["no step", "switch"])
def test_the_phases_of_the_floor_share_their_connections(tmp_path: Path, failing: str) -> None:
    """Three phases, one handshake a host, also for who is compared with us; none is left behind."""
    said, program = tmp_path / "said", tmp_path / "ssh"
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{said}\n'
        f'case "$*" in *" -- {failing} "*) echo torn >&2; exit 9 ;; esac\n'
    )
    program.chmod(0o755)
    script = paths.project_root() / "deploy/baselines/floor.sh"
    argv = ["sh", "-x", str(script), "rollback", "config", "lab", "c0ffee", "lab1=v1", "lab2=v2"]
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)

    asked = said.read_text().splitlines()
    (path,) = {each for line in asked for each in re.findall(r"ControlPath=(\S+)", line)}
    steps = 2 if failing == "switch" else 3
    assert done.returncode == (9 if failing == "switch" else 0), done.stderr
    assert ("torn" in done.stderr[-300:]) == (failing == "switch")
    assert sum("ControlMaster=auto -o ControlPersist=60s" in line for line in asked) == len(asked)
    assert [sum("-O exit" in line for line in asked), len(asked)] == [2, 2 * steps + 2]
    assert len(path) < 50, "a socket has 107, and %C becomes 40 of them"
    assert not Path(path).parent.exists()
