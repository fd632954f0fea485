"""A suite that several workers share: who plays what, what is left when one of them dies."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.suites import catalogue, crew, playing, showing
from aitbc_toolkit.suites.scenario import simulated
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.verdicts import Verdict

PARTS = ["partition/minority", "crash/leader-kill[1]", "crash/leader-kill[2]"]
FAKE = """
import json, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as a worker does
name, folder, seed = sys.argv[1:]
said = []
{before}
sys.stdout.write("ready\\n"); sys.stdout.flush()
for line in sys.stdin:
    part = line.strip()
    {each}
    print(json.dumps({{"name": part, "verdict": "PASS", "line": name, "took_s": 1.0}}), flush=True)
"""


@pytest.fixture
def hired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., crew.Crew]:
    """Hire workers that say what a test wants: a module of a few lines."""

    def hire(*names: str, before: str = "", each: str = "") -> crew.Crew:
        (tmp_path / "made_up.py").write_text(FAKE.format(before=before, each=each))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        folder = tmp_path / "run"
        folder.mkdir()
        return crew.Crew(names, folder, seed=3, module="made_up")

    return hire


def test_every_part_is_played_once_and_by_whoever_is_free(
    hired: Callable[..., crew.Crew],
) -> None:
    """Two workers, three parts: each result comes once, with the name of its mesh."""
    hands = hired("lab-w1", "lab-w2")
    parts = [catalogue.parts(name)[0] for name in PARTS]
    begun: dict[str, None] = {}

    assert hands.first() == "lab-w1"
    told = list(hands.play(parts, begun))
    hands.end()

    assert sorted(each.name for each in told) == sorted(PARTS) == sorted(begun)
    assert {each.verdict for each in told} == {Verdict.PASS}
    assert {each.line for each in told} <= {"lab-w1", "lab-w2"}


def test_the_longest_comes_first_and_what_spoils_a_mesh_last(
    hired: Callable[..., crew.Crew],
) -> None:
    """Nobody is played on a mesh that has lost a vote; an hour of soak does not begin last."""
    hands = hired("lab-w1")
    wanted = ["byzantine/equivocation-on-hosts[60s]", "byzantine/liar-on-hosts[replay]"]
    wanted += ["partition/minority", "scale/soak[60m]", "partition/quorum-loss[600s]"]
    parts = [catalogue.parts(name)[0] for name in wanted]

    told = [each.name for each in hands.play(parts, {})]
    hands.end()

    assert told == [*wanted[3:], wanted[2], wanted[1], wanted[0]]


def test_what_a_dead_worker_played_is_infrastructure_and_the_others_go_on(
    hired: Callable[..., crew.Crew],
) -> None:
    """Each worker dies at one part: that part is told by name, the rest is played or told too."""
    hands = hired("lab-w1", "lab-w2", each='sys.exit("out of luck") if "minority" in part else 0')
    parts = [catalogue.parts(name)[0] for name in PARTS]

    told = {each.name: each for each in hands.play(parts, {})}
    hands.end()

    assert told["partition/minority"].verdict is Verdict.INFRA
    assert "out of luck" in told["partition/minority"].line
    assert {told[name].verdict for name in PARTS[1:]} == {Verdict.PASS}


def test_parts_that_no_worker_is_left_for_are_no_pass(hired: Callable[..., crew.Crew]) -> None:
    """The only worker dies at its first part: the others are told as infrastructure."""
    hands = hired("lab-w1", each='sys.exit("out of luck")')
    parts = [catalogue.parts(name)[0] for name in PARTS]

    told = list(hands.play(parts, {}))
    hands.end()

    assert sorted(each.name for each in told) == sorted(PARTS)
    assert {each.verdict for each in told} == {Verdict.INFRA}


def test_a_mesh_that_does_not_come_up_is_told_with_the_reason(
    hired: Callable[..., crew.Crew],
) -> None:
    """Nothing is played, and the error says what the worker said."""
    hands = hired("lab-w1", before='sys.exit("error: no room for a lab")')

    with pytest.raises(AitbcError, match="no room for a lab") as refused:
        hands.first()
    hands.stop()
    hands.end()

    assert refused.value.exit_status == Exit.INFRASTRUCTURE


def test_a_worker_that_does_not_come_is_told_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second has no room: the first plays all, and the run says that it had one worker less."""
    (tmp_path / "made_up.py").write_text(FAKE.format(before=NO_ROOM, each=""))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda *_: tmp_path)
    whole = crew.Crew

    def both_settled(*arguments: Any, **_module: str) -> crew.Crew:
        hands = whole(*arguments, seed=3, module="made_up")
        for hand in hands._hands:
            hand.settled.wait()
        return hands

    monkeypatch.setattr(crew, "Crew", both_settled)

    assert run(["test", "crash/leader-kill", "-e", "sim", "-n", "2"]) == Exit.OK

    told = json.loads((tmp_path / "runs" / "0001" / "verdict.json").read_text())
    assert told["left_out"] == [{"name": "sim", "why": "no worker: error: no room"}]
    assert "not run      sim " in capsys.readouterr().err


NO_ROOM = """
if folder.endswith("w2"):
    sys.exit("error: no room")
"""

HOLDING = """
def hold():
    import pathlib, time
    try:
        pathlib.Path(folder, "playing").touch()
        time.sleep(600)
    finally:
        pathlib.Path(folder, "cleared").touch()
"""


def test_who_ends_a_run_ends_what_each_worker_plays(
    hired: Callable[..., crew.Crew], tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """A worker hears of the end once, and clears up before the run is over."""
    hands = hired("lab-w1", before=HOLDING, each="hold()")
    told = hands.play([catalogue.parts(PARTS[0])[0]], {})
    waits = threading.Thread(target=lambda: list(told))
    waits.start()
    eventually("the part", (tmp_path / "run" / "w1" / "playing").exists)

    hands.stop()
    hands.end()
    waits.join()

    assert (tmp_path / "run" / "w1" / "cleared").exists()


def test_one_mesh_cannot_be_shared_out() -> None:
    """Hosts that are there once are not given to two workers."""
    with pytest.raises(UsageError, match="staging is one mesh"):
        crew.names("staging", 2)

    assert crew.names("lab", 2) == ["lab-w1", "lab-w2"]
    assert crew.names("lab-mine", 1) == ["lab-mine-w1"]


@pytest.mark.parametrize("scenario", [None, "FILE"])
def test_a_file_is_not_shared_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scenario: str | None
) -> None:
    """Workers would play the built-in scenario of that name, and say so of the file."""
    copy = tmp_path / "partition" / "minority.yaml"
    copy.parent.mkdir()
    copy.write_bytes((catalogue.folder() / "partition" / "minority.yaml").read_bytes())
    words = [str(copy)] if scenario is None else ["partition", "--scenario", str(copy)]

    assert run(["test", *words, "-e", "sim", "-n", "2"]) == Exit.USAGE

    said = capsys.readouterr().err
    assert "minority.yaml is a file, and only built-in suites are shared out" in said
    assert f"hint: aitbc test {copy} -e sim" in said


def test_workers_merge_into_one_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`-n 2` in the simulator: one record, growth compared, every row with its scenario."""
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda *_: tmp_path)

    assert run(["test", "partition/quorum-loss", "-e", "sim", "--seed", "11", "-n", "2"]) == Exit.OK

    folder = tmp_path / "runs" / "0001"
    told = json.loads((folder / "verdict.json").read_text())
    assert [each["name"] for each in told["scenarios"]] == [
        "partition/quorum-loss[5s]",
        "partition/quorum-loss[30s]",
        "partition/quorum-loss growth",
    ]
    rows = [json.loads(line) for line in (folder / "heights.jsonl").read_text().splitlines()]
    assert {row["scenario"] for row in rows} == {each["name"] for each in told["scenarios"][:2]}
    assert "3 of 3 passed" in capsys.readouterr().out
    assert (folder / "report.html").exists()


def test_a_run_that_is_ended_by_hand_leaves_its_record(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Ctrl-C while a scenario is played: it is INCONCLUSIVE, the rest is left out by name."""
    script = tmp_path / "held.py"
    script.write_text(HELD)
    folder = tmp_path / "run"
    folder.mkdir()
    child = subprocess.Popen([sys.executable, str(script), str(folder)])
    try:
        eventually("the scenario", (folder / "playing").exists)
        os.kill(child.pid, signal.SIGINT)
        assert child.wait(60) != 0
    finally:
        child.kill()
        child.wait()

    told = json.loads((folder / "verdict.json").read_text())
    assert [(each["name"], each["verdict"]) for each in told["scenarios"]] == [
        ("partition/minority", "INCONCLUSIVE")
    ]
    assert told["left_out"] == [
        {"name": "crash/leader-kill[1]", "why": "the run was ended before it"}
    ]
    assert (folder / "junit.xml").exists()


@pytest.mark.parametrize("ended", [KeyboardInterrupt(), BrokenPipeError(32, "nobody reads")])
def test_a_run_that_ends_between_two_parts_is_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: BaseException
) -> None:
    """One part passed, its row could not be told: what is next is INCONCLUSIVE, not forgotten."""

    def passed(case: Any, **_more: Any) -> Result:
        return Result(case.name, Verdict.PASS, "", 0.0)

    def say(_row: str) -> None:
        raise ended

    monkeypatch.setattr(simulated, "play", passed)
    monkeypatch.setattr(click, "echo", say)
    monkeypatch.setattr(showing, "announce", lambda *_, **__: None)
    with pytest.raises(type(ended)):
        playing.play_parts(
            None, [catalogue.parts(name)[0] for name in PARTS], "made", folder=tmp_path, seed=1
        )

    told = json.loads((tmp_path / "verdict.json").read_text())
    assert told["verdict"] == "INCONCLUSIVE"
    assert [(each["name"], each["verdict"]) for each in told["scenarios"]] == [
        (PARTS[0], "PASS"),
        (PARTS[1], "INCONCLUSIVE"),
    ]
    assert [each["name"] for each in told["left_out"]] == PARTS[2:]


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_all_tells_what_it_does_not_play(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    """What breaks a mesh under a swarm is of another command, which the record names."""
    part = catalogue.parts(PARTS[1])
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda *_: tmp_path)
    monkeypatch.setattr(catalogue, "parts", lambda *_, **__: part * 2)

    assert run(["test", "all", "-e", "sim", *workers]) == Exit.OK

    told = json.loads((tmp_path / "runs" / "0001" / "verdict.json").read_text())
    rows = {each["name"]: each["why"] for each in told["left_out"]}
    assert {"load/fault-at-80", "load/flood", "load/leader-restart"} <= rows.keys()
    assert "load/steady" not in rows
    assert rows["load/flood"] == "a swarm comes along: aitbc load run load/flood -e lab"


def test_a_suite_that_is_named_leaves_nothing_of_others_out() -> None:
    """Who asked for one family knows of the rest."""
    assert not [*catalogue.elsewhere("partition", "lab")]


HELD = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # who tests may ignore it
from pathlib import Path
from aitbc_toolkit.suites import catalogue, playing
from aitbc_toolkit.suites.scenario import simulated

folder = Path(sys.argv[1])
def hold(*_, **__):
    (folder / "playing").touch()
    time.sleep(600)
simulated.play = hold
parts = [catalogue.parts(name)[0] for name in ("partition/minority", "crash/leader-kill[1]")]
playing.play_parts(None, parts, "made", folder=folder, seed=1)
"""
