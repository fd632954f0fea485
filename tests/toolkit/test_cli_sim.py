"""The simulator on the command line: one run, a sweep, a planted bug, and mistakes."""

import json

import pytest

from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit

SWEEP_FIELDS = {
    "seeds",
    "violations",
    "seeds_per_minute_per_core",
    "rerun_mismatches",
    "sometimes",
    "never",
    "counts",
}


def test_one_run_prints_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict, the blocks, and the hash of the trace, also as JSON."""
    assert run(["sim", "run", "--seed", "3"]) == Exit.OK
    text = capsys.readouterr().out
    assert run(["sim", "run", "--seed", "3", "--json"]) == Exit.OK
    outcome = json.loads(capsys.readouterr().out)

    assert text.startswith("seed 3: pass, ")
    assert outcome["verdict"] == "pass"
    assert outcome["height"] >= 20
    assert f"trace: {outcome['digest']}" in text


def test_a_short_sweep_is_invalid_and_says_what_it_never_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One seed cannot meet every mishap: exit 16, not a green that means nothing."""
    status = run(["sim", "sweep", "--seeds", "1", "--first", "1", "--workers", "1", "--json"])
    figures = json.loads(capsys.readouterr().out)

    assert status == Exit.INVALID
    assert set(figures) == SWEEP_FIELDS
    assert figures["seeds"] == 1
    assert figures["violations"] == []
    assert figures["never"]


def test_a_found_bug_prints_the_line_that_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A sweep with a planted bug ends unsafe, and its hint is a command that does so again."""
    arguments = ["sim", "sweep", "--hard", "--bug", "forget-lock", "--seeds", "12"]
    assert run([*arguments, "--workers", "1"]) == Exit.UNSAFE
    errors = capsys.readouterr().err.splitlines()
    at = next(place for place, line in enumerate(errors) if "agreement" in line)
    command = errors[at + 1].removeprefix("hint: ./aitbc ").split()

    assert run(command) == Exit.UNSAFE


@pytest.mark.parametrize(
    "arguments",
    [
        ["sim", "run"],
        ["sim", "run", "--seed", "x"],
        ["sim", "run", "--seed", "-1"],
        ["sim", "run", "--seed", "1", "--bug", "skip-lokc"],
        ["sim", "sweep", "--seeds", "0"],
    ],
)
def test_mistakes_are_usage_errors(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line and a hint, exit 64."""
    assert run(arguments) == Exit.USAGE
    errors = capsys.readouterr().err

    assert errors.startswith("error: ")
    assert "hint: " in errors
