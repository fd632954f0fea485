"""The launcher takes a fresh copy to a working command line, whatever is missing or interrupted."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout_copy import copy_code

from aitbc_toolkit import paths
from aitbc_toolkit.errors import Exit

ROOT = paths.project_root()
CARRIED = ("aitbc", "README.md", "pyproject.toml", "locks", "node", "deploy", "loadtests")
TOOLS = ("sh", "cat", "cmp", "date", "dirname", "mkdir", "mv", "readlink", "rm", "sed", "tail")
BUILD_S = 300


def a_copy(folder: Path) -> Path:
    """Copy what the launcher needs of the checkout, without what it makes."""
    folder.mkdir(parents=True)
    for name in CARRIED:
        if (ROOT / name).is_dir():
            copy_code(ROOT / name, folder / name)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def a_path(folder: Path, *, without: str = "", fakes: dict[str, str] | None = None) -> str:
    """Make a PATH with the launcher's tools, git and one Python, less or more what a test says."""
    folder.mkdir()
    programs = {name: shutil.which(name) for name in (*TOOLS, "git")}
    programs["python3.11"] = str(Path(os.path.realpath(ROOT / ".venv" / "bin" / "python")))
    for name, program in programs.items():
        if program and not (without and name.startswith(without)):
            (folder / name).symlink_to(program)
    for name, script in (fakes or {}).items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def start(program: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the launcher from a folder that is not the checkout."""
    return subprocess.Popen(
        [program, *arguments],
        cwd="/",
        env={**os.environ, "AITBC_PYTHON": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(program: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the launcher to its end: status, stdout, stderr."""
    child = start(program, *arguments, **environment)
    out, err = child.communicate(timeout=BUILD_S)
    return child.returncode, out, err


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """Build one copy by two first runs at the same time; give what each said."""
    copy = a_copy(tmp_path_factory.mktemp("launcher") / "a copy with blanks")
    children = [start(copy / "aitbc", "--version") for _ in range(2)]
    ended = [child.communicate(timeout=BUILD_S) for child in children]
    statuses = [child.returncode for child in children]
    if Exit.UNREACHABLE in statuses and "CI" not in os.environ:
        pytest.skip(f"nothing can be fetched here: {ended[0][1][-300:]}")
    assert statuses == [0, 0], ended
    assert [out for out, _ in ended] == [ended[0][0]] * 2
    yield copy, [err for _, err in ended]
    shutil.rmtree(copy)


def test_two_first_runs_build_once(built: tuple[Path, list[str]]) -> None:
    """Of two first runs at the same time one builds and the other waits; both work."""
    _, said = built

    assert sum(text.count("first use:") for text in said) == 1
    assert sum(text.count(".venv is ready") for text in said) == 1


def test_a_later_run_says_nothing_of_its_own(built: tuple[Path, list[str]]) -> None:
    """A run that finds .venv current goes straight to the command."""
    status, out, err = run(built[0] / "aitbc", "--version")

    assert (status, err) == (0, "")
    assert out.startswith("aitbc 0.")


def test_a_choice_of_python_that_comes_too_late_is_said(
    built: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """One line names both; the same Python by another way is no other one."""
    base = os.path.realpath(built[0] / ".venv" / "bin" / "python")
    scripts = {"other": "echo /elsewhere/python3", "shim": f'exec {base} "$@"', "none": "exit 1"}
    for name, script in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    chosen = {name: str(tmp_path / name) for name in scripts} | {"same": base}

    ended = {
        name: run(built[0] / "aitbc", "--version", AITBC_PYTHON=path)
        for name, path in chosen.items()
    }

    late = f"rm -r {built[0]}/.venv, then again"
    assert {status for status, _, _ in ended.values()} == {0}
    assert {name: err.splitlines() for name, (_, _, err) in ended.items()} == {
        "shim": [],
        "same": [],
        **{
            name: [f"aitbc: .venv was made with {base}, not with AITBC_PYTHON={path}: {late}"]
            for name, path in chosen.items()
            if name in {"other", "none"}
        },
    }


def test_hints_repeat_what_was_typed(built: tuple[Path, list[str]]) -> None:
    """By its place they can be pasted as they are, and on PATH there is no place to repeat."""
    copy = built[0]
    on_path = {**os.environ, "PATH": f"{copy}:{os.environ['PATH']}"}

    _, _, by_place = run(copy / "aitbc", "statsu")
    by_name = subprocess.run(
        ["sh", "-c", "aitbc statsu"], env=on_path, capture_output=True, text=True, check=False
    ).stderr

    assert f"hint: '{copy}/aitbc' status" in by_place.splitlines()
    assert "hint: aitbc status" in by_name.splitlines()


def test_it_works_through_a_link_and_beside_strange_files(
    built: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """A link to it works from any folder, and a click.py lying there is not imported."""
    (tmp_path / "click.py").write_text("raise SystemExit(99)\n")
    (tmp_path / "relative").symlink_to(os.path.relpath(built[0] / "aitbc", tmp_path))
    (tmp_path / "link").symlink_to("relative")

    ran = subprocess.run(
        ["./link", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_change_of_what_it_was_built_from_renews_it(built: tuple[Path, list[str]]) -> None:
    """After a change of the project's settings .venv is brought up to date, not made again."""
    with (built[0] / "pyproject.toml").open("a") as settings:
        settings.write("# changed\n")

    first = run(built[0] / "aitbc", "--version")
    second = run(built[0] / "aitbc", "--version")

    assert first[0] == 0
    assert "installing from locks/dev.lock" in first[2]
    assert "making .venv" not in first[2]
    assert second[2] == ""


def test_a_python_that_went_away_is_replaced(built: tuple[Path, list[str]]) -> None:
    """After the removal of the Python that .venv was made with, .venv is made again."""
    python = built[0] / ".venv" / "bin" / "python3"
    python.unlink()
    python.symlink_to("/nowhere/python3")

    status, out, err = run(built[0] / "aitbc", "--version")

    assert (status, out[:6]) == (0, "aitbc ")
    assert "first use" in err


def test_a_killed_build_is_made_again(built: tuple[Path, list[str]], tmp_path: Path) -> None:
    """After a SIGKILL in the middle of the first run the next one builds from nothing."""
    assert built  # what can be fetched is cached by now
    copy = a_copy(tmp_path / "copy")
    child = start(copy / "aitbc", "--version")
    assert child.stderr is not None
    for line in child.stderr:
        if "fetching uv" in line:
            break
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()

    status, out, err = run(copy / "aitbc", "--version")

    assert (status, out[:6]) == (0, "aitbc ")
    assert "making .venv" in err


@pytest.mark.parametrize(
    ("missing", "status", "error", "hint"),
    [
        ("git", Exit.CONFIG, "git was not found", "apt-get install git"),
        ("python", Exit.CONFIG, "no Python 3.11 or newer", "apt-get install python3"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, missing: str, status: int, error: str, hint: str
) -> None:
    """Without git or Python there is one clear line with a hint, and nothing is made."""
    copy = a_copy(tmp_path / "copy")
    path = a_path(tmp_path / "bin", without=missing)

    ended, out, err = run(copy / "aitbc", "--version", PATH=path)

    assert (ended, out) == (status, "")
    assert f"error: {error}" in err
    assert f"hint: {hint}" in err
    assert not (copy / ".venv").exists()


def test_an_old_python_is_not_taken(tmp_path: Path) -> None:
    """A python3 that is too old, or a shim that cannot run, is passed over like a missing one."""
    copy = a_copy(tmp_path / "copy")
    fakes = {"python3": "exit 1", "python3.12": "echo 'not installed' >&2; exit 127"}
    path = a_path(tmp_path / "bin", without="python", fakes=fakes)

    ended, _, err = run(copy / "aitbc", "--version", PATH=path)

    assert ended == Exit.CONFIG
    assert err.splitlines()[0] == "error: no Python 3.11 or newer was found"


@pytest.mark.parametrize(("named", "taken"), [("", "python3"), ("chosen", "chosen")])
def test_the_python_of_ones_choice_is_taken(tmp_path: Path, named: str, taken: str) -> None:
    """AITBC_PYTHON goes before what PATH has; both here are new enough and can do nothing else."""
    copy = a_copy(tmp_path / "copy")
    new_enough = "case $* in *version_info*) exit 0 ;; *) exit 1 ;; esac"
    fakes = {"python3": new_enough, "chosen": new_enough}
    path = a_path(tmp_path / "bin", without="python", fakes=fakes)

    ended, _, err = run(copy / "aitbc", "--version", PATH=path, AITBC_PYTHON=named)

    assert ended == Exit.CONFIG
    assert err.splitlines()[0] == f"error: {taken} cannot make virtual environments"


def test_a_python_of_ones_choice_that_is_none_is_refused(tmp_path: Path) -> None:
    """What was asked for is not replaced by something else in silence."""
    copy = a_copy(tmp_path / "copy")

    ended, _, err = run(copy / "aitbc", "--version", AITBC_PYTHON="/bin/false")

    assert ended == Exit.CONFIG
    assert err.splitlines() == [
        "error: AITBC_PYTHON=/bin/false is no Python 3.11 or newer",
        "hint: unset AITBC_PYTHON",
    ]
    assert not (copy / ".venv").exists()


def test_no_network_is_said_in_one_line(tmp_path: Path) -> None:
    """When nothing can be fetched the cause is shown, and no stamp claims a finished build."""
    copy = a_copy(tmp_path / "copy")
    fakes = {"python3": "exit 1"}
    path = a_path(tmp_path / "bin", fakes=fakes)
    unreachable = "http://127.0.0.1:9/simple"

    ended, _, err = run(
        copy / "aitbc",
        "--version",
        PATH=path,
        PIP_INDEX_URL=unreachable,
        PIP_FIND_LINKS="",
        PIP_NO_CACHE_DIR="1",
    )

    assert ended == Exit.UNREACHABLE
    assert "error: the toolkit could not be installed into .venv" in err
    assert "hint: check the network" in err
    assert not (copy / ".venv" / "built-from").exists()


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_the_launcher_is_plain_shell(shell: str) -> None:
    """Every shell that this machine has can read the launcher."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not here")

    ran = subprocess.run([program, "-n", ROOT / "aitbc"], capture_output=True, check=False)

    assert (ran.returncode, ran.stderr) == (0, b"")
