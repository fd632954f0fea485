"""Load scenarios are found and refused by name and line; what a swarm says becomes a verdict."""

import json
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pretend_swarm import a_swarm, an_order

from aitbc_load import results
from aitbc_toolkit import paths
from aitbc_toolkit.errors import AitbcError, ConfigError, UsageError
from aitbc_toolkit.suites import catalogue, loads, repertoire
from aitbc_toolkit.suites.loads import Wanted
from aitbc_toolkit.suites.scenario.schema import Objective
from aitbc_toolkit.suites.swarm import Document, LostError, Swarm
from aitbc_toolkit.suites.verdicts import Verdict

STEADY = (catalogue.folder() / "load" / "steady.yaml").read_text()


def a_file(folder: Path, old: str = "", new: str = "") -> Path:
    """Write a scenario with one part replaced."""
    path = folder / "load" / "steady.yaml"
    path.parent.mkdir()
    assert old in STEADY
    path.write_text(STEADY.replace(old, new) if old else STEADY)
    return path


def told(**changed: object) -> Document:
    """Make the part of a result that a verdict is made of."""
    percentiles = {"p50": 400.0, "p95": 800.0, "p99": 1_500.0}
    return {
        "verdict": "PASS",
        "why": [],
        "books": {"final": 10, "sent": 10},
        "rates": {"committed": 48.5},
        "to_final": {"percentiles_ms": percentiles},
        **changed,
    }


def wanted(**objectives: Objective) -> Wanted:
    """Ask for a run with these bounds."""
    return Wanted("load/steady", 50.0, 30.0, 1, 7, objectives)


def test_a_built_in_scenario_is_found_by_its_name() -> None:
    """With its family or without; another rate and length may be asked for."""
    written = repertoire.find("load/steady")

    assert repertoire.find("steady") == written
    asked = loads.wanted(written, seed=3, faster=None, longer=90.0)
    assert (asked.rate, asked.for_s, asked.batch, asked.seed) == (50.0, 90.0, 1, 3)
    assert "load/steady" in [each.name for each in repertoire.built_in()]


def test_a_name_that_does_not_exist_is_told_with_the_nearest() -> None:
    """Before any mesh is asked."""
    with pytest.raises(UsageError, match="the nearest is load/steady"):
        repertoire.find("load/stedy")


def test_a_scenario_of_another_family_is_sent_to_its_command() -> None:
    """Its file would be half heeded here."""
    with pytest.raises(UsageError) as refused:
        repertoire.find(str(catalogue.folder() / "partition" / "minority.yaml"))

    assert refused.value.hint == "aitbc test partition/minority"


def test_no_suite_plays_a_load_scenario() -> None:
    """`all` means every family that `aitbc test` plays."""
    assert not [part.name for part in catalogue.parts("all") if part.name.startswith("load/")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (", lasts: 30s", "", "steady.yaml:5: a file of family load has one load"),
        ("steps: []", "steps: [{wait_end: x}]", "`steps` is not heeded in family load"),
        ("[dev, lab, hosts]", "[sim]", "`backends` is not heeded in family load"),
        ("final_p99:", "final_p98:", "unknown record 'final_p98', the nearest is final_p99"),
        ("lasts: 30s", "lasts: ever", "steady.yaml:6: "),
        ("lasts:", "last:", "lasts"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    """A key that would have no effect is refused, not passed over."""
    with pytest.raises(ConfigError) as refused:
        repertoire.find(str(a_file(tmp_path, old, new)))

    assert said in refused.value.message


def test_an_objective_makes_a_verdict_of_its_own() -> None:
    """A good run that misses it is OBJECTIVE; a run that says nothing stays INVALID."""
    asked = wanted(final_p99=Objective(max="1s"), committed=Objective(min=40))

    assert loads.judged(wanted(), told()) == (Verdict.PASS, "10 of 10 final")
    verdict, line = loads.judged(asked, told())
    assert (verdict, line) == (Verdict.OBJECTIVE, "final_p99 was 1.5, allowed <= 1s")
    invalid = told(verdict="INVALID", why=["send lag p99 was 30.0 ms, at most 10 are good"])
    assert loads.judged(asked, invalid)[0] is Verdict.INVALID


def test_what_was_not_measured_meets_no_objective() -> None:
    """No block, no rate: that is a miss."""
    asked = wanted(committed=Objective(min=1))

    assert loads.judged(asked, told(rates={"committed": None}))[0] is Verdict.OBJECTIVE


def test_a_lost_worker_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ends without a result is an error with its status, never a silent end."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nread order\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))

    with pytest.raises(LostError, match="status 3 and no result"):
        a_swarm(an_order(tmp_path, [1]), []).run()


def test_a_worker_that_is_killed_in_the_middle_of_a_line_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a result is none, and no mistake of the one who reads it."""
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\nread order\nprintf \'{"result": {"ver\'\nkill -9 $$\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))

    with pytest.raises(LostError, match="status -9 and no result"):
        a_swarm(an_order(tmp_path, [1]), []).run()


@pytest.mark.parametrize(
    ("ended", "verdict"),
    [
        (AitbcError("the faucet is empty", hint="aitbc network status"), Verdict.INFRA),
        (LostError("the worker ended with status -9 and no result"), Verdict.INVALID),
        (KeyboardInterrupt(), Verdict.INCONCLUSIVE),
    ],
)
def test_a_run_is_kept_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: BaseException, verdict: Verdict
) -> None:
    """Once a swarm was ordered there is a verdict on the disk, and no run is open for ever."""

    def runs(_swarm: Swarm) -> Document:
        raise ended

    monkeypatch.setattr(Swarm, "run", runs)
    monkeypatch.setattr(loads, "open_mesh", nullcontext)
    monkeypatch.setattr(loads, "an_order", lambda *_: {})
    environment: Any = SimpleNamespace(name="dev")

    with suppress(KeyboardInterrupt):
        loads.play(environment, wanted(), tmp_path, tell=lambda *_: None)

    assert json.loads((tmp_path / "verdict.json").read_text())["verdict"] == verdict


def test_a_run_that_was_killed_is_shown_as_far_as_it_came(tmp_path: Path) -> None:
    """The newest whole second; a line that was cut off is none, and no verdict is made up."""
    (tmp_path / "order.json").write_text(json.dumps({"plan": {"scenario": "load/steady"}}))
    (tmp_path / "load.jsonl").write_text('{"accepted": 5, "final": 4}\n{"acc')

    seen = repertoire.seen(tmp_path)

    assert seen.second == {"accepted": 5, "final": 4}
    assert (seen.verdict, seen.result) == ("", None)


def test_the_schema_of_the_result_is_current() -> None:
    """`docs/load.schema.json` is what `aitbc_load.results` says."""
    written = json.loads((paths.project_root() / "docs" / "load.schema.json").read_text())

    assert written == json.loads(json.dumps(results.document()))
