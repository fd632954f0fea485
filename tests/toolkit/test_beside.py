"""What is done to a mesh while a swarm hands in, and when its rate is back."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.errors import AitbcError, ConfigError, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import (
    beside,
    catalogue,
    collecting,
    loads,
    phasing,
    repertoire,
    stepping,
    waiting,
    witness,
)
from aitbc_toolkit.suites.beside import Beside
from aitbc_toolkit.suites.loads import Wanted
from aitbc_toolkit.suites.scenario import loading, measuring
from aitbc_toolkit.suites.scenario.arena import Planned
from aitbc_toolkit.suites.scenario.schema import Case
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.timeline import Timeline
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

RATE, FOR_S = 10.0, 1_000.0
MADE = """
scenario: load/made
about: somebody is killed while a swarm hands in
backends: [dev]
load:
  - {role: user, arrivals: 10/s, mix: {transfer: 1}, lasts: 1000s}
steps:
  - {id: kill, fault: proc.restart, on: v4, lease: 1s}
  - {wait_end: kill}
  - eventually:
      - {rate_back: {share: 90%, over: 3s}, record: t_rate}
objectives:
  final_p99: {max: 1s}
  t_rate: {max: 1h}
"""
LOAD = Result("load/made", Verdict.PASS, "100 of 100 final", 0.0, invariants={"agreement": "held"})


def a_case(folder: Path, text: str = MADE) -> Case:
    """Write a case, and read it."""
    path = folder / "load" / "made.yaml"
    path.parent.mkdir()
    path.write_text(text)
    return loading.load(path)[0]


def second(at_s: float, final: int) -> dict[str, float]:
    """Be a second of a swarm."""
    return {"at_s": at_s, "final": final}


class Clock:
    """Be a clock that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(beside.time, "monotonic", lambda: self.now)


def test_the_rate_is_back_when_so_many_seconds_in_a_row_bore_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted from the fault on: what became final before it shows nothing of what came after."""
    clock, found = Clock(monkeypatch), Beside(a_case(tmp_path), rate=RATE, for_s=FOR_S)
    for finals in (10, 10, 10, 10, 0, 0, 12, 6, 10, 10):
        clock.now += 1
        found.hear("second", second(clock.now, finals))

    assert found.kept_up(0.9, 3, since=0.0) == 0.0
    assert found.kept_up(0.9, 3, since=4.0) == 6.0
    assert found.kept_up(0.9, 3, since=8.0) is None
    assert found.kept_up(0.99, 3, since=6.0) is None


def test_what_had_waited_and_comes_at_once_is_no_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a burst as large as you like, the seconds that follow have to bear their part."""
    clock, found = Clock(monkeypatch), Beside(a_case(tmp_path), rate=RATE, for_s=FOR_S)
    for finals in (10_000, 3, 0, 3, 10, 20, 0, 10):
        clock.now += 1
        found.hear("second", second(clock.now, finals))

    assert found.kept_up(0.9, 5, since=0.0) is None
    assert found.kept_up(0.9, 3, since=0.0) == 3.0


def test_a_load_that_is_over_shows_no_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it would have come back, nobody knows: the drain behind it is no load."""
    clock, found = Clock(monkeypatch), Beside(a_case(tmp_path), rate=RATE, for_s=3)
    for at_s in (1, 2, 3, 4, 5, 6, 7):
        clock.now = at_s
        found.hear("second", second(at_s, 100 if at_s > 3 else 0))

    with pytest.raises(ScenarioError, match="the load was over before 90%") as ended:
        found.kept_up(0.9, 3, since=0.0)

    assert ended.value.verdict is Verdict.INVALID


@dataclass
class Told:
    """Tell since when a fault bites."""

    bitten_at: float
    ends_from: float
    ends_at: float
    evidence: object = "planted"


class Hand:
    """Stand in for faults; `begun` is set when one has begun."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.healed = 0

    @contextmanager
    def __call__(self, _environment: Environment, planned: Planned) -> Iterator[Told]:
        ends = time.time() + planned.lease_s
        self.begun.set()
        yield Told(time.time(), ends, ends)
        self.healed += 1


@pytest.fixture
def growing(fake_mesh: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A mesh that makes a block every few milliseconds."""
    monkeypatch.setattr(waiting, "POLL_S", 0.01)
    monkeypatch.setattr(witness, "POLL_S", 0.02)
    fake_mesh.grow_every(0.2)
    return fake_mesh


def feed(found: Beside, over: threading.Event) -> threading.Thread:
    """Be a swarm all of whose transactions become final; its seconds are short."""

    def run() -> None:
        at_s = 0.0
        while not over.wait(0.05):
            at_s += 1
            found.hear("second", second(min(at_s, FOR_S), int(RATE)))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_steps_are_played_once_the_swarm_is_under_way(
    growing: Any, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Both ends are put together: the worse verdict, all figures, all faults."""
    hand, over = Hand(), threading.Event()
    found = Beside(a_case(tmp_path), rate=RATE, for_s=FOR_S)
    with (
        Timeline(tmp_path) as timeline,
        found.playing(growing.environment, timeline, seed=1, inject=hand),
    ):
        assert not hand.begun.is_set()
        thread = feed(found, over)
        eventually("the end of the steps", lambda: found._result is not None)
        over.set()
        thread.join()

    told = found.joined(LOAD)

    assert hand.healed == 1
    assert "t_rate" in told.records, told
    assert [row["name"] for row in told.objectives] == ["t_rate"]
    assert told.faults[0]["fault"] == "proc.restart"
    assert told.invariants["agreement"] == "held"
    assert told.name == "load/made"


def test_a_run_that_is_ended_heals_what_was_broken(
    growing: Any, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Ctrl-C while a fault lasts: the steps end at once, and the fault with them."""
    hand, over = Hand(), threading.Event()
    case = a_case(tmp_path, MADE.replace("lease: 1s", "lease: 10m"))
    found = Beside(case, rate=RATE, for_s=FOR_S)
    thread = feed(found, over)

    with pytest.raises(KeyboardInterrupt):  # noqa: PT012, SIM117 - what is ended is the block
        with Timeline(tmp_path) as timeline:
            with found.playing(growing.environment, timeline, seed=1, inject=hand):
                eventually("the fault", hand.begun.is_set)
                raise KeyboardInterrupt
    over.set()
    thread.join()

    assert hand.healed == 1
    assert found.joined(LOAD).verdict is Verdict.INCONCLUSIVE


def test_a_swarm_that_bears_nothing_has_nothing_broken(growing: Any, tmp_path: Path) -> None:
    """What a load run says of a mesh that was never under load is nothing."""
    hand, found = Hand(), Beside(a_case(tmp_path), rate=RATE, for_s=FOR_S)
    with (
        Timeline(tmp_path) as timeline,
        found.playing(growing.environment, timeline, seed=1, inject=hand),
    ):
        found.hear("second", second(1, 10))

    told = found.joined(LOAD)

    assert not hand.begun.is_set()
    assert told.verdict is Verdict.INVALID


@pytest.mark.parametrize("failure", [RuntimeError("planted"), AitbcError("planted", hint="")])
def test_what_failed_in_the_thread_is_a_verdict_and_a_bug_is_raised_too(
    tmp_path: Path, failure: Exception
) -> None:
    """The record is kept first; a mesh or a host that cannot be reached is no bug."""
    found = Beside(a_case(tmp_path), rate=RATE, for_s=FOR_S)
    found._failure = failure

    told = found.joined(LOAD)

    assert (told.verdict, "planted" in told.line) == (Verdict.INFRA, True)
    with nullcontext() if isinstance(failure, AitbcError) else pytest.raises(RuntimeError):
        found.require_no_bug()


def test_steps_that_were_not_waited_for_may_have_left_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second Ctrl-C ends the waiting, and perhaps not what was broken."""
    over = threading.Event()
    monkeypatch.setattr(Beside, "_play", lambda *_: over.wait())
    found = Beside(a_case(tmp_path), rate=RATE, for_s=FOR_S)
    nobody: Any = None
    real = threading.Thread.join

    def impatient(thread: threading.Thread, timeout: float | None = None) -> None:
        if thread.name == "steps" and not over.is_set():
            raise KeyboardInterrupt
        real(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", impatient)
    try:
        with pytest.raises(KeyboardInterrupt), found.playing(nobody, nobody, seed=1):
            pass
        assert found.joined(LOAD).verdict is Verdict.UNHEALED
    finally:
        over.set()


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.LIVENESS])
def test_what_nodes_said_of_a_failed_run_is_taken_along(
    fake_mesh: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    """As of every other live case."""
    taken: list[str] = []
    monkeypatch.setattr(collecting, "collect", lambda *_, case, **__: taken.append(case))
    asked = Wanted("load/made", RATE, FOR_S, 1, 7, {})

    loads._take_along(
        fake_mesh.environment,
        object(),
        asked,
        tmp_path,
        Result("load/made", verdict, "", 0.0),  # type: ignore[arg-type]
    )

    assert taken == ([] if verdict is Verdict.PASS else ["load/made"])


def test_a_share_of_the_knee_needs_one(tmp_path: Path) -> None:
    """The newest that was found on that mesh; without any, a rate has to be named."""
    rows = [("lab", 500, "PASS", 550), ("lab", 400, "PASS", 450), ("lab", 9, "INVALID", 10)]
    rows += [("dev", 7, "PASS", 8), ("lab", 100, "PASS", None)]  # the last lies above all tried
    for number, (name, rate, verdict, fails_at) in enumerate(rows):
        folder = tmp_path / "runs" / f"{number:04d}"
        folder.mkdir(parents=True)
        told = {"environment": name, "verdict": verdict, "committed": rate, "fails_at": fails_at}
        (folder / stepping.KNEE).write_text(json.dumps(told))

    assert stepping.known("lab", tmp_path) == 400
    assert stepping.known("hosts", tmp_path) == 0
    assert phasing.arrivals("80% of knee", knee=400.0) == 320
    with pytest.raises(UsageError, match="nobody has looked for the knee") as refused:
        phasing.arrivals("80% of knee", knee=0.0)
    assert "aitbc load knee" in (refused.value.hint or "")


def test_the_built_in_one_asks_for_a_share() -> None:
    """It is listed by it, and has steps."""
    (offer,) = [each for each in repertoire.built_in() if each.name == "load/fault-at-80"]

    assert offer.arrivals == "80% of knee"
    assert repertoire.case("fault-at-80").steps


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("{eventually: [{rate_back: {}}]}", "only files of family load have a rate that may be"),
        ("{eventually: [{rate_back: {}, all_at_tip: {}}]}", "a condition is one of"),
    ],
)
def test_only_a_swarm_has_a_rate(tmp_path: Path, step: str, said: str) -> None:
    """Payers of other scenarios are no measure."""
    text = (catalogue.folder() / "partition" / "minority.yaml").read_text()
    path = tmp_path / "partition" / "minority.yaml"
    path.parent.mkdir()
    path.write_text(text.replace("steps:\n", f"steps:\n  - {step}\n", 1))

    with pytest.raises(ConfigError, match=said):
        loading.load(path)


def test_intervals_under_a_fault_are_compared_with_the_others() -> None:
    """Whole ones only; too few of either are no comparison."""
    at, arrived = 0.0, {}
    for height in range(40):
        at += 2.0 if 10 < height <= 20 else 1.0
        arrived[height] = {"v1": at}
    begin, end = arrived[10]["v1"], arrived[20]["v1"]

    found = measuring.measured(arrived, [(begin, end)])

    assert found["interval_growth"] == 2.0
    assert "interval_growth" not in measuring.measured(arrived, [(begin, begin + 3)])
    assert "interval_growth" not in measuring.measured(arrived)
