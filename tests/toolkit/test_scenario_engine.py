"""The engine on a mesh of a few lines: what it requires, and which verdict follows from what."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites import evidence, playing
from aitbc_toolkit.suites.catalogue import Part
from aitbc_toolkit.suites.checkers import History
from aitbc_toolkit.suites.scenario import figures, loading
from aitbc_toolkit.suites.scenario.arena import Bite, Planned, Sight, Town
from aitbc_toolkit.suites.scenario.engine import Engine
from aitbc_toolkit.suites.scenario.schema import Case
from aitbc_toolkit.suites.scene import Result, judged
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict, worst

NAMES = ("v1", "v2", "v3", "v4")
TOWN = Town(dict.fromkeys(NAMES, 1), 1.0, 1.0)
MINORITY = """
scenario: partition/made
about: one of four is cut off, and the others go on
backends: [sim]
budget: {wall: 5m, blast: {power: 25%}}
steady:
  - heights_advance: {by: 2}
steps:
  - {id: loner, fault: net.cut, between: {isolate: v4}, lease: 20s}
  - {expect: auto, during: loner}
  - {wait_end: loner}
  - eventually:
      - {all_at_tip: {lag: 1}, record: t_tip}
objectives:
  t_tip: {max: 5s}
"""


def a_case(folder: Path, text: str = MINORITY) -> Case:
    """Read a scenario that a test has written."""
    path = folder / "partition" / "made.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return loading.load(path)[0]


@dataclass
class Mesh:
    """Be a mesh that makes a block a second, but for what a test says goes wrong."""

    town: Town = TOWN
    clock: float = 0.0
    stalls: bool = False
    """Nobody makes blocks while a fault lasts."""
    forks: bool = False
    """Who is cut off goes on as well."""
    slow_s: float = 0.0
    """How long who was cut off stays behind."""
    refuses: Verdict | None = None
    leaves: bool = False
    """Something of a fault is left when it is over."""
    breach: str = ""
    mute: str = ""
    """Who is at the tip, and does not vote."""
    held_s: float = 0.0
    late_s: float = 0.0
    """How much later than the hosts this machine thinks that a fault ends."""
    heights: dict[str, float] = field(default_factory=lambda: dict.fromkeys(NAMES, 10.0))
    cut_off: tuple[str, ...] = ()
    free_at: float = 0.0
    notes: list[str] = field(default_factory=list)

    def now(self) -> float:
        return self.clock

    def moment(self) -> float:
        return self.clock

    def pause(self, seconds: float) -> None:
        if self.breach and self.cut_off:
            raise ScenarioError(Verdict.SAFETY, self.breach)
        self.clock += seconds
        for name in NAMES:
            away = name in self.cut_off
            if self.stalls and self.cut_off:
                continue
            if not away and self.clock >= self.free_at:
                self.heights[name] = max([*self.heights.values()])
            if not away or self.forks:
                self.heights[name] += seconds if name == "v1" or away else 0

    def sight(self, *, after: float = 0.0) -> Sight:
        del after
        return Sight({name: int(height) for name, height in self.heights.items()}, "v2")

    def reached(self, name: str, height: int) -> float:
        return self.clock - (self.heights[name] - height)  # a block a second

    @contextmanager
    def injected(self, planned: Planned) -> Iterator[Bite]:
        if self.refuses:
            raise ScenarioError(self.refuses, "the cut does not bite")
        self.cut_off = planned.targets
        begun = self.clock
        self.clock += self.held_s  # hosts count from the beginning
        ends_from = begun + planned.lease_s
        yield Bite(self.clock, ends_from + self.late_s, ends_from, "counters rise")
        self.cut_off = ()
        self.free_at = self.clock + self.slow_s
        if self.leaves:
            raise ScenarioError(Verdict.UNHEALED, "lab1: a rule is left")

    def next_leader(self) -> str:
        return "v3"

    def powers(self) -> Mapping[str, int]:
        return self.town.powers

    def last_votes(self) -> Mapping[str, int]:
        heights = self.sight().heights
        return {name: heights[name] - 1 for name in NAMES if name != self.mute}

    def measures(self, _hit: object = ()) -> dict[str, float]:
        return {}

    def punished(self) -> frozenset[str]:
        return frozenset()

    def note(self, kind: str, **fields: object) -> None:
        del fields
        self.notes.append(kind)


def test_recovery_counts_from_the_first_host_that_ended_its_part(tmp_path: Path) -> None:
    """What passes until the last of them has is no time that nobody counts."""
    told = {}
    for late_s in (0.0, 3.0):
        engine = Engine(a_case(tmp_path), Mesh(late_s=late_s), seed=1)
        engine.play()
        told[late_s] = engine.findings.records["t_tip"]

    assert told[3.0] - told[0.0] == pytest.approx(3.0, abs=0.5)


def test_recovery_never_counts_from_before_another_fault_ended(tmp_path: Path) -> None:
    """It took long to inject the second one, which therefore ends last; it is awaited first."""
    both = MINORITY.replace(
        "  - {expect: auto, during: loner}\n  - {wait_end: loner}\n",
        "  - {id: more, fault: net.cut, between: {isolate: v4}, lease: 25s}\n"
        "  - {wait_end: more}\n  - {wait_end: loner}\n",
    )
    engine = Engine(a_case(tmp_path, both), Mesh(), seed=1)

    engine.play()

    assert engine.findings.records["t_tip"] < 1.0


class Gone(Mesh):
    """Go on while it is being broken, then be silent as a whole until its supervisors act."""

    @contextmanager
    def injected(self, planned: Planned) -> Iterator[Bite]:
        self.pause(5.0)
        with super().injected(planned) as bite:
            yield bite

    def pause(self, seconds: float) -> None:
        super().pause(seconds)
        if self.clock >= 10.0:
            self.cut_off = ()

    def sight(self, *, after: float = 0.0) -> Sight:
        told = super().sight(after=after)
        return Sight({} if self.cut_off else told.heights, "v2", told.tip)


def test_blocks_that_came_while_a_fault_began_are_no_recovery(tmp_path: Path) -> None:
    """Nobody tells of them once all are silent; what was told before counts."""
    kill = MINORITY.replace(
        "net.cut, between: {isolate: v4}, lease: 20s", "proc.kill, on: all, lease: 5s"
    )
    kill = kill.replace("  - {expect: auto, during: loner}\n  - {wait_end: loner}\n", "")
    kill = kill.replace("all_at_tip: {lag: 1}", "heights_advance: {by: 2}").replace("25%", "100%")
    engine = Engine(a_case(tmp_path, kill.replace("max: 5s", "max: 60s")), Gone(), seed=1)

    engine.play()

    assert engine.findings.records["t_tip"] > 1.0


class Late(Mesh):
    """Leave who was cut off behind for a while."""

    def pause(self, seconds: float) -> None:
        held = self.heights["v4"]
        super().pause(seconds)
        if self.clock < self.free_at and not self.cut_off:
            self.heights["v4"] = held


def played(case: Case, mesh: Mesh) -> Result:
    """Play a case to its verdict, as every backend does."""
    engine = Engine(case, mesh, seed=1)
    try:
        verdict, line = Verdict.PASS, engine.play()
    except ScenarioError as ended:
        verdict, line = ended.verdict, ended.why
    return engine.findings.outcome(Result(case.name, verdict, line, mesh.clock))


def test_a_sound_mesh_passes(tmp_path: Path) -> None:
    """Three of four go on, the fourth stands still and catches up: a pass, in one line."""
    mesh = Mesh()

    told = played(a_case(tmp_path), mesh)

    assert told.verdict is Verdict.PASS, told.line
    assert told.line == "[v1 v2 v3] 18 blocks in 18 s, [v4] 0 blocks, t_tip 0.1 s"
    assert mesh.notes.count("fault.begin") == mesh.notes.count("fault.end") == 1
    assert [each["outcome"] for each in told.checks] == ["held", "held"]
    assert told.faults[0]["targets"] == ["v4"]


ENDS: tuple[tuple[Callable[[], Mesh], Verdict, str], ...] = (
    (lambda: Mesh(stalls=True), Verdict.LIVENESS, "[v1 v2 v3] 0 blocks"),
    (lambda: Mesh(forks=True), Verdict.SAFETY, "[v4] 18 blocks without a quorum"),
    (lambda: Mesh(breach="agreement: two blocks"), Verdict.SAFETY, "agreement: two blocks"),
    (lambda: Late(slow_s=9.0), Verdict.OBJECTIVE, "t_tip 9."),
    (lambda: Late(slow_s=900.0), Verdict.LIVENESS, "last seen: behind: "),
    (lambda: Mesh(refuses=Verdict.INFRA), Verdict.INFRA, "the cut does not bite"),
    (lambda: Mesh(leaves=True), Verdict.UNHEALED, "lab1: a rule is left"),
)


@pytest.mark.parametrize(("made", "verdict", "said"), ENDS, ids=[said for *_, said in ENDS])
def test_each_way_to_fail_has_its_verdict(
    tmp_path: Path, made: Callable[[], Mesh], verdict: Verdict, said: str
) -> None:
    """What goes wrong is told by the one word that says who has to look."""
    told = played(a_case(tmp_path), made())

    assert (told.verdict, said in told.line) == (verdict, True), told.line


def test_what_did_not_come_in_time_is_among_the_checks_and_its_figure_is_told(
    tmp_path: Path,
) -> None:
    """Who reads the record finds what failed where all else held, and what was never measured."""
    told = played(a_case(tmp_path), Late(slow_s=900.0))

    assert [each["outcome"] for each in told.checks] == ["held", "held", "broken"]
    assert told.checks[-1]["detail"] == told.line
    assert [(each["measured"], each["met"]) for each in told.objectives] == [(None, False)]


def test_what_takes_longer_than_its_budget_is_inconclusive(tmp_path: Path) -> None:
    """Who runs out of time has shown neither that the mesh is well nor that it is not."""
    told = played(a_case(tmp_path, MINORITY.replace("wall: 5m", "wall: 10s")), Mesh())

    assert (told.verdict, told.line) == (
        Verdict.INCONCLUSIVE,
        "not done within its budget of 10s",
    )


def test_who_goes_on_behind_the_end_is_no_fork(tmp_path: Path) -> None:
    """Hosts count a lease for themselves: a block behind its end says nothing about safety."""

    class Early(Mesh):
        def pause(self, seconds: float) -> None:
            self.forks = self.clock > 24  # the hosts have healed it
            super().pause(seconds)

    told = played(a_case(tmp_path), Early(late_s=8.0))

    assert (told.verdict, "perhaps behind the fault" in told.line) == (Verdict.INCONCLUSIVE, True)


def test_what_nobody_watched_did_not_hold(tmp_path: Path) -> None:
    """A fault that is over when one begins to look has shown nothing."""

    class Slow(Mesh):
        def sight(self, *, after: float = 0.0) -> Sight:
            self.clock += 30.0 if self.cut_off else 0.0
            return super().sight(after=after)

    told = played(a_case(tmp_path), Slow())

    assert (told.verdict, told.line) == (
        Verdict.INCONCLUSIVE,
        "loner was over before it was watched",
    )


def test_what_nobody_was_heard_of_did_not_hold(tmp_path: Path) -> None:
    """A group that is silent, or told nothing lately, has shown neither blocks nor stillness."""

    class Mute(Mesh):
        def sight(self, *, after: float = 0.0) -> Sight:
            told = super().sight(after=after)
            old = self.cut_off and after > 0
            return Sight({n: h for n, h in told.heights.items() if not old or n != "v4"}, "v2")

    told = played(a_case(tmp_path), Mute())

    assert (told.verdict, told.line) == (Verdict.INCONCLUSIVE, "nobody of [v4] was heard")
    assert [each["name"] for each in told.checks] == ["progress"]


def test_what_was_watched_too_short_to_make_a_block_did_not_hold(tmp_path: Path) -> None:
    """No block in less time than one may take is no progress."""
    told = played(a_case(tmp_path, MINORITY.replace("lease: 20s", "lease: 4s")), Mesh(stalls=True))

    assert (told.verdict, "too short to expect any" in told.line) == (
        Verdict.INCONCLUSIVE,
        True,
    )
    assert told.checks == ()


def test_the_block_that_was_decided_before_is_no_progress(tmp_path: Path) -> None:
    """A mesh that stalls at the cut still tells one; where one is enough, it shows nothing."""

    class OneMore(Mesh):
        def pause(self, seconds: float) -> None:
            self.stalls = self.clock > 3.0
            super().pause(seconds)

        def sight(self, *, after: float = 0.0) -> Sight:
            told = super().sight(after=after)
            more = self.stalls and self.cut_off != () and after > 0
            return Sight({n: h + more for n, h in told.heights.items()}, "v2")

    text = MINORITY.replace("lease: 20s", "lease: 8s")
    told = played(a_case(tmp_path, text), OneMore())
    assert (told.verdict, "1 blocks" in told.line) == (Verdict.INCONCLUSIVE, True), told.line


def test_an_expectation_of_two_faults_ends_with_the_first_of_them(tmp_path: Path) -> None:
    """What follows from both holds no longer when one of them is over: blocks then are no fork."""
    first = "  - {id: first, fault: net.cut, between: {isolate: v3}, lease: 12s}\n"
    text = MINORITY.replace("steps:\n", f"steps:\n{first}").replace("power: 25%", "power: 50%")

    class Two(Mesh):
        def pause(self, seconds: float) -> None:
            self.stalls = self.clock < 14  # three of four again, when the first has ended
            super().pause(seconds)

    told = played(a_case(tmp_path, text), Two())

    assert told.checks, told.line
    assert {row["outcome"] for row in told.checks} == {"held"}


def test_what_is_left_of_a_fault_outranks_a_missed_figure_but_not_a_fork(tmp_path: Path) -> None:
    """Teardown changes no verdict; it can only add that something is left."""
    late, forked = Late(slow_s=9.0, leaves=True), Mesh(forks=True, leaves=True)

    assert played(a_case(tmp_path), late).verdict is Verdict.UNHEALED
    told = played(a_case(tmp_path), forked)
    assert told.verdict is Verdict.SAFETY
    assert "a rule is left" in told.line
    assert told.residues == ("lab1: a rule is left",)


def test_a_mesh_that_is_not_well_before_is_no_finding(tmp_path: Path) -> None:
    """Nothing is broken on a mesh that stands still already."""
    mesh = Mesh(stalls=True, cut_off=("v1",))

    told = played(a_case(tmp_path), mesh)

    assert told.verdict is Verdict.INFRA
    assert told.line.startswith("not steady before any fault")
    assert mesh.notes == []


def test_a_validator_that_does_not_vote_is_no_mesh_to_break(tmp_path: Path) -> None:
    """It is at the tip, and listens: one more that is broken would be one too many."""
    told = played(a_case(tmp_path), Mesh(mute="v2"))

    assert told.verdict is Verdict.INFRA
    assert told.line.startswith("not steady before any fault")
    assert told.line.endswith("last votes v2 -")


def test_who_is_silent_has_not_lost_its_blocks(tmp_path: Path) -> None:
    """A new block is one above all that was ever told, also when everybody is down for a while."""

    class Silent(Mesh):
        def sight(self, *, after: float = 0.0) -> Sight:
            return Sight({}) if self.cut_off and self.clock < 20 else super().sight(after=after)

    text = MINORITY.replace(
        "{expect: auto, during: loner}", "eventually: [{heights_advance: {by: 1, on: v1}}]"
    )
    mesh = Silent()

    told = played(a_case(tmp_path, text), mesh)

    assert told.verdict is Verdict.PASS, told.line
    assert mesh.clock >= 20


def test_more_than_the_budget_is_never_broken(tmp_path: Path) -> None:
    """A fault that would hit more power than the file allows is not begun."""
    text = MINORITY.replace("isolate: v4", "isolate: [v3, v4]")
    mesh = Mesh()

    told = played(a_case(tmp_path, text), mesh)

    assert (told.verdict, "the budget allows 1" in told.line) == (Verdict.INFRA, True)
    assert "fault.begin" not in mesh.notes


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (Verdict.SAFETY, Exit.UNSAFE),
        (Verdict.LIVENESS, Exit.STUCK),
        (Verdict.OBJECTIVE, Exit.OBJECTIVE),
        (Verdict.INCONCLUSIVE, Exit.INCONCLUSIVE),
        (Verdict.INFRA, Exit.INFRASTRUCTURE),
        (Verdict.UNHEALED, Exit.UNHEALED),
        (Verdict.INVALID, Exit.INVALID),
    ],
)
def test_no_other_end_is_ever_shown_as_a_pass(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verdict: Verdict,
    status: Exit,
) -> None:
    """On the screen, in the record, in JUnit and by the exit status: one of two did not pass."""
    case = a_case(tmp_path)
    ends = iter([Verdict.PASS, verdict])

    def simulated(_part: object, _timeline: object, _seed: int) -> Result:
        return Result(case.name, next(ends), "as planted", 0.1)

    monkeypatch.setattr(playing, "_simulate", simulated)
    parts = [Part(case.name, case=case)] * 2

    assert playing.play_parts(None, parts, "partition", folder=tmp_path, seed=3) == status

    shown = capsys.readouterr()
    told: Any = json.loads((tmp_path / "verdict.json").read_text())
    assert (told["verdict"], told["exit"]) == (verdict, status)
    assert f"1 of 2 did not pass. Worst: {verdict}" in shown.out
    assert f"error: partition on sim: {verdict}, as planted" in shown.err
    assert told["repro"] == "./aitbc test partition/made -e sim --seed 3"
    assert (tmp_path / "junit.xml").read_text().count("<failure") == 1


@pytest.mark.parametrize(
    ("name", "tier", "wanted", "more"),
    [
        ("partition/quorum-loss growth", "", "partition/quorum-loss", ""),
        ("partition/quorum-loss growth", "nightly", "partition/quorum-loss", " --tier nightly"),
        ("partition/quorum-loss[30s]", "nightly", "'partition/quorum-loss[30s]'", ""),
    ],
)
def test_what_repeats_a_run_is_a_command(
    tmp_path: Path, name: str, tier: str, wanted: str, more: str
) -> None:
    """A shell takes it as it is, with as many cases; what was left of faults is in the record."""
    result = Result(name, Verdict.OBJECTIVE, "slow", 1.0, residues=("lab1: a rule is left",))
    record = evidence.Record(
        suite="partition",
        environment="sim",
        seed=1,
        started=0.0,
        took_s=0.0,
        verdict=Verdict.OBJECTIVE,
        results=(result,),
        tier=tier,
    )

    told = record.to_document(tmp_path)

    assert told["repro"] == f"./aitbc test {wanted} -e sim --seed 1{more}"
    assert told["residues"] == [{"scenario": name, "left": "lab1: a rule is left"}]


def test_a_run_that_judges_nothing_is_invalid(tmp_path: Path) -> None:
    """Nothing played is nothing shown."""
    record = evidence.Record(
        suite="partition",
        environment="sim",
        seed=1,
        started=0.0,
        took_s=0.0,
        verdict=worst([]),
        results=(),
    )

    assert record.to_document(tmp_path)["exit"] == Exit.INVALID


def test_a_checker_that_throws_is_unknown_and_no_pass() -> None:
    """Who cannot judge has not acquitted."""

    def planted(_history: object) -> list[str]:
        raise RuntimeError("planted")

    verdict, line, words = judged(
        Verdict.PASS, "fine", History(), {"agreement": planted}, complete=True
    )

    assert (verdict, words) == (Verdict.INCONCLUSIVE, {"agreement": "unknown: planted"})
    assert line == "agreement unknown: planted"


def test_what_was_not_measured_meets_no_objective(tmp_path: Path) -> None:
    """Too few values for a figure, or for its growth, are a miss that is told, and no pass."""
    text = MINORITY + "  arrival_p95: {max: 1s}\n"

    told = played(a_case(tmp_path, text), Mesh())

    assert (told.verdict, told.line) == (
        Verdict.OBJECTIVE,
        "arrival_p95 not measured, allowed at most 1s",
    )
    assert [row["met"] for row in told.objectives] == [True, False]


def test_growth_is_judged_between_the_least_and_the_greatest(tmp_path: Path) -> None:
    """Recovery that takes four times as long behind a longer cut misses an objective of two."""
    text = MINORITY.replace("lease: 20s", 'lease: "{outage}"').replace(
        "objectives:",
        "matrix: {outage: [5s, 1m]}\nobjectives:\n  growth: {of: t_tip, over: outage, max: 2}",
    )
    path = tmp_path / "partition" / "made.yaml"
    a_case(tmp_path, text)
    short, long = loading.load(path)

    (told,) = figures.growth([(short, {"t_tip": 1.0}), (long, {"t_tip": 4.0})])
    (lacks,) = figures.growth([(short, {"t_tip": 1.0}), (long, {})])

    assert (told.measured, told.met) == (4.0, False)
    assert (lacks.measured, lacks.met) == (None, False)


def test_a_growth_from_nothing_is_measured_from_its_floor(tmp_path: Path) -> None:
    """Links that outlive a short cut make its recovery so quick that any other is many times it."""
    over = "objectives:\n  growth: {of: t_tip, over: outage, max: 2, floor: 3s}"
    text = MINORITY.replace("lease: 20s", 'lease: "{outage}"')
    a_case(tmp_path, text.replace("objectives:", f"matrix: {{outage: [5s, 1m]}}\n{over}"))
    short, long = loading.load(tmp_path / "partition" / "made.yaml")

    (told,) = figures.growth([(short, {"t_tip": 0.4}), (long, {"t_tip": 1.7})])
    (slow,) = figures.growth([(short, {"t_tip": 0.4}), (long, {"t_tip": 7.5})])

    assert (told.measured, told.met, slow.measured, slow.met) == (1.0, True, 2.5, False)


PARTS = """
scenario: partition/made
about: a part of a cut is hit once more, and others each time
backends: [sim]
steps:
  - {id: split, fault: net.cut, between: {sides: [[v1, v2, v3], [v4]]}, lease: 5s}
  - {id: again, fault: proc.kill, on: "component(split.b)", lease: 5s}
  - {id: next, fault: proc.kill, on: next_leader, lease: 5s}
  - {id: one, fault: proc.kill, on: "fresh(2)", lease: 5s}
  - {id: none, fault: proc.kill, on: "fresh(1)", lease: 5s}
"""


def test_targets_know_what_was_cut_and_hit_before(tmp_path: Path) -> None:
    """A part of a cut, the next proposer; who was hit is not fresh, and nobody is in the end."""
    told = played(a_case(tmp_path, PARTS), Mesh())

    assert [set(row["targets"]) for row in told.faults] == [  # type: ignore[call-overload]  # names
        {"v4"},
        {"v4"},
        {"v3"},
        {"v1", "v2"},
    ]
    said = "0 validators were not hit yet, 1 are asked for"
    assert (told.verdict, told.line) == (Verdict.INFRA, said)


OVER = """
scenario: partition/made
about: links are worn out while others are cut
backends: [sim]
steps:
  - {id: cut, fault: net.cut, between: {isolate: v1}, lease: 20s}
  - {id: loss, fault: net.loss, between: {isolate: v3}, lease: 5s}
  - {id: same, fault: net.reset, between: {isolate: v1}, lease: 5s}
  - {id: more, fault: net.cut, between: {isolate: v4}, lease: 5s}
"""


RESET = """
scenario: partition/made
about: links are worn out while others are reset
backends: [sim]
steps:
  - {id: reset, fault: net.reset, between: {isolate: v1}, lease: 20s}
  - {id: loss, fault: net.loss, between: {isolate: v4}, lease: 5s}
  - {id: cut, fault: net.cut, between: {isolate: v2}, lease: 5s}
"""


def test_a_loss_is_not_asked_of_links_that_are_reset(tmp_path: Path) -> None:
    """What a host says is refused before it leaves, so that nothing comes back to be lost."""
    told = played(a_case(tmp_path, RESET), Mesh())

    between = [{*map(tuple, row["edges"])} for row in told.faults]  # type: ignore[call-overload]
    assert {name for edge in between[1] for name in edge} == {"v2", "v3", "v4"}
    assert ("v1", "v2") in between[2]


def test_a_loss_is_not_asked_of_links_that_carry_nothing(tmp_path: Path) -> None:
    """A host whose only link of a fault is cut could never show that it bites there.

    A second cut shows itself on what is cut, and a fault that has no other link is begun as it is.
    """
    told = played(a_case(tmp_path, OVER), Mesh())

    between = [{*map(tuple, row["edges"])} for row in told.faults]  # type: ignore[call-overload]
    assert all("v3" in edge for edge in between[1])
    assert {name for edge in between[1] for name in edge} == {"v2", "v3", "v4"}
    assert between[2] == between[0]
    assert ("v1", "v4") in between[3]
