"""The deploy benchmark: its ground, its figures, and what it refuses."""

import hashlib
import os
import re
import shutil
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


def floor(root: Path, verb: str, commit: str, *more: str) -> int:
    """Do one thing of the floor below a folder, as it is done on a host."""
    script = paths.project_root() / "deploy/baselines/host.sh"
    argv = ["sh", str(script), verb, "lab", "v1", commit, *more]
    env = {**os.environ, "FLOOR_ROOT": str(root)}
    return subprocess.run(argv, env=env, capture_output=True, check=False).returncode


def test_the_floor_keeps_a_second_run_out(tmp_path: Path) -> None:
    """What we are measured against does the same work: one holder, until it gives it back."""
    (tmp_path / "var/lib/aitbc/lab/deploy").mkdir(parents=True)

    def lease(what: str, who: str) -> int:
        return floor(tmp_path, "lease", "c0ffee", what, who)

    assert lease("hold", "ann") == 75
    assert lease("take", "ann") == 0
    assert [lease(what, "bob") for what in ("take", "hold")] == [75, 75]
    assert lease("hold", "ann") == 0
    assert (lease("give", "ann"), lease("take", "bob"), lease("hold", "ann")) == (0, 0, 75)


@pytest.mark.parametrize(
    "edited", ["node/it.py", "node/more.py", "node/__pycache__/it.pyc", "etc/v1-1/node.toml", "lib"]
)
def test_the_floor_looks_at_what_it_is_about_to_start(tmp_path: Path, edited: str) -> None:
    """Source, one file more, compiled modules, configuration, packages: none may differ."""
    base, state = tmp_path / "opt/aitbc/lab", tmp_path / "var/lib/aitbc/lab/deploy"
    checkout = tmp_path / "checkout"
    git = ["git", "-C", str(checkout), "-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for folder in (checkout / "node", checkout / "locks", base / "releases", state):
        folder.mkdir(parents=True)
    (checkout / "node/it.py").write_text("one = 1\n")
    (checkout / "locks/node.lock").write_text("nothing\n")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    named = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    commit, release = named.stdout.strip(), base / "releases" / named.stdout.strip()
    subprocess.run([*git, "clone", "--quiet", "--bare", ".", str(base / "repo.git")], check=True)
    shutil.copytree(checkout, release, ignore=shutil.ignore_patterns(".git"))
    for path in ("node/__pycache__/it.pyc", "etc/v1-1/node.toml"):
        (release / path).parent.mkdir(parents=True)
        (release / path).write_text("made\n")
    lock = hashlib.sha256((release / "locks/node.lock").read_bytes()).hexdigest()[:16]
    library = base / "venvs" / lock / "lib" / "it.py"
    library.parent.mkdir(parents=True)
    library.write_text("two = 2\n")
    (release / "venv").symlink_to(base / "venvs" / lock)
    assert floor(tmp_path, "sums", commit, str(library.parent)) == 0
    (state / "sums.new").rename(state / f"floor-{lock}.sums")
    assert floor(tmp_path, "keep_sums", commit) == 0
    assert floor(tmp_path, "intact", commit) == 0

    (library if edited == "lib" else release / edited).write_text("edited\n")

    assert floor(tmp_path, "intact", commit) != 0


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
