"""What was broken on a live mesh, played again in the simulator, and made smaller."""

import json
from pathlib import Path
from typing import Any

import pytest

from aitbc_sim.bugs import planted
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites import catalogue, evidence
from aitbc_toolkit.suites.scenario import loading, replaying, simulated
from aitbc_toolkit.suites.scenario.arena import Town
from aitbc_toolkit.suites.scenario.schema import Case, FaultStep, PauseStep
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.verdicts import Verdict

TOWN = Town({"north": 1, "east": 1, "south": 1, "west": 1, "reader": 0}, 0.5, 1.0)
ALONE = [
    [a, b]
    for a, b in [("west", each) for each in ("north", "east", "south", "reader")]
    + [(each, "west") for each in ("north", "east", "south", "reader")]
]
ROWS: list[dict[str, Any]] = [
    {"fault": "clock.jump", "targets": ["north"], "lease_s": 6.0, "began": 100.0, "edges": [],
     "parameters": {"seconds": 20}},
    {"fault": "cpu.quota", "targets": ["east"], "lease_s": 9.0, "began": 100.5, "edges": []},
    {"fault": "net.cut", "targets": ["west"], "lease_s": 8.0, "began": 101.5, "edges": ALONE},
    {"fault": "proc.kill", "targets": ["reader"], "lease_s": 2.0, "began": 103.0, "edges": []},
]  # fmt: skip


def a_case() -> Case:
    """Take the load of a built-in one."""
    case = catalogue.parts("partition/minority")[0].case
    assert case is not None
    return case


def a_file(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Write what a run has broken."""
    path = folder / "replay" / "partition-minority.yaml"
    path.parent.mkdir()
    path.write_text(replaying.exported(a_case(), rows, TOWN))
    return path


def test_faults_come_again_in_their_order_and_their_time(tmp_path: Path) -> None:
    """Who was hit, which ways, how much later; what the simulator has not is left out by name."""
    path = a_file(tmp_path, ROWS)

    (case,) = loading.load(path)

    faults = [step for step in case.steps if isinstance(step, FaultStep)]
    assert [(f.fault, f.on, f.lease) for f in faults] == [
        ("clock.jump", ["v1"], "6s"),
        ("net.cut", None, "8s"),
        ("proc.kill", ["f1"], "2s"),
    ]
    assert faults[1].between is not None
    assert faults[1].between.ways is not None
    assert {"v4>v1", "f1>v4"} <= set(faults[1].between.ways)
    assert [step.pause for step in case.steps if isinstance(step, PauseStep)] == ["1.5s", "1.5s"]
    assert "# left out, the simulator has none: cpu.quota" in path.read_text()
    assert simulated.play(case, seed=5).verdict is Verdict.PASS


def test_a_run_without_faults_has_nothing_to_play_again() -> None:
    """A scenario that broke nothing leaves no file."""
    assert replaying.exported(a_case(), [], TOWN) == ""


def test_what_fails_again_is_made_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mesh that never dials again: of three faults the cut is left, with the same verdict."""
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda *_: tmp_path)
    path = a_file(tmp_path, ROWS)

    with planted("never-redial"):
        ended = run(["test", "-e", "sim", "--scenario", str(path), "--seed", "5"])

    assert ended == Exit.STUCK
    shown = capsys.readouterr()
    assert f"repeat    ./aitbc test {path} -e sim --seed 5" in shown.out
    assert "shrunk to 1 faults" in shown.err
    folder = tmp_path / "runs" / "0001" / "replay"
    (least,) = loading.load(folder / "partition-minority-shrunk.yaml")
    faults = [step for step in least.steps if isinstance(step, FaultStep)]
    assert [step.fault for step in faults] == ["net.cut"]
    assert float(faults[0].lease.removesuffix("s")) < 8
    with planted("never-redial"):
        assert simulated.play(least, seed=5).verdict is Verdict.LIVENESS


def test_the_record_names_the_line_that_plays_it_again(tmp_path: Path) -> None:
    """The file lies in the run's folder, and the record says how to play it."""
    text = replaying.exported(a_case(), ROWS, TOWN)
    result = Result("partition/minority", Verdict.LIVENESS, "stuck", 1.0, replay=text)
    record = evidence.Record("partition", "lab", 7, 0.0, 1.0, Verdict.LIVENESS, (result,))

    evidence.write(tmp_path, record)

    told = json.loads((tmp_path / "verdict.json").read_text())
    path = tmp_path / "replay" / "partition-minority.yaml"
    assert told["replay"] == f"./aitbc test {path} -e sim --seed 7"
    assert len(loading.load(path)) == 1
