"""The built-in scenarios in the simulator: green on the node as it is, red on planted bugs."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from aitbc_sim.bugs import planted
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites import catalogue
from aitbc_toolkit.suites.checkers import CHECKERS
from aitbc_toolkit.suites.scenario import judging, loading, simulated
from aitbc_toolkit.suites.scenario.schema import EventuallyStep
from aitbc_toolkit.suites.scenario.trial import in_simulator
from aitbc_toolkit.suites.scenario.wanted import Condition, Punished
from aitbc_toolkit.suites.scenario.words import Value
from aitbc_toolkit.suites.scene import Ended, Result
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

SEED = 11


def played(name: str, *, bug: str | None = None) -> Result:
    """Play one case in the simulator, perhaps on nodes that have a bug."""
    (part,) = catalogue.parts(name)
    assert part.case is not None
    with planted(bug):
        return simulated.play(part.case, seed=SEED)


@pytest.mark.parametrize(
    "name",
    [
        "crash/leader-kill[1]",
        "crash/all-at-once",
        "partition/minority",
        "partition/one-way-deaf",
        "partition/swizzle-flap[28s]",
        "clock/skew[-30]",
        "scale/soak[3m]",
        "crash/disk-full-and-slow",
        pytest.param("crash/rolling-third[8s]", marks=pytest.mark.nightly),
        pytest.param("partition/majorities-ring", marks=pytest.mark.nightly),
        pytest.param("crash/thirty-percent", marks=pytest.mark.nightly),  # ten times as many nodes
    ],
)
def test_a_built_in_scenario_passes_in_the_simulator(name: str) -> None:
    """The same file, engine and checkers as on a live mesh; each invariant was judged and held."""
    told = played(name)

    assert told.verdict is Verdict.PASS, told.line
    assert set(told.invariants.values()) == {"held"}
    assert told.faults


TWO_IN_TURN = """
scenario: crash/two-in-turn
about: who is down next, while the one before listens still
backends: [sim]
budget: {wall: 5m, blast: {power: 25%}}
steps:
  - {id: one, fault: proc.kill, on: v4, lease: 10s}
  - {wait_end: one}
  - eventually:
      - {all_at_tip: {lag: 1}}
      - {all_vote: {}}
  - {id: two, fault: proc.kill, on: v1, lease: 12s}
  - {expect: auto, during: two}
"""


@pytest.mark.parametrize("waits", [True, False])
def test_who_has_come_back_is_a_voter_less_until_it_votes(tmp_path: Path, *, waits: bool) -> None:
    """At the tip it listens yet: three of four go on only where it was waited for."""
    path = tmp_path / "crash" / "two-in-turn.yaml"
    path.parent.mkdir()
    path.write_text(TWO_IN_TURN if waits else TWO_IN_TURN.replace("      - {all_vote: {}}\n", ""))

    told = simulated.play(loading.load(path)[0], seed=SEED)

    assert told.steps.verdict is (Verdict.PASS if waits else Verdict.LIVENESS), told.line


@pytest.mark.nightly  # twenty seconds of one processor
def test_a_thousand_nodes_are_told_of_every_block() -> None:
    """Sixteen validators and a tree of full nodes: no fork, and how soon all had a block."""
    told = played("scale/sim-1000[20]")

    assert told.verdict is Verdict.PASS, told.line
    assert [row["name"] for row in told.objectives] == ["arrival_p95"]


@pytest.mark.parametrize(
    "name",
    [
        "byzantine/equivocating-leader",
        "byzantine/withhold-and-lie[bad-root]",
        *(
            pytest.param(f"byzantine/withhold-and-lie[{lie}]", marks=pytest.mark.nightly)
            for lie in ("withhold", "amnesia", "garbage", "slander", "selective", "replay")
        ),
    ],
)
def test_the_honest_go_on_beside_a_liar(name: str) -> None:
    """Who breaks the rules is there, is judged by nobody, and the others keep every invariant."""
    (part,) = catalogue.parts(name)
    assert part.case is not None
    told = played(name)

    assert part.case.written.network.validators.liars
    assert told.verdict is Verdict.PASS, told.line
    assert set(told.invariants.values()) == {"held"}


def test_a_fork_of_too_many_liars_is_green_only_because_it_is_reported() -> None:
    """More than a third collude: agreement is told broken, and that is what the scenario is for."""
    told = played("byzantine/over-threshold")

    assert told.verdict is Verdict.PASS, told.line
    assert told.invariants["agreement"] == "broken"
    assert told.line.startswith("reported, as it must be: agreement")


def test_a_checker_that_keeps_silent_of_a_fork_makes_the_run_invalid() -> None:
    """Blind the checker: the same scenario says that its own verdict cannot be trusted."""
    (part,) = catalogue.parts("byzantine/over-threshold")
    assert part.case is not None
    blind = {**CHECKERS, "agreement": lambda _history: []}

    told = simulated.play(part.case, seed=SEED, checkers=blind)

    assert told.verdict is Verdict.INVALID
    assert told.line.startswith("agreement was not reported")


@pytest.mark.parametrize("beside", ["supply_conserved", "height_monotone"])
def test_what_a_fork_does_not_explain_is_red_beside_it(beside: str) -> None:
    """Money out of nowhere is no part of what the scenario is there to show."""
    (part,) = catalogue.parts("byzantine/over-threshold")
    assert part.case is not None
    more = {**CHECKERS, beside: lambda _history: ["v1 did wrong"]}

    told = simulated.play(part.case, seed=SEED, checkers=more)

    assert told.verdict is Verdict.SAFETY
    assert told.line.startswith(f"not meant to be broken: {beside}; agreement")


def test_a_node_that_crashes_is_red_beside_a_fork() -> None:
    """The same holds of an honest node whose own code fails."""
    (part,) = catalogue.parts("byzantine/over-threshold")
    assert part.case is not None
    steps = Ended(Verdict.SAFETY, f"{simulated.CRASHED}: AssertionError")
    line = f"agreement: two blocks; {steps.line}"
    crashed = Result(part.name, Verdict.SAFETY, line, 1.0, {"agreement": "broken"}, steps=steps)

    assert judging.as_meant(part.case, crashed).verdict is Verdict.SAFETY


def test_whom_nobody_can_show_to_be_guilty_is_not_punished() -> None:
    """A scenario that wants another one punished than who lies is red, by name."""
    (part,) = catalogue.parts("byzantine/equivocating-leader")
    assert part.case is not None
    first, *rest = part.case.steps
    assert isinstance(first, EventuallyStep)
    wrong = Condition(punished=Punished(on="v1", within="120s"))
    case = replace(part.case, steps=(EventuallyStep(eventually=[wrong]), *rest))

    told = simulated.play(case, seed=SEED)

    assert (told.verdict, told.line) == (Verdict.SAFETY, "[v4] punished, and did no wrong")


@pytest.mark.parametrize(
    ("bug", "name", "verdict", "said"),
    [
        ("accept-2f-votes", "partition/quorum-loss[30s]", Verdict.SAFETY, "certificate"),
        ("never-redial", "partition/minority", Verdict.LIVENESS, "all within 1 of the tip"),
        ("never-redial", "scale/soak[3m]", Verdict.LIVENESS, ""),
        ("mint-one", "partition/minority", Verdict.SAFETY, "supply_conserved"),
        ("finalise-twice", "crash/leader-kill[1]", Verdict.SAFETY, "height_monotone"),
    ],
)
def test_a_planted_bug_turns_its_scenario_red(
    bug: str, name: str, verdict: Verdict, said: str
) -> None:
    """The scenario that is meant to find it does, with the right verdict, and names why."""
    told = played(name, bug=bug)

    assert (told.verdict, said in told.line) == (verdict, True), told.line


def test_the_command_line_plays_a_suite_in_the_simulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`aitbc test SUITE -e sim` plays each case of the tier, and keeps a record."""
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda *_: tmp_path)

    words = ["--scenario", "quorum-loss", "--seed", str(SEED)]
    assert run(["test", "partition", "-e", "sim", *words]) == Exit.OK

    shown = capsys.readouterr().out
    assert "PASS         partition/quorum-loss[30s]" in shown
    told = json.loads((tmp_path / "runs" / "0001" / "verdict.json").read_text())
    assert [each["name"] for each in told["scenarios"]] == [
        "partition/quorum-loss[5s]",
        "partition/quorum-loss[30s]",
        "partition/quorum-loss growth",
    ]
    assert {each["met"] for each in told["objectives"]} == {True}
    assert {each["outcome"] for each in told["checks"]} == {"held"}
    kinds = [
        json.loads(line)["kind"]
        for line in (tmp_path / "runs" / "0001" / "events.jsonl").read_text().splitlines()
    ]
    assert kinds.count("fault.begin") == kinds.count("fault.end") == 2


def test_what_needs_a_live_mesh_is_not_played(capsys: pytest.CaptureFixture[str]) -> None:
    """A scenario that the simulator cannot play is refused by name, and not shown as a pass."""
    assert run(["test", "smoke", "-e", "sim", "--scenario", "boot"]) == Exit.USAGE

    assert "smoke/boot cannot be played here: it needs a live mesh" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "more"), [("disk.fulll", {}), ("cpu.quota", {}), ("proc.kill", {"percent": 5})]
)
def test_what_the_simulator_has_not_is_not_played_as_something_else(
    fault: str, more: dict[str, Value]
) -> None:
    """A fault that it does not know, or not with these parameters, is neither a kill nor a pass."""
    with (
        in_simulator("made", seed=SEED) as trial,
        pytest.raises(ScenarioError, match=f"the simulator has no {fault}") as refused,
        trial.chaos.hit(fault, "v1", lease="5s", **more),
    ):
        pytest.fail("it was played")

    assert refused.value.verdict is Verdict.INVALID


def test_a_case_that_the_simulator_would_play_otherwise_is_unfit(tmp_path: Path) -> None:
    """Who opens connections, and how many packets are lost, is nothing that it can leave out."""
    text = (catalogue.folder() / "partition" / "minority.yaml").read_text()
    path = tmp_path / "partition" / "minority.yaml"
    path.parent.mkdir()
    path.write_text(text.replace("lease: 20s", "lease: 20s, direction: initiate_only"))
    (case,) = loading.load(path)

    assert simulated.unfit(case) == "the simulator has no net.cut with direction of scenarios"


def slowed(tmp_path: Path, name: str, params: str) -> Result:
    """Play the first case of a built-in file on a slower mesh."""
    written = (catalogue.folder() / f"{name}.yaml").read_text()
    path = tmp_path / f"{name}.yaml"
    path.parent.mkdir()
    path.write_text(written.replace("full: 3}", f"full: 3, params: {{{params}}}}}"))
    return simulated.play(loading.load(path)[0], seed=SEED)


def missed(result: Result) -> list[str]:
    """Name the figures that are not what they should be."""
    return [str(row["name"]) for row in result.objectives if not row["met"]]


def test_a_chain_that_is_too_slow_beside_a_loner_misses_fifteen_blocks(tmp_path: Path) -> None:
    """It goes on, as it must, and is well again in time: only the count of blocks tells."""
    result = slowed(tmp_path, "partition/minority", "block_interval: 1500ms")

    assert (result.verdict, missed(result)) == (Verdict.OBJECTIVE, ["t_fifteen"])


def test_the_turn_of_a_killed_leader_is_waited_for_and_timed(tmp_path: Path) -> None:
    """Blocks of those whose turn is before its own say nothing of who stands in for it."""
    result = slowed(tmp_path, "crash/leader-kill", "round_timeout: 8s")

    assert result.verdict is Verdict.OBJECTIVE
    assert "interval_max" in missed(result)


@pytest.mark.parametrize("seed", range(5))
def test_a_swizzle_cuts_off_three_others_each_time(seed: int) -> None:
    """One that was drawn twice would leave a quorum, and the scenario less than it says."""
    for part in catalogue.parts("partition/swizzle-flap", tier="nightly"):
        assert part.case is not None
        result = simulated.play(part.case, seed=seed)

        victims = [name for row in result.faults for name in row["targets"]]
        assert result.verdict is Verdict.PASS, result.line
        assert (len(victims), len({*victims})) == (3, 3), victims
