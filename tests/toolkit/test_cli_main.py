"""Every run of the command line ends in one of the house's ways."""

import io
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import click
import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.cli import main
from aitbc_toolkit.cli.narration import narrate
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit, UsageError
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import Tell

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
        (BrokenPipeError(), Exit.CLOSED, []),
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
def test_check_09_70_a_bug_keeps_its_traceback_in_a_file(
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
        "aitbc_toolkit.cli.failures aitbc_toolkit.cli.hints aitbc_toolkit.cli.main "
        "aitbc_toolkit.cli.streams"
    )
    assert all(f"  {name} " in ran.stdout for name in main.COMMANDS)


@pytest.mark.parametrize("words", [[], ["tx"], ["release"]])
def test_no_arguments_show_the_help_and_are_a_mistake(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A bare `aitbc`, or a group of commands, shows its help on stderr and ends with 64."""
    status = main.run(words)

    said = capsys.readouterr()
    path = " ".join(["aitbc", *words])
    assert (status, said.out) == (Exit.USAGE, "")
    assert "Commands:" in said.err
    assert said.err.splitlines()[-2:] == [
        f"error: {path} was told nothing to do",
        f"hint: {path} --help",
    ]


@pytest.mark.parametrize("words", [["--help"], ["env", "list"], ["env", "list", "--json"]])
def test_check_09_141_a_reader_that_goes_away_is_no_failure_to_talk_about(words: list[str]) -> None:
    """Output into a closed pipe ends quietly, with 141 as every program that is cut off so."""
    ours, theirs = os.pipe()
    os.close(ours)

    ran = subprocess.run(
        [*MAIN, *words], stdout=theirs, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(theirs)

    assert (ran.returncode, ran.stderr) == (Exit.CLOSED, "")


@pytest.mark.parametrize("words", [["--help"], ["env", "list"], ["env", "list", "--json"]])
def test_a_full_standard_output_is_no_bug_of_ours(words: list[str]) -> None:
    """What could not be written is said in one line; no traceback, no file of a crash."""
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*MAIN, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert ran.returncode == Exit.FAILED
    assert ran.stderr.splitlines() == [
        "error: what was to be printed is lost: No space left on device",
        "hint: df -h",
    ]


def test_a_closed_standard_output_is_as_good_as_none() -> None:
    """`>&-` prints nothing, ends as it would have, and no file takes the stream's number."""
    program = (
        "import sys; from aitbc_toolkit.cli import main, streams; streams.begin();"
        "file = open('/dev/zero'); print(file.fileno() > 2, file=sys.stderr);"
        "sys.exit(main.run(['env', 'list', '--json']))"
    )

    argv = ["sh", "-c", 'exec "$@" >&- <&-', "sh", sys.executable, "-P", "-c", program]
    ran = subprocess.run(argv, stderr=subprocess.PIPE, text=True, check=False)
    whole = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *MAIN, "env", "list"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (Exit.OK, "True\n")
    assert (whole.returncode, whole.stderr) == (Exit.OK, "")


class Gone(io.StringIO):
    """A standard output whose reader goes away after the first record."""

    def write(self, text: str) -> int:
        """Take one record."""
        if "start" not in text:
            raise BrokenPipeError
        return len(text)


@pytest.mark.parametrize(("ended", "status"), [(Exit.OK, None), (Exit.ROLLED_BACK, 21)])
def test_a_run_outlives_whoever_reads_it(
    monkeypatch: pytest.MonkeyPatch, ended: Exit, status: int | None
) -> None:
    """`aitbc deploy --json | head -1` does not stop a deploy between two nodes."""
    done: list[str] = []

    def work(tell: Tell) -> Outcome:
        for name in ("v1", "v2", "v3"):
            tell({"type": "note", "text": name})
            done.append(name)
        return Outcome(ended)

    monkeypatch.setattr(sys, "stdout", Gone())
    said = None
    with suppress(BrokenPipeError):
        said = narrate("deploy", work, as_json=True)

    assert (done, said) == (["v1", "v2", "v3"], status)
