"""The deploy benchmark: its ground, its figures, and what it refuses."""

import subprocess

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
    assert {each.model_dump_json() for each in found.hosts.values()} == {
        own.hosts["lab1"].model_dump_json()
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
