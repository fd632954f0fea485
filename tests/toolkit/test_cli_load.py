"""What `aitbc load` tells people: the verdict first, why, the books, and where everything lies."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aitbc_load.histograms import Latencies
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
        "generator": {
            "cpu_share": 0.123,
            "cpu_us_per_tx": 512.0,
            "in_flight_max": 12,
            "tx_bytes": 193.4,
        },
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
    assert "0.51 CPU-ms a transaction of 193 bytes, 12 in flight at most" in text
    assert "nonce 1" in text
    assert "rate-limited 3" in text
    assert "because" not in text
    assert str(tmp_path / "result.json") in text


@pytest.mark.parametrize(
    ("verdict", "load", "shown"),
    [("INVALID", 14.7, True), ("INVALID", 1.2, False), ("PASS", 14.7, False)],
)
def test_a_late_run_on_a_busy_machine_says_so(
    tmp_path: Path, verdict: str, load: float, *, shown: bool
) -> None:
    """Somebody who sees a send lag for the first time hears whose work made it, if it may be."""
    circumstances = {"machine": {"cores": 2, "load": [load, 9.0, 9.0]}}
    late = {"verdict": verdict, "why": ["send lag p99 was 15.2 ms, at most 10 are good"]}

    text = told(tmp_path, Verdict(verdict), a_result(circumstances=circumstances, **late))

    said = "perhaps    this machine was busy: 14.7 processes wanted its 2 cores before it began"
    assert (said in text) is shown


def test_those_who_break_the_rules_and_those_who_wait_are_told_apart(tmp_path: Path) -> None:
    """Attackers by what became of what they handed in, bots by what they did and what failed."""
    role = {"sent": 40, "taken": 30, "in_blocks": 20, "breaches": 1, "acts": {}, "lives": {}}
    spammer = {**role, "role": "spammer", "model": "open", "failures": {}}
    bots = {"lives": {"succeeded": 3, "failed": 1}, "acts": {"read": 9, "transfer": 4}}
    users = {**role, **bots, "role": "user", "model": "closed", "failures": {"LateError": 2}}
    phase = {"name": "day", "offered": 59, "asked": 60, "for_s": 2.0, "to_final": LATENCY}

    result = a_result(roles=[spammer, users], phases=[{**phase, "is_attacked": True}], harm_p99=1.5)
    text = told(tmp_path, Verdict.PASS, result)

    assert "day: 59 of 60 offered in 2 s, to final p99 1.90 s, disturbed" in text
    assert "1.50 times as long when disturbed" in text
    assert "spammer         handed in 40, taken 30, in blocks 20, breaches 1" in text
    assert "4 bots, closed: read 9, transfer 4; failed LateError 2" in text


@pytest.mark.parametrize(("back_s", "said"), [(4.0, "back 4.0 s after"), (None, "not back")])
def test_what_faults_did_is_told(tmp_path: Path, back_s: float | None, said: str) -> None:
    """Latency before, during and after them, and how soon it was as before."""
    times = (("before", 200.0), ("during", 1_900.0), ("after", None))
    rows = [{"name": name, "p95_ms": p95_ms} for name, p95_ms in times]

    text = told(tmp_path, Verdict.PASS, a_result(broken={"periods": rows, "back_s": back_s}))

    assert f"p95 to final before 200.0 ms, during 1.90 s, after -; {said}" in text


def test_how_nodes_grew_is_told_of_long_runs_only(tmp_path: Path) -> None:
    """The worst of all memories, and what a transaction took of the disk early and late."""
    disk = {"disk_per_tx_early": 310.0, "disk_per_tx_late": None}
    rows = [
        {"node": "v1", "for_s": 3600.0, "memory_percent_h": 0.4, "why": "", **disk},
        {"node": "v2", "for_s": 3600.0, "memory_percent_h": -0.2, "why": "", **disk},
    ]
    lost = [{"node": "v1", "for_s": 9.0, "why": "one process was seen for 9 s"}]

    long = told(tmp_path, Verdict.PASS, a_result(growth=rows))

    assert "memory +0.4 % an hour at most (v1, seen for 60 min)" in long
    assert "disk a transaction 310 B early" in long
    assert "growth" not in told(tmp_path, Verdict.PASS, a_result())
    short = told(tmp_path, Verdict.PASS, a_result(growth=lost))
    assert "growth     not available: one process was seen for 9 s" in short


@pytest.mark.parametrize("line", ["junk", '{"plan": 1}', "{}", '{"folder": "\\xff"}'])
def test_a_worker_that_is_told_nonsense_says_so_in_one_line(line: str) -> None:
    """Somebody started it by hand; what it waits for comes from `load master`."""
    argv = [sys.executable, "-P", "-m", "aitbc_toolkit.cli.main", "load", "worker"]
    said = line.encode().replace(b"\\xff", b"\xff") + b"\n"

    ran = subprocess.run(argv, input=said, capture_output=True, check=False)

    error, hint = ran.stderr.decode().splitlines()
    assert (ran.returncode, ran.stdout) == (Exit.USAGE, b"")
    assert error.startswith("error: the first line is no order for a worker: ")
    assert hint.startswith("hint: aitbc load master --worker ")


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


def test_the_reason_is_that_of_the_verdict(tmp_path: Path) -> None:
    """Where a fault was left behind, that is why; what a late swarm found stands beside."""
    late = a_result(verdict="INVALID", why=["send lag p99 was 30.0 ms"])
    line = "v4: a rule is left; send lag p99 was 30.0 ms"

    assert f"because    {line}" in told(tmp_path, Verdict.UNHEALED, late, line)


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


@pytest.fixture
def told_mesh(fake_mesh: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let a real ledger's servers tell every fate; give the folder of the runs on it."""
    fake_mesh.tell_fates()
    monkeypatch.setattr("aitbc_toolkit.cli.load.load_environment", lambda _: fake_mesh.environment)
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda: tmp_path / "state")
    return tmp_path / "state" / "runs"


def test_a_run_on_real_ledger_and_servers_ends_in_balanced_books(
    told_mesh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The faucet pays, the swarm signs what the ledger takes, and all of it is found again."""
    status = run(["load", "run", "--rate", "4", "--for", "1", "--seed", "3", "--json"])

    shown = capsys.readouterr()
    told = json.loads(shown.out)
    books = told["result"]["books"]
    assert (books["sent"], books["final"], books["pending"]) == (4, 4, 0), shown.err
    assert {row["outcome"] for row in told["result"]["checks"]} == {"held"}
    assert told["verdict"] in {"PASS", "INVALID"}, shown.err  # whether this machine was in time
    assert status == told["exit"]
    (folder,) = told_mesh.glob("0*")
    assert (folder / "report.html").exists()
    assert run(["load", "status"]) == Exit.OK
    assert "sent 4 = final 4" in capsys.readouterr().out


TWO_PHASES = """scenario: load/mine
about: transfers in two phases, of which every second is to be told
tags: [mine, even]
backends: [dev]
phases:
  - {phase: early, lasts: 1s, load: [{role: user, arrivals: 4/s}]}
  - {phase: late, lasts: 2s, load: [{role: user, arrivals: 2/s}]}
objectives:
  final_p99: {max: 30s}
steps: []
"""


@pytest.mark.proves("B2")
@pytest.mark.proves("B11")
def test_what_a_run_leaves_adds_up_to_its_result(
    told_mesh: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Seconds, the log of latencies, the text for Prometheus and the page say what the result says.

    The p95 that is made again from the log is the one that was told. Each second says of which
    scenario and phase it is, with the file's tags, and at which nodes how much was handed in.
    """
    (tmp_path / "load").mkdir()
    mine = tmp_path / "load" / "mine.yaml"
    mine.write_text(TWO_PHASES)
    run(["load", "run", str(mine), "--seed", "3"])

    capsys.readouterr()
    (folder,) = told_mesh.glob("0*")
    result = json.loads((folder / "result.json").read_text())
    seconds = [json.loads(line) for line in (folder / "load.jsonl").read_text().splitlines()]
    for name, total in (("final", "final"), ("accepted", "accepted"), ("offered", "sent")):
        assert sum(row[name] for row in seconds) == result["books"][total]
    assert {(row["scenario"], *row["tags"]) for row in seconds} == {("load/mine", "mine", "even")}
    phases = [row["phase"] for row in seconds]
    assert phases[-1] == "late"
    assert phases == sorted(phases)  # a machine that was held may have told of the second one only
    assert set(phases) <= {"early", "late"}
    handed_in = sum(sum(row["endpoints"].values()) for row in seconds)
    assert handed_in >= result["books"]["sent"]
    assert {node for row in seconds for node in row["endpoints"]} <= {"v1", "v2", "v3", "v4"}
    again = recounted(folder, "to_final")
    assert again.count == result["to_final"]["count"] == 8
    assert again.percentiles_ms()["p95"] == pytest.approx(
        result["to_final"]["percentiles_ms"]["p95"], rel=0.002
    )
    assert recounted(folder, "submit").count == result["submit"]["count"]
    heard = [json.loads(line) for line in (folder / "heights.jsonl").read_text().splitlines()]
    assert {row["node"] for row in heard} == {"v1", "v2", "v3", "v4"}
    assert 'state="final"} 8.0' in (folder / "metrics.prom").read_text()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [row["name"] for row in events] == ["begin", "end"]
    page = (folder / "report.html").read_text()
    assert page.count('data-testid="scenario"') == 1
    assert "Height per node" in page


def recounted(folder: Path, tag: str) -> Latencies:
    """Add up the lines of one kind."""
    found = Latencies()
    for line in (folder / "latencies.hlog").read_text().splitlines():
        if line.startswith(f"Tag={tag},"):
            hdr, bounds = line.rpartition(",")[2], {"least_us": 0, "most_us": 10**12, "sum_us": 0}
            found.merge(Latencies.from_wire({"hdr": hdr, **bounds}))
    return found


@pytest.mark.nightly
def test_a_knee_on_real_ledger_and_servers_leaves_a_record_of_its_steps(
    told_mesh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each step is a load run with books; the whole has a document, a page, and one sentence."""
    words = ["load", "knee", "--from", "4", "--most", "4", "--for", "3", "--seed", "3"]

    status = run(words)

    shown = capsys.readouterr()
    (folder,) = told_mesh.glob("0*")
    told = json.loads((folder / "knee.json").read_text())
    assert shown.out.startswith(told["sentence"]), shown.err
    assert status == told["exit"]
    assert (told["validators"], told["nodes"]) == (4, 4)
    assert 150 < told["tx_bytes"] < 250
    assert "of         4 validators, 4 nodes in all; " in shown.out
    steps = sorted((folder / "steps").iterdir())
    assert len(steps) == len(told["steps"]) >= 1
    for each, step in zip(steps, told["steps"], strict=True):
        result = json.loads((each / "result.json").read_text())
        assert (result["rates"]["asked"], result["books"]["pending"]) == (step["asked"], 0)
        assert not (each / "signed").exists()
    page = (folder / "report.html").read_text()
    assert page.count('data-testid="scenario"') == 1 + len(steps)
    assert told["sentence"].removesuffix(".") in page


def test_scenarios_are_listed_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with what it asks, how long it lasts, who comes, what is broken, what must hold."""
    assert run(["load", "list", "--json"]) == Exit.OK

    rows = {each["name"]: each for each in json.loads(capsys.readouterr().out)["scenarios"]}
    assert rows["load/steady"]["arrivals"] == "50/s"
    assert rows["load/steady"]["lasts"] == "30s"
    assert rows["load/steady"]["objectives"] == ["final_p99 at most 30s"]
    assert rows["load/hostile"]["families"] == ["legitimate", "adversarial"]
    assert rows["load/bad-habits"]["families"] == ["legitimate", "anti-pattern"]
    assert rows["load/leader-restart"]["faults"] == ["proc.restart"]
    assert len(rows) >= 24
    assert len({each["about"] for each in rows.values()}) == len(rows)
    assert all(each["objectives"] for each in rows.values())
    found = {family for each in rows.values() for family in each["families"]}
    assert found == {"legitimate", "adversarial", "anti-pattern"}


def test_the_knee_is_listed_among_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever looks for what `load run` takes finds it, with what it asks and must hold."""
    assert run(["load", "list"]) == Exit.OK
    rows = [row.split("  ")[0] for row in capsys.readouterr().out.splitlines()[1:]]

    assert rows == sorted(rows)
    assert "load/knee" in rows
    assert set(rows) - {"load/knee"} == {each.name for each in repertoire.built_in()}


def test_a_narrow_terminal_cuts_what_scenarios_are_about(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names alone would say little: each keeps the beginning of its sentence, in one line."""
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["load", "list"]) == Exit.OK
    head, *rows = capsys.readouterr().out.splitlines()

    assert head.endswith("ABOUT")
    assert {len(row) for row in rows if row.endswith("...")} == {80}
    assert all(len(row) <= 80 for row in rows)
    assert sum("  transfers come" in row for row in rows) > 20


@pytest.mark.parametrize("named", ["load/leader-restart", "leader-restart"])
def test_one_scenario_is_shown_whole(named: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For people what programs get: who comes, what is broken, what must hold, a line each."""
    assert run(["load", "list", named]) == Exit.OK
    shown = capsys.readouterr().out
    assert run(["load", "list", named, "--json"]) == Exit.OK
    (told,) = json.loads(capsys.readouterr().out)["scenarios"]

    assert shown.startswith(f"load/leader-restart: {told['about']}\n  asks       20/s, 60s\n")
    assert "  who comes  legitimate\n  breaks     proc.restart\n" in shown
    assert told["objectives"]
    for each in told["objectives"]:
        assert f"  must hold  {each}\n" in shown


def test_an_unknown_scenario_is_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest name is told, and the knee is one of them."""
    assert run(["load", "list", "load/kne"]) == Exit.USAGE
    assert "unknown load scenario 'load/kne', the nearest is load/knee" in capsys.readouterr().err


def test_an_unknown_scenario_is_refused_before_any_mesh_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the nearest name, as a mistake of usage."""
    assert run(["load", "run", "load/stedy", "-e", "dev"]) == Exit.USAGE
    assert "the nearest is load/steady" in capsys.readouterr().err
