"""The simulator on the command line: one run, a sweep, a planted bug, and mistakes."""

import json
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aitbc_sim import findings
from aitbc_sim.run import Case
from aitbc_sim.run import run as run_case
from aitbc_toolkit.cli import sim
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit

SWEEP_FIELDS = {
    "seeds",
    "violations",
    "seeds_per_minute_per_core",
    "seeds_per_minute_per_core_is_by",
    "seeds_per_minute_per_core_by_wall",
    "rerun_mismatches",
    "found",
    "differences",
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
    assert (figures["violations"], figures["rerun_mismatches"]) == (0, 0)
    assert figures["never"]


def test_a_sweep_that_was_too_short_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for all that it never met, and one hint; after a bug it is not what matters."""
    short = ["sim", "sweep", "--seeds", "1", "--first", "1", "--workers", "1"]
    assert run(short) == Exit.INVALID
    said = [line for line in capsys.readouterr().err.splitlines() if "running" not in line]
    assert len(said) == 2
    assert said[0].startswith("error: it never came to: ")
    assert said[1] == "hint: aitbc sim sweep --profile swarm --seeds 5 --first 1"


def test_an_interrupted_sweep_says_with_which_seed_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What has passed need not run again."""
    ended = run_case(Case(3, None, "sound", {"blocks": 2}))

    def stopped(cases: Any, *, workers: int, on_outcome: Any) -> Any:
        assert (len(cases), workers) == (9, 1)
        on_outcome(ended)
        on_outcome(ended)
        raise KeyboardInterrupt

    monkeypatch.setattr(sim, "run_sweep", stopped)
    words = ["sim", "sweep", "--seeds", "9", "--first", "3", "--workers", "1"]

    assert run([*words, "--profile", "hard"]) == Exit.INTERRUPTED
    assert "hint: aitbc sim sweep --profile hard --seeds 7 --first 5" in capsys.readouterr().err


@cache
def red_seed() -> int:
    """Find a seed that shows the planted bug: which one does changes with every message sent."""
    seeds = range(1, 30)
    return next(n for n in seeds if run_case(Case(n, "forget-lock", "hard")).verdict == "agreement")


def test_a_found_bug_is_kept_and_its_line_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A sweep with a planted bug ends unsafe, and its hint is a command that does so again."""
    arguments = ["sim", "sweep", "--profile", "hard", "--bug", "forget-lock", "--seeds", "1"]
    arguments += ["--first", str(red_seed())]
    assert run([*arguments, "--workers", "1"]) == Exit.UNSAFE
    errors = capsys.readouterr().err.splitlines()
    at = next(place for place, line in enumerate(errors) if "agreement" in line)
    command = errors[at + 1].removeprefix("hint: ./aitbc ").split()
    kept = errors[at + 2].removeprefix("kept: ./aitbc ").split()

    assert run(command) == Exit.UNSAFE
    assert run([*kept, "--json"]) == Exit.UNSAFE
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["same"]
    assert again["trace"] == again["kept"]


def test_a_kept_violation_that_does_not_come_again_is_invalid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A finding of a bug that is mended since, and a file that holds none."""
    red = run_case(Case(red_seed(), "forget-lock", "hard"))
    kept = findings.save(red, tmp_path)
    mended = kept.with_name("mended.json")
    mended.write_text(kept.read_text().replace('"bug": "forget-lock"', '"bug": null'))
    other = tmp_path / "other.json"
    other.write_text("{}")

    assert run(["sim", "replay", str(kept)]) == Exit.UNSAFE
    assert run(["sim", "replay", str(mended)]) == Exit.INVALID
    assert "not the same: agreement was kept" in capsys.readouterr().out
    assert run(["sim", "replay", str(other)]) == Exit.CONFIG


def test_what_differs_in_a_run_that_is_replayed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same checker by another trace is told apart from another checker; no seed is negative."""
    red = run_case(Case(red_seed(), "forget-lock", "hard"))
    kept = findings.save(red, tmp_path)
    kept.write_text(kept.read_text().replace(red.digest, "0" * len(red.digest)))
    negative = tmp_path / "negative.json"
    negative.write_text(kept.read_text().replace('"seed": ', '"seed": -'))

    assert run(["sim", "replay", str(kept)]) == Exit.INVALID
    assert "not the same: agreement again, by another trace than 000" in capsys.readouterr().out
    assert run(["sim", "replay", str(negative)]) == Exit.USAGE
    assert f"seed -{red_seed()} is negative" in capsys.readouterr().err


def test_a_red_run_is_shrunk_to_one_line_that_is_red(capsys: pytest.CaptureFixture[str]) -> None:
    """Faults that a planted bug does not need are gone, and the line that is left shows it."""
    arguments = ["sim", "shrink", "--profile", "hard", "--bug", "forget-lock"]
    arguments += ["--seed", str(red_seed())]
    assert run([*arguments, "--runs", "6", "--json"]) == Exit.UNSAFE
    left = json.loads(capsys.readouterr().out)
    command = shlex.split(left["command"].removeprefix("./aitbc "))
    changes = json.loads(command[command.index("--with") + 1])

    assert left["checker"] == "agreement"
    assert left["runs"] <= 6
    assert "loss" not in changes
    assert run(command) == Exit.UNSAFE


def test_a_run_that_passes_cannot_be_shrunk(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to look for: exit 64."""
    command = ["sim", "shrink", "--seed", "1", "--profile", "sound", "--with", '{"blocks": 2}']

    assert run(command) == Exit.USAGE
    assert "nothing to make smaller" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["sim", "run"],
        ["sim", "run", "--seed", "x"],
        ["sim", "run", "--seed", "-1"],
        ["sim", "run", "--seed", "1", "--bug", "skip-lokc"],
        ["sim", "run", "--seed", "1", "--with", "blocks=2"],
        ["sim", "run", "--seed", "1", "--with", '{"blockz": 2}'],
        ["sim", "run", "--seed", "1", "--with", '{"blocks": 0}'],
        ["sim", "run", "--seed", "1", "--with", '{"blocks": -5}'],
        ["sim", "run", "--seed", "1", "--with", '{"interval_ms": 0}'],
        ["sim", "run", "--seed", "1", "--with", '{"delay_ms": [9, 1]}'],
        ["sim", "run", "--seed", "1", "--with", '{"clog": 1.5}'],
        ["sim", "run", "--seed", "1", "--with", '{"powers": []}'],
        ["sim", "run", "--seed", "1", "--with", '{"loss": [["prevotes", 0.5]]}'],
        ["sim", "run", "--seed", "1", "--with", '{"byzantine": [[4, "withhold"]]}'],
        ["sim", "run", "--seed", "1", "--with", '{"byzantine": [[1, "lies"]]}'],
        ["sim", "run", "--seed", "1", "--profile", "sunny"],
        ["sim", "sweep", "--seeds", "0"],
        ["sim", "replay", "/nowhere.json"],
        ["sim", "replay", "/"],
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


def test_a_seed_that_is_no_number_is_told_in_plain_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nobody but the parser speaks of an integer range."""
    assert run(["sim", "run", "--seed", "x"]) == Exit.USAGE
    assert "'x' is not a whole number" in capsys.readouterr().err
