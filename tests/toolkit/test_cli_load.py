"""What `aitbc load` tells people: the verdict first, why, the books, and where everything lies."""

import json
from pathlib import Path
from typing import Any

import pytest

from aitbc_node.events import TxOutcome
from aitbc_toolkit.cli import swarm_picture
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites import evidence, loads, repertoire
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.swarm import Document
from aitbc_toolkit.suites.verdicts import Verdict

LATENCY = {"percentiles_ms": {"p50": 812.4, "p95": 1_700.0, "p99": 1_900.0}}
COUNTS = {"sent": 1_500, "final": 1_499, "rejected": 1, "expired": 0, "pending": 0}


def a_result(**changed: object) -> Document:
    """Make what a swarm tells at its end."""
    return {
        "verdict": "PASS",
        "why": [],
        "for_s": 30.0,
        "rates": {"asked": 50.0, "offered": 50.0, "accepted": 49.9, "committed": 49.6},
        "books": {**COUNTS, "rejects": {"nonce": 1}, "refusals": {"rate-limited": 3}},
        "to_final": LATENCY,
        "submit": LATENCY,
        "send_lag": {"percentiles_ms": {"p99": 1.8}},
        "checks": [{"name": "agreement", "outcome": "held", "detail": "20 heights"}],
        "generator": {"cpu_share": 0.123, "cpu_us_per_tx": 512.0, "in_flight_max": 12},
        **changed,
    }


def told(folder: Path, verdict: Verdict, result: Document | None, line: str = "") -> str:
    """Write how a run ended."""
    outcome = Result("load/steady", verdict, line, 33.0)
    record = evidence.Record(
        "load/steady", "dev", 7, 0.0, 33.0, verdict, (outcome,), command="./aitbc load run"
    )
    return "\n".join(swarm_picture.summary(loads.Played(record, result), folder))


def test_a_good_run_is_told_in_a_few_lines(tmp_path: Path) -> None:
    """Verdict and its grounds, figures with their units, books, and where the result lies."""
    text = told(tmp_path, Verdict.PASS, a_result())

    assert text.startswith(
        "load/steady on dev: PASS (offered 100.0 %, send lag p99 1.8 ms, worker CPU 12 %)"
    )
    assert "asked 50.0, offered 50.0, accepted 49.9, committed 49.6" in text
    assert "p50 812.4 ms, p95 1.70 s, p99 1.90 s" in text
    assert "sent 1,500 = final 1,499 + rejected 1 + expired 0 + pending 0" in text
    assert "nonce 1" in text
    assert "rate-limited 3" in text
    assert "because" not in text
    assert str(tmp_path / "result.json") in text


def test_every_reason_is_told(tmp_path: Path) -> None:
    """A run that shows nothing says why, before any figure."""
    reasons = ["send lag p99 was 30.0 ms, at most 10 are good", "nothing became final"]

    text = told(tmp_path, Verdict.INVALID, a_result(verdict="INVALID", why=reasons))

    for reason in reasons:
        assert f"because    {reason}" in text
    assert text.index(reasons[0]) < text.index("a second")


def test_a_missed_objective_is_a_reason(tmp_path: Path) -> None:
    """The swarm's own verdict was good, so the line of the record says it."""
    line = "final_p99 was 1.9, allowed <= 1s"

    assert f"because    {line}" in told(tmp_path, Verdict.OBJECTIVE, a_result(), line)


def test_a_lost_swarm_has_no_figures(tmp_path: Path) -> None:
    """What nobody counted is not shown."""
    text = told(tmp_path, Verdict.INVALID, None, "the worker ended with status -9 and no result")

    assert text == ("load/steady on dev: INVALID, the worker ended with status -9 and no result")


def test_what_was_not_measured_is_said_to_be_so(tmp_path: Path) -> None:
    """No rate of blocks, no latency, no cost: none is made up."""
    nothing = {"percentiles_ms": {"p50": None, "p95": None, "p99": None}}
    rates = {"asked": 50.0, "offered": 0.0, "accepted": 0.0, "committed": None}
    made = {"cpu_share": 0.0, "cpu_us_per_tx": None, "in_flight_max": 0}

    text = told(tmp_path, Verdict.PASS, a_result(rates=rates, to_final=nothing, generator=made))

    assert "committed not available" in text
    assert "p50 -, p95 -, p99 -" in text
    assert "not available, 0 in flight" in text


def test_a_run_that_was_killed_is_not_called_good(tmp_path: Path) -> None:
    """Until there is a verdict there is none; the newest second is shown."""
    order = {"plan": {"scenario": "load/steady"}}
    seen = repertoire.Seen(order, {"accepted": 50, "final": 48}, "", None)

    text = "\n".join(swarm_picture.standing(seen, tmp_path))

    assert "load/steady, not judged yet, or killed" in text
    assert "accepted 50/s, final 48/s" in text


def test_a_run_on_real_ledger_and_servers_ends_in_balanced_books(
    fake_mesh: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The faucet pays, the swarm signs what the ledger takes, and all of it is found again."""
    take = fake_mesh.ledger.take

    def heard(raw: bytes) -> TxOutcome:
        outcome: TxOutcome = take(raw)
        height = len(fake_mesh.ledger.finals)
        fate = {"id": outcome.id.hex(), "status": "committed", "code": "ok"}
        for port in fake_mesh.ports.values():
            port.hub.publish("block", {"height": height})
            port.hub.publish("tx", {"height": height, "txs": [fate]})
        return outcome

    fake_mesh.ledger.take = heard
    monkeypatch.setattr("aitbc_toolkit.cli.load.load_environment", lambda _: fake_mesh.environment)
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda: tmp_path / "state")

    status = run(["load", "run", "--rate", "4", "--for", "1", "--seed", "3", "--json"])

    shown = capsys.readouterr()
    told = json.loads(shown.out)
    books = told["result"]["books"]
    assert (books["sent"], books["final"], books["pending"]) == (4, 4, 0), shown.err
    assert {row["outcome"] for row in told["result"]["checks"]} == {"held"}
    assert told["verdict"] in {"PASS", "INVALID"}, shown.err  # whether this machine was in time
    assert status == told["exit"]
    (folder,) = (tmp_path / "state" / "runs").glob("0*")
    assert (folder / "report.html").exists()
    assert run(["load", "status"]) == Exit.OK
    assert "sent 4 = final 4" in capsys.readouterr().out


def test_scenarios_are_listed_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with what it asks and how long it lasts."""
    assert run(["load", "list", "--json"]) == Exit.OK

    rows = {each["name"]: each for each in json.loads(capsys.readouterr().out)["scenarios"]}
    assert rows["load/steady"]["arrivals"] == "50/s"
    assert rows["load/steady"]["lasts"] == "30s"


def test_an_unknown_scenario_is_refused_before_any_mesh_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the nearest name, as a mistake of usage."""
    assert run(["load", "run", "load/stedy", "-e", "dev"]) == Exit.USAGE
    assert "the nearest is load/steady" in capsys.readouterr().err
