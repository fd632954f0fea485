"""Load scenarios are found and refused by name and line; what a swarm says becomes a verdict."""

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis.strategies import dictionaries, integers, sampled_from
from msgspec import convert
from pretend_swarm import TERMS as WRITTEN
from pretend_swarm import a_swarm, an_order

from aitbc_load import orders, results
from aitbc_load.attacks import ADVERSARIAL
from aitbc_load.mustering import COMPARER, MISUSING, STAKER, TRADER, recruits_of
from aitbc_load.orders import Part, Plan, Terms
from aitbc_toolkit import paths
from aitbc_toolkit.errors import AitbcError, ConfigError, UsageError
from aitbc_toolkit.suites import bounding, catalogue, exporting, loads, repertoire, stepping
from aitbc_toolkit.suites.beside import Beside
from aitbc_toolkit.suites.loads import Wanted
from aitbc_toolkit.suites.scenario import crowds, load_files
from aitbc_toolkit.suites.scenario.schema import Objective
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.swarm import Document, LostError, Swarm
from aitbc_toolkit.suites.verdicts import Verdict

TERMS = convert(WRITTEN, Terms)
PARTS = tuple[Part, ...]
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
    written = repertoire.case("load/steady").written

    assert repertoire.case("steady").written == written
    asked = loads.wanted(written, seed=3, faster=None, longer=90.0)
    assert (asked.rate, asked.for_s, asked.batch, asked.seed) == (50.0, 90.0, 1, 3)
    assert "load/steady" in [each.name for each in repertoire.built_in()]


def test_a_name_that_does_not_exist_is_told_with_the_nearest() -> None:
    """Before any mesh is asked."""
    with pytest.raises(UsageError, match="the nearest is load/steady"):
        repertoire.case("load/stedy")


@pytest.mark.parametrize("named", ["load/knee", "knee"])
def test_who_asks_for_the_knee_is_sent_to_its_command(named: str) -> None:
    """It has no file: each of its steps is a run."""
    with pytest.raises(UsageError) as refused:
        repertoire.case(named)

    assert refused.value.hint == "aitbc load knee"


def test_a_scenario_of_another_family_is_sent_to_its_command() -> None:
    """Its file would be half heeded here."""
    with pytest.raises(UsageError) as refused:
        repertoire.case(str(catalogue.folder() / "partition" / "minority.yaml"))

    assert refused.value.hint == "aitbc test partition/minority"


def test_no_suite_plays_a_load_scenario() -> None:
    """`all` means every family that `aitbc test` plays."""
    assert not [part.name for part in catalogue.parts("all") if part.name.startswith("load/")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (", lasts: 30s", "", "steady.yaml:5: a file of family load has phases, or one load"),
        ("steps: []", "steps: [{wait_end: x}]", "steady.yaml:9: unknown fault 'x'"),
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
        repertoire.case(str(a_file(tmp_path, old, new)))

    assert said in refused.value.message


PHASES = """scenario: load/steady
about: two phases, of which one is hostile
backends: [dev]
phases:
  - phase: alone
    lasts: 10s
    load: [{role: user, arrivals: 40/s}]
  - phase: attacked
    lasts: 20s
    ramp: 5s
    load:
      - {role: user, arrivals: 20/s}
      - {role: spammer, arrivals: 10/s}
steps: []
"""


def a_phased_file(folder: Path, old: str = "", new: str = "") -> Path:
    """Write a scenario of two phases, one part replaced."""
    path = folder / "load" / "steady.yaml"
    path.parent.mkdir()
    assert old in PHASES
    path.write_text(PHASES.replace(old, new, 1) if old else PHASES)
    return path


def test_phases_keep_their_proportions(tmp_path: Path) -> None:
    """Another rate and length are those of the whole; attackers come as the file says."""
    written = repertoire.case(str(a_phased_file(tmp_path))).written

    asked = loads.wanted(written, seed=3, faster=80.0, longer=15.0)

    assert (asked.rate, asked.for_s) == (80.0, 15.0)
    assert [each["rate"] for each in asked.phases] == [80.0, 40.0]
    assert [each["for_s"] for each in asked.phases] == [5.0, 10.0]
    assert asked.phases[1]["ramp_s"] == 2.5
    assert asked.phases[1]["parts"] == [{"role": "spammer", "rate": 10.0}]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("role: spammer", "role: spamer", "steady.yaml:13: "),
        ("    ramp: 5s", "    ramp: 25s", "steady.yaml:8: phase attacked lasts 20s, its ramp"),
        ("    ramp: 5s", "    romp: 5s", "steady.yaml:10: unknown key"),
        ("phase: attacked", "phase: alone", "steady.yaml:8: two phases are called alone"),
        (
            "role: user, arrivals: 20/s",
            "role: flooder, arrivals: 20/s",
            "phase attacked has one load of role user",
        ),
        ("arrivals: 10/s", "arrivals: 0/s", "spammer of phase attacked never comes"),
        ("arrivals: 10/s", "arrivals: 10/s, batch: 5", "spammer of phase attacked has no batch"),
        ("arrivals: 10/s", "bots: 4", "spammer of phase attacked has `arrivals`"),
        ("role: spammer, arrivals: 10/s", "role: observer, arrivals: 10/s", "has `bots`"),
        ("role: spammer, arrivals: 10/s", "role: user", "either `arrivals` or `bots`"),
        ("arrivals: 10/s", "arrivals: 10/s, mix: {read: 1}", "has no mix"),
        ("arrivals: 20/s", "arrivals: 20/s, batch: 5", "every phase has the same batch"),
        (
            "    lasts: 20s",
            "    lasts: 20s\n    spawn: {bots: 1, weights: {user: 9, trader: 1}}",
            "phase attacked has too few bots for a trader",
        ),
        (
            "    lasts: 20s",
            "    lasts: 20s\n    spawn: {bots: 9, weights: {agent: 9}}",
            "steady.yaml:",
        ),
    ],
)
def test_a_phase_that_could_not_be_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    """No phase is passed over or half played: the file is refused as a whole, by line."""
    with pytest.raises(ConfigError) as refused:
        repertoire.case(str(a_phased_file(tmp_path, old, new)))

    assert said in refused.value.message


@pytest.mark.proves("B8")
def test_bots_come_in_the_weights_that_were_asked_for(tmp_path: Path) -> None:
    """Of 150 bots in weights 10, 3 and 2 there are 100, 30 and 20, each of its role."""
    more = "\n    spawn: {bots: 150, pause: 2s, weights: {user: 10, trader: 3, observer: 2}}"
    path = a_phased_file(tmp_path, "    load: [{role: user, arrivals: 40/s}]", _with(more))

    asked = loads.wanted(repertoire.case(str(path)).written, seed=3, faster=None, longer=None)

    parts = asked.phases[0]["parts"]
    assert {part["role"]: part["bots"] for part in parts} == {
        "user": 100,
        "trader": 30,
        "observer": 20,
    }
    plan = Plan(
        scenario="x",
        seed=3,
        rate=40.0,
        for_s=10.0,
        phases=(orders.Phase(name="p", for_s=10.0, rate=40.0, parts=convert(parts, PARTS)),),
    )
    roles = Counter(recruit.part.role for recruit in recruits_of(plan, 0, TERMS))
    assert roles == {"user": 100, "trader": 30, "observer": 20}


def _with(more: str) -> str:
    return "    load: [{role: user, arrivals: 40/s}]" + more


@given(
    bots=integers(1, 10_000),
    weights=dictionaries(sampled_from(get_args(crowds.Bot)), integers(1, 100), min_size=1),
)
def test_no_bot_is_lost_and_no_role_is_a_bot_away(bots: int, weights: dict[Any, int]) -> None:
    """The shares add up, and each is its weight's to less than one bot."""
    found = load_files.dealt(crowds.Spawn(bots=bots, weights=weights))

    assert sum(found.values()) == bots
    for role, weight in weights.items():
        assert abs(found[role] - bots * weight / sum(weights.values())) < 1


def test_the_toolkit_and_the_swarm_know_the_same_roles() -> None:
    """A role of a file that no swarm plays would be passed over."""
    closed = {"observer", COMPARER, STAKER, TRADER, *MISUSING}
    assert set(get_args(crowds.Role)) == {"user", *closed, *ADVERSARIAL}
    assert closed == load_files.CLOSED
    assert MISUSING == load_files.MISUSING
    assert ADVERSARIAL == load_files.ADVERSARIAL


def test_an_objective_makes_a_verdict_of_its_own() -> None:
    """A good run that misses it is OBJECTIVE; a run that says nothing stays INVALID."""
    asked = wanted(final_p99=Objective(max="1s"), committed=Objective(min=40))

    assert bounding.judged({}, told()) == (Verdict.PASS, "10 of 10 final")
    verdict, line = bounding.judged(asked.objectives, told())
    assert (verdict, line) == (Verdict.OBJECTIVE, "final_p99 was 1.5, allowed <= 1s")
    invalid = told(verdict="INVALID", why=["send lag p99 was 30.0 ms, at most 10 are good"])
    assert bounding.judged(asked.objectives, invalid)[0] is Verdict.INVALID


def test_what_was_not_measured_meets_no_objective() -> None:
    """No block, no rate: that is a miss."""
    asked = wanted(committed=Objective(min=1))

    assert (
        bounding.judged(asked.objectives, told(rates={"committed": None}))[0] is Verdict.OBJECTIVE
    )


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


@pytest.mark.parametrize("said", ["no json", "[1]", '{"a": 1, "b": 2}'])
def test_a_worker_that_says_what_nobody_understands_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """Its run is INVALID, as that of every lost one, and no error of the program."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nread order\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))

    with pytest.raises(LostError, match="said what nobody understands"):
        a_swarm(an_order(tmp_path, [1]), []).run()


def test_the_first_ctrl_c_ends_whatever_plays_several() -> None:
    """The run that was stopped is kept; nothing begins after it."""
    record: Any = SimpleNamespace()
    played = loads.Played(record, {})

    assert stepping.go_on(played) is played
    with pytest.raises(KeyboardInterrupt):
        stepping.go_on(loads.Played(record, {}, is_interrupted=True))


def test_ctrl_c_is_remembered_by_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The swarm comes to its end in good order, and whoever played it hears of the key."""
    lines = iter([KeyboardInterrupt(), b'{"result": {"books": 1}}\n'])

    def readline() -> bytes:
        line = next(lines)
        if isinstance(line, KeyboardInterrupt):
            raise line
        return line

    wrote: list[bytes] = []
    child: Any = SimpleNamespace(
        stdout=SimpleNamespace(readline=readline),
        stdin=SimpleNamespace(write=wrote.append, flush=lambda: None),
    )
    swarm = a_swarm(an_order(tmp_path, [1]), [])

    @contextmanager
    def started() -> Iterator[Any]:
        swarm._child = child
        yield child

    monkeypatch.setattr(swarm, "_started", started)

    assert swarm.run() == {"books": 1}
    assert swarm.is_interrupted
    assert b"stop\n" in wrote


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
    monkeypatch.setattr(loads, "Meter", lambda *_: nullcontext())
    monkeypatch.setattr(loads, "Heights", lambda *_: nullcontext())
    monkeypatch.setattr(loads, "an_order", lambda *_: {})
    environment: Any = SimpleNamespace(name="dev")

    with suppress(KeyboardInterrupt):
        loads.play(environment, wanted(), tmp_path, tell=lambda *_: None)

    assert json.loads((tmp_path / "verdict.json").read_text())["verdict"] == verdict


@pytest.mark.parametrize(
    ("ended", "verdict"), [("a rule is left", Verdict.UNHEALED), (RuntimeError(), Verdict.INFRA)]
)
@pytest.mark.parametrize("by_hand", [True, False])
def test_the_end_of_its_steps_is_kept_with_a_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ended: str | Exception,
    verdict: Verdict,
    *,
    by_hand: bool,
) -> None:
    """Ctrl-C hides no fault that was left behind, and a bug in the steps leaves a verdict."""

    def runs(_swarm: Swarm) -> Document:
        raise KeyboardInterrupt if by_hand else LostError("planted")

    def play(steps: Any, *_: Any) -> None:
        if isinstance(ended, Exception):
            steps._failure = ended
        else:
            steps._result = Result("made", Verdict.UNHEALED, ended, 0.0, residues=(ended,))

    monkeypatch.setattr(Swarm, "run", runs)
    monkeypatch.setattr(Beside, "_play", play)
    monkeypatch.setattr(loads, "_take_along", lambda *_: None)
    monkeypatch.setattr(loads, "open_mesh", nullcontext)
    monkeypatch.setattr(loads, "Meter", lambda *_: nullcontext())
    monkeypatch.setattr(loads, "Heights", lambda *_: nullcontext())
    monkeypatch.setattr(loads, "an_order", lambda *_: {})
    environment: Any = SimpleNamespace(name="dev")
    case: Any = SimpleNamespace(steps=("any",))

    with suppress(KeyboardInterrupt, RuntimeError):
        asked = dataclasses.replace(wanted(), case=case)
        loads.play(environment, asked, tmp_path, tell=lambda *_: None)

    told = json.loads((tmp_path / "verdict.json").read_text())
    assert told["verdict"] == verdict
    if isinstance(ended, str):
        assert ended in told["scenarios"][0]["line"]


def test_a_result_says_how_its_whole_run_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The swarm was content, its steps were not: programs read that beside the swarm's verdict."""

    def play(steps: Any, *_: Any) -> None:
        steps._result = Result("made", Verdict.UNHEALED, "a rule is left", 0.0)

    monkeypatch.setattr(Swarm, "run", lambda _: told(checks=[]))
    monkeypatch.setattr(Beside, "_play", play)
    monkeypatch.setattr(loads, "_take_along", lambda *_: None)
    monkeypatch.setattr(loads, "open_mesh", nullcontext)
    meter = SimpleNamespace(costs=lambda _: [])
    monkeypatch.setattr(loads, "Meter", lambda *_: nullcontext(meter))
    monkeypatch.setattr(loads, "Heights", lambda *_: nullcontext())
    monkeypatch.setattr(loads, "an_order", lambda *_: {})
    monkeypatch.setattr(exporting, "text", lambda told: str(told["ended"]))
    environment: Any = SimpleNamespace(name="dev")
    case: Any = SimpleNamespace(steps=("any",))

    asked = dataclasses.replace(wanted(), case=case)
    played = loads.play(environment, asked, tmp_path, tell=lambda *_: None)

    assert played.record.verdict is Verdict.UNHEALED
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["verdict"], result["ended"]) == ("PASS", "UNHEALED")
    assert (tmp_path / "metrics.prom").read_text() == "UNHEALED"


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
