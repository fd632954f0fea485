"""Every run of the command line ends in one of the house's ways."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.cli import main
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit, UsageError

MAIN = [sys.executable, "-P", "-m", "aitbc_toolkit.cli.main"]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> click.Group:
    """Put a command `plant` into the table; a test gives it its body."""
    monkeypatch.setitem(main.COMMANDS, "plant", main.Entry("plant", "A planted command."))
    monkeypatch.setitem(main.aitbc.commands, "plant", click.Command("plant"))
    monkeypatch.setattr(paths, "state_root", lambda: tmp_path)
    return main.aitbc


def plant(monkeypatch: pytest.MonkeyPatch, deed: object) -> None:
    """Let `plant` raise an exception or return a value."""

    def body() -> object:
        if isinstance(deed, BaseException):
            raise deed
        return deed

    command = click.Command("plant", callback=body)
    monkeypatch.setattr(main, "_load", lambda _name: command)


@pytest.mark.parametrize(
    ("deed", "status", "lines"),
    [
        (None, Exit.OK, []),
        (Exit.PENDING, Exit.PENDING, []),
        (
            AitbcError("it broke"),
            Exit.FAILED,
            ["error: it broke", "hint: where it comes from: aitbc --debug plant"],
        ),
        (
            AitbcError(
                "lab3 is away\n  since 3 s", hint="aitbc a\naitbc b", exit_status=Exit.MIXED
            ),
            Exit.MIXED,
            ["error: lab3 is away", "  since 3 s", "hint: aitbc a", "hint: aitbc b"],
        ),
        (
            ConfigError("bad key"),
            Exit.CONFIG,
            ["error: bad key", "hint: where it comes from: aitbc --debug plant"],
        ),
        (
            UsageError("unknown host"),
            Exit.USAGE,
            ["error: unknown host", "hint: aitbc plant --help"],
        ),
        (
            KeyboardInterrupt(),
            Exit.INTERRUPTED,
            ["error: interrupted", "hint: aitbc plant --help"],
        ),
        (
            click.Abort(),
            Exit.INTERRUPTED,
            [
                "error: not confirmed: nothing was changed",
                "hint: to be asked nothing, add --yes",
            ],
        ),
        (SystemExit(75), Exit.BUSY, []),
        (BrokenPipeError(), Exit.INTERRUPTED, []),
    ],
)
def test_a_failure_ends_with_its_lines_and_status(
    planted: click.Group,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    deed: object,
    status: int,
    lines: list[str],
) -> None:
    """Each kind of failure has its exit status, `error:` first and each hint on its line."""
    assert planted
    plant(monkeypatch, deed)

    ended = main.run(["plant"])

    assert (ended, capsys.readouterr().err.splitlines()) == (status, lines)


@pytest.mark.parametrize("bug", [AssertionError("power is negative"), KeyError("x"), OSError("y")])
def test_a_bug_keeps_its_traceback_in_a_file(
    planted: click.Group,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    bug: Exception,
) -> None:
    """Our own mistake ends with 70, one line, and a file that only its owner can read."""
    assert planted
    plant(monkeypatch, bug)

    ended = main.run(["plant"])

    error, hint = capsys.readouterr().err.splitlines()
    (kept,) = (tmp_path / "crashes").iterdir()
    assert ended == Exit.BUG
    assert error.startswith("error: this is a bug in aitbc: ")
    assert str(kept) in hint
    assert "Traceback" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_debug_prints_the_traceback(
    planted: click.Group, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `--debug` a failure of the world shows where it came from."""
    assert planted
    plant(monkeypatch, AitbcError("it broke"))

    main.run(["--debug", "plant"])

    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "\nerror: it broke\nhint: " in err


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["statu"], ["error: unknown command 'statu'", "hint: aitbc status", "hint: aitbc --help"]),
        (["zzzzzz"], ["error: unknown command 'zzzzzz'", "hint: aitbc --help"]),
        (["--hepl"], ["error: unknown option '--hepl'", "hint: aitbc --help"]),
        (
            ["locks", "updte"],
            [
                "error: unknown command 'updte'",
                "hint: aitbc locks update",
                "hint: aitbc locks --help",
            ],
        ),
        (
            ["locks", "update", "--upgrad"],
            [
                "error: unknown option '--upgrad'",
                "hint: aitbc locks update --upgrade",
                "hint: aitbc locks update --help",
            ],
        ),
        (
            ["locks", "check", "now"],
            ["error: got unexpected extra argument (now)", "hint: aitbc locks check --help"],
        ),
    ],
)
def test_a_usage_mistake_names_the_nearest(
    capsys: pytest.CaptureFixture[str], arguments: list[str], lines: list[str]
) -> None:
    """A mistake ends with 64, where click would say 2, and the nearest name is the hint."""
    ended = main.run(arguments)

    assert (ended, capsys.readouterr().err.splitlines()) == (Exit.USAGE, lines)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_of_the_table_exists(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each name in the table is a command with a help of its own."""
    assert main.run([name, "--help"]) == Exit.OK
    assert f"Usage: aitbc {name}" in capsys.readouterr().out


def test_help_imports_no_command() -> None:
    """`--help` lists every command without importing one, which keeps it fast."""
    program = (
        "import sys; from aitbc_toolkit.cli import main; main.run(['--help'])\n"
        "loaded = [name for name in sys.modules if name.startswith('aitbc_toolkit.cli.')]\n"
        "print(*sorted(loaded), file=sys.stderr)"
    )

    argv = [sys.executable, "-c", program]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert ran.stderr.strip() == (
        "aitbc_toolkit.cli.failures aitbc_toolkit.cli.hints aitbc_toolkit.cli.main"
    )
    assert all(f"  {name} " in ran.stdout for name in main.COMMANDS)


def test_no_arguments_show_the_help_and_are_a_mistake() -> None:
    """A bare `aitbc` shows the help on stderr and ends with 64."""
    ran = subprocess.run(MAIN, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout) == (Exit.USAGE, "")
    assert "Commands:" in ran.stderr


def test_a_reader_that_goes_away_is_no_failure_to_talk_about() -> None:
    """Output into a closed pipe ends quietly, without a traceback."""
    ours, theirs = os.pipe()
    os.close(ours)

    ran = subprocess.run(
        [*MAIN, "--help"], stdout=theirs, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(theirs)

    assert (ran.returncode, ran.stderr) == (Exit.INTERRUPTED, "")
