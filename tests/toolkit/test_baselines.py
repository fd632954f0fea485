"""A run is judged by what was stored: more than a tenth worse fails, and noise is no loss."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.suites import baselines, catalogue, loads, playing, rounds, shelf
from aitbc_toolkit.suites.baselines import Baseline, Judgement, Ran
from aitbc_toolkit.suites.stages import NIGHTLY

MACHINE = {"cores": 2, "cpu": "x", "kernel": "6.1.0"}
SPREAD = 0.05
"""How far equal runs lie apart on a quiet machine, as a share."""
NOISE = (0.97, 1.02, 1.0, 0.99, 1.04)


def a_run(number: int, p95: float, *, committed: float = 50.0, **changed: Any) -> Ran:
    """Make a run of load/steady."""
    made = Ran(
        run=f"{number:04d}",
        scenario="load/steady",
        environment="dev",
        verdict="PASS",
        seed=7,
        machine=MACHINE,
        configuration="c0",
        builds=("b0",),
        figures={"final_p95": p95, "committed": committed},
        rising=frozenset({"committed"}),
    )
    return replace(made, **changed)


def a_set(
    first: int, p95s: Sequence[float], *, committed: float = 50.0, **changed: Any
) -> Baseline:
    """Put five runs together, from this number on."""
    runs = [
        a_run(first + place, p95, committed=committed + place / 100, **changed)
        for place, p95 in enumerate(p95s)
    ]
    return baselines.gather("load/steady", "dev", runs)


def judged(times: float, *, committed: float = 1.0) -> Judgement:
    """Judge five runs by five others, whose figures are so many times theirs."""
    before = a_set(1, [800 * each for each in NOISE])
    now = a_set(11, [800 * times * each for each in NOISE], committed=50 * committed)
    return baselines.judge(before, now)


def word(found: Judgement, figure: str) -> str:
    """Return what is said of a figure."""
    (row,) = (row for row in found.rows if row.figure == figure)
    return row.word


@pytest.mark.proves("E57")
@pytest.mark.parametrize(
    ("times", "said"), [(0.8, "better"), (1.0, "alike"), (1.09, "alike"), (1.12, "worse")]
)
def test_more_than_a_tenth_worse_is_a_loss(times: float, said: str) -> None:
    """Less is none, however sure: 9 % more in every run is alike."""
    found = judged(times)

    assert word(found, "final_p95") == said
    assert found.is_worse == (said == "worse")


@pytest.mark.parametrize(("times", "said"), [(0.88, "worse"), (0.92, "alike"), (1.2, "better")])
def test_where_more_is_better_less_is_worse(times: float, said: str) -> None:
    """Committed a second, and the knee."""
    assert word(judged(1.0, committed=times), "committed") == said


def test_one_slow_run_is_no_loss() -> None:
    """Chance does that too often: it takes more than one of five."""
    before = a_set(1, [800 * each for each in NOISE])
    now = a_set(11, [9_000.0, *(800 * each for each in NOISE[1:])])

    assert not baselines.judge(before, now).is_worse


def drawn(dice: random.Random, first: int, middle: float, spread: float) -> Baseline:
    """Draw the runs of one day on one machine."""
    return a_set(first, [middle * dice.lognormvariate(0.0, spread) for _ in NOISE])


@pytest.mark.parametrize(
    ("times", "spread", "least", "most"),
    [(1.0, SPREAD, 0.0, 0.02), (1.0, 6 * SPREAD, 0.0, 0.03), (1.2, SPREAD, 0.95, 1.0)],
)
def test_losses_are_caught_and_noise_is_none(
    times: float, spread: float, least: float, most: float
) -> None:
    """Of 500: equal sets alarm in 3 of 100 at most, a true +20 % is found in 95 at least.

    Equal ones also on a machine so noisy that their middles often lie a tenth apart.
    """
    dice = random.Random(4)  # noqa: S311 - repeatable figures, no secret

    sides = (
        (drawn(dice, 1, 800.0, spread), drawn(dice, 11, 800.0 * times, spread)) for _ in range(500)
    )
    alarms = sum(baselines.judge(*each).is_worse for each in sides)

    assert least <= alarms / 500 <= most


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"machine": {**MACHINE, "cores": 4}}, "another machine"),
        ({"configuration": "c1"}, "another configuration"),
        ({"seed": 8}, r"other seeds \(8 and not 7\)"),
        ({"figures": {"final_p95": 1.0}}, "other figures"),
    ],
)
def test_what_was_measured_otherwise_is_not_compared(changed: Mapping[str, Any], said: str) -> None:
    """Neither a pass nor a loss: refused, with what is different. Another build is the point."""
    before = a_set(1, NOISE)
    assert not baselines.judge(before, a_set(11, NOISE, builds=("b1",))).is_worse

    with pytest.raises(UsageError, match=f"not comparable with the baseline: {said}"):
        baselines.judge(before, a_set(11, NOISE, **changed))


def test_a_baseline_is_not_judged_by_itself() -> None:
    """No run is on both sides."""
    with pytest.raises(UsageError, match="run 0003 is the baseline's own"):
        baselines.judge(a_set(1, NOISE), a_set(3, NOISE))


Change = Callable[[list[Ran]], list[Ran]]
REFUSED: Mapping[str, Change] = {
    "4 are too few": lambda runs: runs[:4],
    "run 0002 is INVALID": lambda runs: [runs[0], replace(runs[1], verdict="INVALID"), *runs[2:]],
    "run 0001 is not judged": lambda runs: [replace(runs[0], verdict=""), *runs[1:]],
    "one of load/burst, not of load/steady": lambda runs: [
        replace(runs[0], scenario="load/burst"),
        *runs[1:],
    ],
    "run 0001 was on lab, not on dev": lambda runs: [
        replace(runs[0], environment="lab"),
        *runs[1:],
    ],
    "does not tell its machine": lambda runs: [replace(runs[0], machine={}), *runs[1:]],
    "differ in builds": lambda runs: [replace(runs[0], builds=("b9",)), *runs[1:]],
    "measures nothing": lambda runs: [replace(each, figures={}) for each in runs],
    "run 0001 is given twice": lambda runs: [runs[0], *runs[:4]],
}


@pytest.mark.parametrize("said", REFUSED)
def test_runs_that_say_nothing_together_are_no_baseline(said: str) -> None:
    """Too few, invalid, of something else, of several builds."""
    runs = [a_run(place, 1.0) for place in range(1, 6)]

    with pytest.raises(UsageError, match=said):
        baselines.gather("load/steady", "dev", REFUSED[said](runs))


@pytest.mark.parametrize("least", [0.0, -0.5])
def test_what_is_not_above_nothing_is_no_baseline(
    state: Path, capsys: pytest.CaptureFixture[str], least: float
) -> None:
    """No slope is so many times one of -0.5 or of 0: refused by name, when kept and when judged."""
    before = a_set(1, [0.5, 1.0, least, 1.0, 1.0])
    with pytest.raises(UsageError, match=r"final_p95 cannot be compared by ratio.*run 0003"):
        baselines.judge(before, a_set(11, NOISE))
    for number in range(1, 6):
        a_load_run(state, number, least)
    words = ["load/steady", "-e", "dev"]

    assert run(["load", "baseline", "keep", *words, "--of", "1,2,3,4,5"]) == Exit.USAGE
    assert "final_p95 cannot be compared by ratio" in capsys.readouterr().err
    shelf.keep(before)
    assert run(["load", "baseline", "judge", *words]) == Exit.USAGE  # and plays nothing before
    assert "final_p95 cannot be compared by ratio" in capsys.readouterr().err


def test_runs_that_committed_nothing_are_a_loss() -> None:
    """Nothing at all is a figure where the baseline's was more, and no mistake of use."""
    found = judged(1.0, committed=0.0)

    assert word(found, "committed") == "worse"
    assert "Infinity" not in json.dumps(found.to_document())


def test_a_figure_that_a_run_lacks_is_an_error() -> None:
    """Never a pass: 13, and the run is named."""
    runs = [a_run(place, 1.0) for place in range(1, 6)]
    runs[2] = replace(runs[2], figures={"final_p95": None, "committed": 50.0})

    with pytest.raises(AitbcError, match="run 0003 has no final_p95") as refused:
        baselines.gather("load/steady", "dev", runs)

    assert refused.value.exit_status == Exit.INCONCLUSIVE


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder that everything is kept in, and an environment without any mesh."""
    monkeypatch.setattr(paths, "state_root", lambda *_override: tmp_path / "state")
    monkeypatch.setattr(
        "aitbc_toolkit.cli.baseline.load_environment",
        lambda name: Inventory.load(name, state=tmp_path / "state"),
    )
    asked_now = rounds.asked_now
    monkeypatch.setattr(
        rounds, "asked_now", lambda mesh, found: "c0" if mesh else asked_now(mesh, found)
    )
    return tmp_path / "state"


TOLD = {"machine": {**MACHINE, "load": [9.0]}, "versions": {}, "configuration": "c0"}


def leave(state: Path, number: int, files: Mapping[str, object], **verdict: Any) -> None:
    """Write the folder of a run."""
    folder = state / "runs" / f"{number:04d}"
    folder.mkdir(parents=True)
    told = {"verdict": "PASS", "environment": "dev", "seed": 7, **TOLD, **verdict}
    for name, document in {"verdict.json": told, **files}.items():
        (folder / name).write_text(json.dumps(document))


def a_load_run(state: Path, number: int, times: float, **plan: Any) -> None:
    """Leave what a load run leaves."""
    result = {
        "scenario": "load/steady",
        "seed": 7,
        "rates": {"committed": 50.0},
        "to_final": {"percentiles_ms": {"p95": 800.0 * times}},
        "circumstances": {"environment": "dev", "builds": ["b0"], **TOLD},
    }
    leave(state, number, {"order.json": {"plan": plan}, "result.json": result})


def a_knee(state: Path, number: int, times: float) -> None:
    """Leave what a search for the knee leaves."""
    found = {"committed": 400.0 / times, "fails_at": 500.0, "environment": "dev", "seed": 7}
    leave(state, number, {"knee.json": {**found, "builds": ["b0"], **TOLD}})


def a_suite_run(state: Path, number: int, times: float, *, name: str, figure: str) -> None:
    """Leave what a run of one scenario of a suite leaves; each has a seed of its own."""
    row = {"scenario": name, "name": figure, "measured": 2.0 * times, "met": True}
    seed = number % 10
    leave(state, number, {}, suite=name, objectives=[row], seed=seed, commit="b0")


def a_cut(state: Path, number: int, times: float) -> None:
    """Leave a run of partition/minority."""
    a_suite_run(state, number, times, name="partition/minority", figure="t_all_at_tip")


def a_thousand(state: Path, number: int, times: float) -> None:
    """Leave a run of scale/sim-1000."""
    a_suite_run(state, number, times, name="scale/sim-1000", figure="arrival_p95")


@pytest.mark.proves("E57")
@pytest.mark.parametrize(
    ("scenario", "make"),
    [
        ("load/steady", a_load_run),
        ("load/knee", a_knee),
        ("partition/minority", a_cut),
        ("scale/sim-1000", a_thousand),
    ],
)
def test_a_stored_baseline_judges_later_runs(
    state: Path, capsys: pytest.CaptureFixture[str], scenario: str, make: Callable[..., None]
) -> None:
    """Kept of five runs; five alike end with 0, five that are a fifth worse with 12."""
    for place, noise in enumerate(NOISE):
        make(state, 1 + place, noise)
        make(state, 11 + place, noise * 1.01)
        make(state, 21 + place, noise * 1.2)
    words = [scenario, "-e", "dev", "--of"]

    assert run(["load", "baseline", "judge", *words, "11,12,13,14,15"]) == Exit.USAGE
    assert f"dev has no baseline of {scenario}" in capsys.readouterr().err
    assert run(["load", "baseline", "keep", *words, "1,2,3,4,5"]) == Exit.OK
    assert run(["load", "baseline", "judge", *words, "11,12,13,14,15"]) == Exit.OK
    assert "no loss above 10 % was shown" in capsys.readouterr().out
    assert run(["load", "baseline", "judge", *words, "21,22,23,24,25"]) == Exit.OBJECTIVE
    is_load = make is a_load_run  # on a machine with two cores and a load of nine
    assert ("perhaps this machine was busy: 9.0" in capsys.readouterr().out) is is_load
    assert run(["load", "baseline", "judge", *words, "21,22,23,24,25", "--json"]) == Exit.OBJECTIVE
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["scenario"]) == ("OBJECTIVE", scenario)
    assert run(["load", "baseline", "list", "-e", "dev"]) == Exit.OK
    assert scenario in capsys.readouterr().out


def test_a_baseline_of_another_machine_is_refused(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """64, before anybody takes the one for the other."""
    for place, noise in enumerate(NOISE):
        a_load_run(state, 1 + place, noise)
        a_load_run(state, 11 + place, noise)
    of = ["load/steady", "-e", "dev", "--of"]
    run(["load", "baseline", "keep", *of, "1,2,3,4,5"])
    path = state / "baselines" / "dev" / "load-steady.json"
    path.write_text(path.read_text().replace('"kernel": "6.1.0"', '"kernel": "5.10"'))

    assert run(["load", "baseline", "judge", *of, "11,12,13,14,15"]) == Exit.USAGE
    assert "not comparable with the baseline: another machine" in capsys.readouterr().err
    path.write_text("{")
    assert run(["load", "baseline", "judge", *of, "11,12,13,14,15"]) == Exit.CONFIG


def test_another_library_is_no_other_machine(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It comes with the version that is judged; another Python is one."""
    for first, versions in ((1, {}), (11, {"msgspec": "9"}), (21, {"python": "9"})):
        monkeypatch.setitem(TOLD, "versions", versions)
        for place, noise in enumerate(NOISE):
            a_load_run(state, first + place, noise)
    of = ["load/steady", "-e", "dev", "--of"]

    run(["load", "baseline", "keep", *of, "1,2,3,4,5"])

    assert run(["load", "baseline", "judge", *of, "11,12,13,14,15"]) == Exit.OK
    assert run(["load", "baseline", "judge", *of, "21,22,23,24,25"]) == Exit.USAGE
    assert "another machine" in capsys.readouterr().err


def test_a_knee_above_all_that_was_tried_is_none(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be a figure of `--most`, and not of the mesh."""
    for number in range(1, 6):
        a_knee(state, number, 1.0)
        path = state / "runs" / f"{number:04d}" / "knee.json"
        path.write_text(path.read_text().replace("500.0", "null"))

    words = ["load", "baseline", "keep", "load/knee", "-e", "dev", "--of", "1,2,3,4,5"]
    assert run(words) == Exit.INCONCLUSIVE
    assert "run 0001 has no committed" in capsys.readouterr().err


def test_runs_are_played_with_the_seeds_of_the_baseline(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first only warms the mesh up, one that says nothing is made anew, none is left out."""
    asked: list[tuple[int, float, float]] = []

    def play(_environment: Any, wanted: loads.Wanted, folder: Path, **_: Any) -> Any:
        asked.append((wanted.seed, wanted.rate, wanted.for_s))
        number = int(folder.name)
        folder.rmdir()
        a_load_run(state, number, 1.0, rate=wanted.rate, for_s=wanted.for_s)
        if len(asked) == 3:
            (folder / "verdict.json").write_text('{"verdict": "INVALID"}')
        return SimpleNamespace(is_interrupted=False)

    monkeypatch.setattr(loads, "play", play)
    monkeypatch.setattr(rounds, "machine_now", lambda: {**MACHINE, "versions": {}})
    words = ["load/steady", "-e", "dev"]

    asks = ["--seed", "7", "--rate", "5", "--for", "4"]
    assert run(["load", "baseline", "keep", *words, *asks]) == Exit.OK
    assert asked == [(7, 5.0, 4.0)] * 7
    assert shelf.kept("dev", "load/steady").runs == ("0002", "0004", "0005", "0006", "0007")
    asked.clear()
    assert run(["load", "baseline", "judge", *words]) == Exit.OK, capsys.readouterr().err
    assert asked == [(7, 5.0, 4.0)] * 7


def test_recorded_runs_are_played_as_they_were_asked_for(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With their rate and length, and not their file's; shared by workers they are refused."""
    asked: list[tuple[float, float]] = []

    def play(_environment: Any, wanted: loads.Wanted, folder: Path, **_: Any) -> Any:
        asked.append((wanted.rate, wanted.for_s))
        number = int(folder.name)
        folder.rmdir()
        a_load_run(state, number, 1.0)
        return SimpleNamespace(is_interrupted=False)

    monkeypatch.setattr(loads, "play", play)
    monkeypatch.setattr(rounds, "machine_now", lambda: {**MACHINE, "versions": {}})
    for number in range(1, 6):
        a_load_run(state, number, 1.0, rate=100.0, for_s=61.0, workers=1)
        a_load_run(state, 10 + number, 1.0, rate=100.0, for_s=61.0, workers=2)
    words = ["load/steady", "-e", "dev"]

    assert run(["load", "baseline", "keep", *words, "--of", "11,12,13,14,15"]) == Exit.USAGE
    assert "run 0011 was shared by workers" in capsys.readouterr().err
    assert run(["load", "baseline", "keep", *words, "--of", "1,2,3,4,5"]) == Exit.OK
    assert run(["load", "baseline", "judge", *words]) == Exit.OK, capsys.readouterr().err
    assert set(asked) == {(100.0, 61.0)}


@pytest.mark.parametrize("tier", ["", "ci"])
def test_a_tier_is_played_again_and_what_cannot_be_is_refused(tier: str) -> None:
    """The usual part of a scenario, or all of it; of other commands nobody can tell which."""
    name = "partition/swizzle-flap"
    parts = catalogue.parts(name, tier=tier or NIGHTLY)
    asked = playing.configuration(None, playing.sorted_out(None, parts)[0])
    found = msgspec.structs.replace(a_set(1, NOISE), scenario=name, configuration=asked)

    assert rounds.repeatable(None, found).tier == tier
    with pytest.raises(UsageError, match=r"runs 0001, .* cannot be played again"):
        rounds.repeatable(None, msgspec.structs.replace(found, configuration="c9"))


def test_what_will_not_be_comparable_is_not_played(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another machine or configuration is told before the first run, and not behind the last."""
    for place, noise in enumerate(NOISE):
        a_cut(state, 1 + place, noise)
    words = ["partition/minority", "-e", "dev"]
    assert run(["load", "baseline", "keep", *words, "--of", "1,2,3,4,5"]) == Exit.OK
    monkeypatch.setattr(rounds, "machine_now", lambda: {**MACHINE, "cores": 4, "versions": {}})
    monkeypatch.setattr(rounds, "asked_now", lambda *_: "c1")
    monkeypatch.setattr(rounds, "played", lambda *_, **__: pytest.fail("it was played"))

    assert run(["load", "baseline", "judge", *words]) == Exit.USAGE
    assert "baseline: another machine; another configuration" in capsys.readouterr().err


def test_runs_that_were_late_are_told_with_their_reason(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each time, and in the error: the lag, and that the machine had other work."""

    def play(_environment: Any, _wanted: loads.Wanted, folder: Path, **_: Any) -> Any:
        number = int(folder.name)
        folder.rmdir()
        row = {"name": "load/steady", "verdict": "INVALID", "line": "send lag p99 was 15.2 ms"}
        a_load_run(state, number, 1.0)
        told = {"verdict": "INVALID", "scenarios": [row]}
        (folder / "verdict.json").write_text(json.dumps(told))
        return SimpleNamespace(is_interrupted=False)

    monkeypatch.setattr(loads, "play", play)

    assert run(["load", "baseline", "keep", "-e", "dev"]) == Exit.INVALID

    told = capsys.readouterr().err
    why = "send lag p99 was 15.2 ms; this machine was busy: 9.0 processes wanted its 2 cores"
    assert told.count(f"was INVALID, once more: {why}") == rounds.TRIES - 1
    assert f"error: run 0003 was INVALID: {why}" in told


@pytest.mark.parametrize(
    ("scenario", "runs", "said"),
    [
        ("crash/leader-kill", 5, "5 runs are too few to judge the 30 figures of crash/leader-kill"),
        ("economic/coins-mature", 5, "economic/coins-mature measures nothing"),
        ("smoke/boot", 5, "smoke/boot measures nothing"),
        ("mine.yaml", 5, "mine.yaml is a file: only built-in scenarios have baselines"),
        ("partition/minority --rate 5", 5, "partition/minority says itself how much is asked"),
        ("partition/minority --for 5", 5, "partition/minority says itself how much is asked"),
        ("load/knee --rate 5", 5, "load/knee says itself how much is asked of it"),
    ],
)
def test_what_would_be_no_baseline_is_not_played(
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    scenario: str,
    runs: int,
    said: str,
) -> None:
    """How many figures runs will have is known before them; so many runs as can judge them play."""
    played: list[int] = []

    def play(*words: Any, **_: Any) -> list[Ran]:
        played.append(len(words[2]))
        raise UsageError("it was played")

    monkeypatch.setattr(rounds, "played", play)
    monkeypatch.setattr(playing, "sorted_out", lambda _mesh, parts: (parts, []))
    words = ["load", "baseline", "keep", *scenario.split(), "-e", "dev", "--runs"]

    assert run([*words, str(runs)]) == Exit.USAGE

    told = capsys.readouterr().err
    assert said in told
    assert not played
    if "--runs" in told:
        assert "--runs 7" in told
        assert run([*words, "7"]) == Exit.USAGE
        assert played == [7]
    assert not (state / "runs").exists()


def test_another_configuration_of_a_load_run_is_told_before_it_is_played(
    fake_mesh: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mesh is asked first: a scenario that asks for more, or other limits, is another one."""
    monkeypatch.setattr(paths, "state_root", lambda *_override: tmp_path / "state")
    mesh = fake_mesh.environment
    monkeypatch.setattr(rounds, "machine_now", lambda: MACHINE)
    seen = a_set(1, NOISE, rate=50.0, for_s=4.0)
    same = msgspec.structs.replace(seen, configuration=rounds.asked_now(mesh, seen))
    bench = msgspec.structs.replace(mesh.profile, limits="bench")

    rounds.require_same(mesh, same)

    for there, before in (
        (mesh, msgspec.structs.replace(same, rate=60.0)),
        (replace(mesh, profile=bench), same),
    ):
        with pytest.raises(UsageError, match="another configuration"):
            rounds.require_same(there, before)


def test_a_run_that_fails_is_no_baseline(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its verdict is the exit status, and nothing is kept."""

    def play(_environment: Any, _wanted: loads.Wanted, folder: Path, **_: Any) -> Any:
        number = int(folder.name)
        folder.rmdir()
        a_load_run(state, number, 1.0)
        (folder / "verdict.json").write_text('{"verdict": "SAFETY"}')
        return SimpleNamespace(is_interrupted=False)

    monkeypatch.setattr(loads, "play", play)

    assert run(["load", "baseline", "keep", "-e", "dev"]) == Exit.UNSAFE
    assert "run 0001 was SAFETY" in capsys.readouterr().err
    assert not (state / "baselines").exists()


@pytest.mark.proves("E57")
def test_the_simulator_is_judged_by_its_own_figures(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Played twice with five seeds each: the same code gives the same figures, and no loss."""
    words = ["partition/minority", "-e", "sim"]

    assert run(["load", "baseline", "keep", *words, "--seed", "3", "--json"]) == Exit.OK
    kept = json.loads(capsys.readouterr().out)
    assert kept["seeds"] == [3, 4, 5, 6, 7]
    assert len(set(kept["figures"]["t_all_at_tip"])) > 1
    assert run(["load", "baseline", "judge", *words, "--json"]) == Exit.OK
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["figure"] for row in rows} == {"t_all_at_tip", "t_fifteen"}
    assert {(row["ratio"], row["word"]) for row in rows} == {(1.0, "alike")}
    assert state.exists()
