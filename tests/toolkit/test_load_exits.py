"""A load run ends with 0 only where it can be believed and every objective of its file held."""

import json
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites import exporting, stepping
from aitbc_toolkit.suites.knee import Outcome, Step
from aitbc_toolkit.suites.swarm import Document, LostError, Swarm
from aitbc_toolkit.suites.verdicts import Verdict, exit_of

FILE = """scenario: load/mine
about: transfers, each of which is to be final soon, and enough of them
backends: [dev]
load:
  - {role: user, arrivals: 8/s, mix: {transfer: 1}, lasts: 2s}
objectives:
  final_p99: {max: 2s}
  committed: {min: 6}
steps: []
"""


@pytest.fixture
def mine(fake_mesh: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a file with two objectives, and a real ledger's servers as every environment."""
    fake_mesh.tell_fates()
    monkeypatch.setattr("aitbc_toolkit.cli.load.load_environment", lambda _: fake_mesh.environment)
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda: tmp_path / "state")
    path = tmp_path / "load" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(FILE)
    return str(path)


def words(named: str, *more: str) -> list[str]:
    """Write the command line of four workers on staging."""
    return ["load", "run", named, "--env", "staging", "--workers", "4", "--seed", "3", *more]


def a_result(verdict: str, p99_ms: float | None, committed: float | None) -> Document:
    """Make what a swarm tells that found this."""
    return {
        "verdict": verdict,
        "why": [] if verdict == "PASS" else ["planted"],
        "books": {"sent": 16, "final": 16},
        "rates": {"committed": committed},
        "to_final": {"percentiles_ms": {"p50": 1.0, "p95": 1.0, "p99": p99_ms}},
        "harm_p99": None,
        "checks": [],
    }


@pytest.mark.proves("B15")
@pytest.mark.parametrize(
    ("verdict", "p99_ms", "committed", "status"),
    [
        ("PASS", 2_000.0, 6.0, Exit.OK),
        ("PASS", 2_001.0, 8.0, Exit.OBJECTIVE),
        ("PASS", 10.0, 5.9, Exit.OBJECTIVE),
        ("PASS", None, 8.0, Exit.OBJECTIVE),
        ("PASS", 10.0, None, Exit.OBJECTIVE),
        ("INVALID", 10.0, 8.0, Exit.INVALID),
        ("INVALID", 9_000.0, 8.0, Exit.INVALID),
        ("INCONCLUSIVE", 10.0, 8.0, Exit.INCONCLUSIVE),
        ("LIVENESS", 10.0, 8.0, Exit.STUCK),
        ("SAFETY", 10.0, 8.0, Exit.UNSAFE),
    ],
)
def test_all_objectives_hold_or_the_exit_is_not_0(
    mine: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verdict: str,
    p99_ms: float | None,
    committed: float | None,
    status: Exit,
) -> None:
    """One that is missed, or was not measured, is enough; what a run is not sure of is no 0."""
    monkeypatch.setattr(Swarm, "run", lambda _: a_result(verdict, p99_ms, committed))
    monkeypatch.setattr(exporting, "text", lambda _: "")

    ended = run(words(mine, "--json"))

    shown = capsys.readouterr()
    assert ended == status, shown.err
    assert json.loads(shown.out)["exit"] == status


def test_a_lost_swarm_is_no_0(
    mine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody knows whether any objective held."""

    def lost(_: Swarm) -> Document:
        raise LostError("planted")

    monkeypatch.setattr(Swarm, "run", lost)

    assert run(words(mine)) == Exit.INVALID, capsys.readouterr().err


@pytest.mark.proves("B15")
def test_four_real_workers_end_as_their_figures_say(
    mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All was sent by four; 0 and PASS go together, and a believed run passes where both hold.

    Whether this machine was in time says this machine: an INVALID run is none of the others.
    """
    ended = run(words(mine, "--json"))

    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert len(told["result"]["workers"]) == 4, shown.err
    assert told["result"]["books"]["sent"] == told["result"]["books"]["final"] == 16
    assert told["verdict"] in {"PASS", "OBJECTIVE", "INVALID"}, shown.err
    has_met_all = all(row["met"] for row in told["objectives"])
    assert len(told["objectives"]) == 2
    assert (ended == Exit.OK) == (told["result"]["verdict"] == "PASS" and has_met_all), shown.err
    assert ended == told["exit"] == exit_of(Verdict(told["verdict"]))


@pytest.mark.proves("B15")
@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.HOLDS, Exit.OK), (Outcome.BEHIND, Exit.STUCK), (Outcome.BROKEN, Exit.UNSAFE)],
)
def test_the_knee_is_a_scenario_of_four_workers_too(
    mine: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: Outcome,
    status: Exit,
) -> None:
    """`load run load/knee` looks for it; 0 only where it, or more than was asked, was found."""
    assert mine
    shares: list[int] = []

    def play(stairs: Any, asked: Any, _folder: Path) -> tuple[Step, dict[str, str]]:
        shares.append(asked.workers)
        stairs.tell("second", {})
        committed = asked.rate if outcome is Outcome.HOLDS else None
        return Step(asked.rate, outcome, "planted", asked.rate, committed=committed), {}

    monkeypatch.setattr(stepping._Stairs, "_play", play)

    ended = run(words("load/knee", "--json"))

    told = json.loads(capsys.readouterr().out)
    assert (ended, told["exit"]) == (status, status)
    assert set(shares) == {4}
    assert (told["validators"], told["tx_bytes"]) == (None, None), "no step has told"
    repeats = json.loads((Path(told["record"]) / "verdict.json").read_text())["repro"]
    assert repeats.endswith("--seed 3 --workers 4")


def test_no_rate_is_asked_for_where_the_knee_is_looked_for(
    mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be passed over: the hint is the option that says where to begin."""
    assert mine
    assert run(words("load/knee", "--rate", "9")) == Exit.USAGE
    assert "hint: aitbc load knee --from" in capsys.readouterr().err
