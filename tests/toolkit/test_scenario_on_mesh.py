"""The witness, the payers and the engine against four real RPC servers over one ledger."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import paying, per_node, playing, waiting, witness
from aitbc_toolkit.suites.catalogue import Part
from aitbc_toolkit.suites.checkers import BlockFact, History, agreement
from aitbc_toolkit.suites.history import Recorder
from aitbc_toolkit.suites.scenario import loading, on_mesh, trial
from aitbc_toolkit.suites.scenario.arena import Planned
from aitbc_toolkit.suites.scene import Scene
from aitbc_toolkit.suites.timeline import Timeline
from aitbc_toolkit.suites.verdicts import Verdict
from aitbc_toolkit.suites.witness import Witness

MADE = """
scenario: crash/made
about: a process is killed, and the others go on without it
backends: [dev]
budget: {wall: 5m}
load:
  - {role: user, arrivals: 40/s, mix: {transfer: 1}}
steady:
  - heights_advance: {by: 2}
steps:
  - {id: kill, fault: proc.restart, on: v4, lease: 2s}
  - {expect: auto, during: kill}
  - {wait_end: kill}
  - eventually:
      - {all_at_tip: {lag: 1}, record: t_tip}
objectives:
  t_tip: {max: 1h}
"""


SLOWED = MADE.replace("proc.restart", "disk.slow").replace("[dev]", "[sim, dev]")
"""What the simulator alone can break: a file for hosts only is refused when it is read."""


@pytest.fixture
def growing(fake_mesh: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A mesh that makes a block every few milliseconds."""
    monkeypatch.setattr(waiting, "POLL_S", 0.01)
    monkeypatch.setattr(witness, "POLL_S", 0.02)
    fake_mesh.grow_every(0.2)
    return fake_mesh


def watching(environment: Environment, history: History) -> Witness:
    """Make a witness that tells nobody."""
    return Witness(
        environment,
        history,
        first=1,
        on_height=lambda *_: None,
        on_block=lambda *_: None,
    )


class Strayed(Sequence[Any]):
    """Be the final blocks of others under another name, those that are still to come included."""

    def __init__(self, finals: Sequence[Any]) -> None:
        self._finals = finals

    def __len__(self) -> int:
        return len(self._finals)

    def __getitem__(self, index: Any) -> Any:
        found = self._finals[index]
        return (
            [self._stray(each) for each in found]
            if isinstance(index, slice)
            else self._stray(found)
        )

    def _stray(self, final: Any) -> Any:
        certificate = msgspec.structs.replace(final.certificate, block_id=b"x" * 32)
        return msgspec.structs.replace(final, certificate=certificate)


def strayed(mesh: Any, name: str) -> None:
    """Let one node hold other blocks final from now on.

    It goes on as the others do: what the witness has read of it by now, it does not read again.
    """
    mesh.ports[name].view.finals = Strayed(mesh.ledger.finals)


def test_every_block_of_every_node_is_kept(growing: Any, eventually: Callable[..., None]) -> None:
    """A node that dies has still said what it said, and is told as silent from then on."""
    history = History()
    with watching(growing.environment, history) as eye:
        eventually("blocks of all", lambda: len(history.blocks) == 4)
        growing.kill("v4")
        eventually("silence of v4", lambda: eye.told()["v4"].status is None)
        top = max(history.blocks["v4"])
        eventually("more of the others", lambda: max(history.blocks["v1"]) > top)

    moments = [eye.reached("v1", height) or 0 for height in (top, top + 1)]
    assert 0 < moments[0] <= moments[1]
    assert eye.reached("v1", 10**9) is None
    assert min(history.blocks["v4"]) == 1
    assert (eye.breaches, eye.unknown) == ([], {})


def test_a_fork_is_told_while_the_scenario_runs(
    growing: Any, eventually: Callable[..., None]
) -> None:
    """Who waits hears of it before the end, with the height and the nodes."""
    strayed(growing, "v3")

    with watching(growing.environment, History()) as eye:
        eventually("the breach", lambda: eye.breaches)

    assert eye.breaches[0].startswith("agreement: block of height")


def test_who_goes_back_is_told(growing: Any, eventually: Callable[..., None]) -> None:
    """A final height is not final when it can be taken back."""
    with watching(growing.environment, History()) as eye:
        eventually("some blocks", lambda: len(eye.told()) == 4)
        growing.ports["v2"].view.finals = growing.ledger.finals[:2]

        eventually("the breach", lambda: eye.breaches)

    assert any("height_monotone: v2 went back" in each for each in eye.breaches)


def test_a_checker_that_throws_is_told_as_unknown(
    growing: Any, eventually: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what it would have found."""

    def broken(_history: History) -> list[str]:
        raise RuntimeError("planted")

    monkeypatch.setattr(witness, "AT_ONCE", {"agreement": broken})

    with watching(growing.environment, History()) as eye:
        eventually("the failure", lambda: eye.unknown)

    assert eye.unknown == {"agreement": "planted"}


@pytest.mark.parametrize(
    ("found", "verdict", "said"),
    [([], Verdict.INCONCLUSIVE, "planted"), (["v1 forked"], Verdict.SAFETY, "agreement: v1 fork")],
)
def test_a_trial_is_judged_by_its_witness_too(
    growing: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    found: list[str],
    verdict: Verdict,
    said: str,
) -> None:
    """What the witness alone has seen counts, and what it could not judge is no pass."""
    asked_once = threading.Event()

    def planted(_history: History) -> list[str]:
        asked_once.set()
        if not found:
            raise RuntimeError("planted")
        return found

    with Timeline(tmp_path) as timeline, open_mesh(growing.environment) as asked:
        scene = Scene(growing.environment, asked, Recorder(asked), 1, 1)
        with trial.on_scene("mine", scene, timeline=timeline, inject=Hand()) as tried:
            tried.net.eventually.heights_advance(2)
            monkeypatch.setattr(witness, "AT_ONCE", {"agreement": planted})
            assert asked_once.wait(20)
            ended, line = tried.judged()

    assert ended is verdict
    assert said in line


@dataclass
class Told:
    """Tell since when a fault bites."""

    bitten_at: float
    ends_from: float
    ends_at: float
    evidence: object = "planted"


class Hand:
    """Stand in for faults: do something when one begins, or fail when it ends."""

    def __init__(
        self,
        begin: Callable[[], object] = lambda: None,
        *,
        refused: AitbcError | None = None,
        left: AitbcError | None = None,
    ) -> None:
        self.planned: list[Planned] = []
        self._begin = begin
        self._refused = refused
        self._left = left

    @contextmanager
    def __call__(self, _environment: Environment, planned: Planned) -> Iterator[Told]:
        self.planned.append(planned)
        if self._refused:
            raise self._refused
        self._begin()
        ends = time.time() + planned.lease_s
        yield Told(time.time(), ends, ends)
        if self._left:
            raise self._left


def half_begun() -> AitbcError:
    """Fail as a fault does that did not bite, and is not gone either."""
    failure = AitbcError("nothing shows it", exit_status=Exit.INFRASTRUCTURE)
    failure.add_note("lab1: half of it is left")
    return failure


def played(mesh: Any, folder: Path, hand: Hand, text: str = MADE) -> Any:
    """Play a case on the fake mesh; return the exit status and the record."""
    path = folder / "crash" / "made.yaml"
    path.parent.mkdir()
    path.write_text(text)
    (case,) = loading.load(path)
    run = folder / "run"
    run.mkdir()
    part = Part(case.name, case=case)

    status = playing.play_parts(
        mesh.environment, [part], case.name, folder=run, seed=3, inject=hand
    )

    told = json.loads((run / "verdict.json").read_text())
    assert told["exit"] == status
    return status, told


def rows(folder: Path, name: str) -> list[Any]:
    """Read a file of the run."""
    return [json.loads(line) for line in (folder / "run" / name).read_text().splitlines()]


def test_a_sound_mesh_passes_under_load(
    growing: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each step and each transfer of the load ends well; the record has fault, load and heights.

    Who waits is told of each step as it begins, beside the results.
    """
    hand = Hand()

    # Long enough to be watched, whoever is held meanwhile.
    status, told = played(growing, tmp_path, hand, MADE.replace("lease: 2s", "lease: 9s"))

    assert status == Exit.OK, told["scenarios"]
    assert "transfers final" in told["scenarios"][0]["line"]
    assert [each.targets for each in hand.planned] == [("v4",)]
    assert told["faults"][0]["evidence"] == "planted"
    assert told["faults"][0]["bitten_at"] <= told["faults"][0]["ended"]
    kinds = [row["kind"] for row in rows(tmp_path, "events.jsonl")]
    assert kinds.count("fault.begin") == kinds.count("fault.end") == 1
    assert sum(row["accepted"] for row in rows(tmp_path, "load.jsonl")) > 0
    assert {row["node"] for row in rows(tmp_path, "heights.jsonl")} == {"v1", "v2", "v3", "v4"}
    shown = capsys.readouterr()
    doing = [line.split(maxsplit=1)[1] for line in shown.err.splitlines()[1:]]
    assert [re.sub(r"\d+", "N", each) for each in doing[:3]] == [
        "begins",
        "waiting: height N on [vN vN vN vN]",
        "waiting: [vN vN vN vN] vote above height N",
    ]
    assert doing[3:] == [
        "proc.restart [v4] for 9 s",
        "watching who makes blocks during kill",
        "waiting: the end of kill",
        "waiting: all within 1 of the tip",
    ]
    assert "waiting" not in shown.out


def test_a_fork_ends_a_run_at_once(growing: Any, tmp_path: Path) -> None:
    """A breach is not waited out: the run ends in the middle of the fault, which is healed."""
    text = MADE.replace("lease: 2s", "lease: 10m").replace("5m", "1h")

    status, told = played(growing, tmp_path, Hand(lambda: strayed(growing, "v2")), text)

    assert status == Exit.UNSAFE
    assert "agreement" in told["scenarios"][0]["line"]
    assert [row["kind"] for row in rows(tmp_path, "events.jsonl")].count("fault.end") == 1


@pytest.mark.parametrize(
    ("hand", "status", "said"),
    [
        (
            Hand(refused=AitbcError("nothing shows it", exit_status=Exit.INFRASTRUCTURE)),
            Exit.INFRASTRUCTURE,
            "nothing shows it",
        ),
        (
            Hand(left=AitbcError("lab1: a rule is left", exit_status=Exit.UNHEALED)),
            Exit.UNHEALED,
            "lab1: a rule is left",
        ),
        (Hand(refused=half_begun()), Exit.UNHEALED, "lab1: half of it is left"),
    ],
    ids=["not bitten", "not healed", "neither bitten nor healed"],
)
def test_a_fault_that_fails_itself_is_no_pass(
    growing: Any, tmp_path: Path, hand: Hand, status: Exit, said: str
) -> None:
    """A fault that does not bite, or leaves something, says so by its own verdict."""
    ended, told = played(growing, tmp_path, hand)

    assert (ended, said in told["scenarios"][0]["line"]) == (status, True), told["scenarios"]


def test_what_a_fault_has_left_on_hosts_that_are_gone_is_no_residue(
    growing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can compare them: the lab was taken down in the middle of the fault."""
    hand = Hand(left=AitbcError("lab1: unreachable", exit_status=Exit.UNHEALED))
    gone = (Verdict.INFRA, "lab mine is down")
    monkeypatch.setattr(on_mesh, "unless_gone", lambda *_: gone)

    ended, told = played(growing, tmp_path, hand)

    (row,) = told["scenarios"]
    assert (ended, row["line"]) == (Exit.INFRASTRUCTURE, "lab mine is down")


def test_a_mesh_that_it_is_not_for_is_refused(
    growing: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scenario for a lab is not played on processes of this machine, and says why."""
    with pytest.raises(UsageError, match="it is for lab, not for dev"):
        played(growing, tmp_path, Hand(), MADE.replace("[dev]", "[lab]"))

    assert "PASS" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rules", "text", "said"),
    [
        ({"chaos_allowed": False}, MADE, "does not allow to break it"),
        ({}, SLOWED, "disk.slow cannot be injected: needs a"),
    ],
    ids=["not allowed", "on no host"],
)
def test_what_cannot_be_broken_is_told_before_any_load(
    growing: Any, tmp_path: Path, rules: dict[str, bool], text: str, said: str
) -> None:
    """Nobody spends money of a mesh, or watches it, for a fault that it will refuse."""
    hand, found = Hand(), growing.environment
    growing.environment = replace(found, rules=msgspec.structs.replace(found.rules, **rules))

    with pytest.raises(UsageError, match=said):
        played(growing, tmp_path, hand, text)

    assert hand.planned == []
    assert list((tmp_path / "run").iterdir()) == []


def test_who_was_heard_twice_with_other_blocks_has_a_fork_with_itself() -> None:
    """What a node takes back at the end of a run stands beside what it said before."""
    recorder = Recorder.__new__(Recorder)
    recorder.history = History(blocks={"v1": {1: BlockFact("b1", "r1", ())}})

    recorder._keep("v1", {1: BlockFact("x1", "r1", ())})

    assert agreement(recorder.history)


class Slow:
    """Be a client whose every answer takes longer than the load has time for."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    def submit(self, raw: bytes) -> Any:
        threading.Event().wait(0.5)
        return self._node.submit(raw)


@pytest.mark.parametrize(
    ("broken", "said"),
    [("slow", "the load handed in "), ("thrown", "the load ended early: {'v1': ")],
)
def test_a_load_that_was_not_handed_in_makes_the_run_invalid(
    growing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, said: str
) -> None:
    """A generator that stays behind its schedule, or dies, has shown nothing: INVALID, 16."""

    class Broken(paying._Payer):
        def __init__(self, scene: Any, own: Any, node: Any) -> None:
            asked: Any = Slow(node) if broken == "slow" else node
            super().__init__(scene, own, asked)
            self._dies = broken == "thrown" and node.name == "v1"

        def hand_in(self) -> str:
            if self._dies:
                raise RuntimeError("planted")
            return super().hand_in()

    monkeypatch.setattr(paying, "_Payer", Broken)
    monkeypatch.setattr(per_node, "JOIN_S", 1.0)

    ended, told = played(growing, tmp_path, Hand())

    assert ended == Exit.INVALID, told["scenarios"]
    assert said in told["scenarios"][0]["line"]


@pytest.mark.parametrize(("late", "ended"), [("breach", Exit.UNSAFE), ("throw", Exit.INCONCLUSIVE)])
def test_what_the_last_look_of_the_witness_found_counts(
    growing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str, ended: Exit
) -> None:
    """A breach, or a checker that throws, while the threads come to their end is no pass."""
    leave = Witness.__exit__

    def leave_late(self: Witness, *told: Any) -> None:
        leave(self, *told)
        if late == "breach":
            self.breaches.append("agreement: seen last")
        else:
            self._thrown["agreement"] = "thrown last"

    monkeypatch.setattr(Witness, "__exit__", leave_late)

    status, told = played(growing, tmp_path, Hand())

    assert status == ended
    assert "last" in told["scenarios"][0]["line"]
