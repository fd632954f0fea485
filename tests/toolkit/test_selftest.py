"""`./aitbc test` counts truly, skips with reasons, ends on time and leaves nothing running."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aitbc_toolkit import features, junit
from aitbc_toolkit.cli import main
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.junit import Outcome
from aitbc_toolkit.suites import leftovers, runs, selftest, stages
from aitbc_toolkit.suites.stages import Check, Stage

TRUE = Check("true", (sys.executable, "-c", ""), ("D23",))
FALSE = Check("false", (sys.executable, "-c", "print('the cause'); raise SystemExit(3)"))


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare planted projects the plugins of libraries, which take longer than they do."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def a_runner(folder: Path, said: list[str], *, tier: str = "ci") -> selftest.Runner:
    """Make a runner that works in a folder and keeps what it says."""
    return selftest.Runner(folder, runs.begin(folder), tier, said.append)


def a_stage(*checks: Check, timeout_s: int = 60, tiers: tuple[str, ...] = stages.TIERS) -> Stage:
    """Make a stage of checks."""
    return Stage("planted", "a planted stage", timeout_s, checks=checks, tiers=tiers)


def a_project(folder: Path, source: str) -> Path:
    """Write a project whose tests of kind `sim` are given."""
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  sim: simulated\n")
    (folder / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--tier')\n"
    )
    (folder / "test_planted.py").write_text(f"import pytest\n{source}")
    return folder


def test_checks_are_counted_and_written(tmp_path: Path) -> None:
    """A stage counts what passed and failed, shows the cause, and writes a JUnit file."""
    said: list[str] = []
    runner = a_runner(tmp_path, said)

    (result,) = runner.run([a_stage(TRUE, FALSE)])

    assert (result.count(Outcome.PASSED), result.count(Outcome.FAILED)) == (1, 1)
    assert selftest.failed([result])
    assert any("the cause" in line for line in said)
    written = list(junit.read(runner.folder / "planted.xml"))
    assert [(case.name, case.outcome, case.proves) for case in written] == [
        ("planted.true", Outcome.PASSED, ("D23",)),
        ("planted.false", Outcome.FAILED, ()),
    ]


def test_a_stage_after_a_failed_one_still_runs(tmp_path: Path) -> None:
    """One run shows everything that is wrong."""
    results = a_runner(tmp_path, []).run([a_stage(FALSE), a_stage(TRUE)._replace(name="second")])

    assert [result.count(Outcome.PASSED) for result in results] == [0, 1]


def test_a_check_that_does_not_end_fails_at_its_deadline(tmp_path: Path) -> None:
    """A program that hangs is ended when its stage's time is over, with its children."""
    hangs = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'], stdin=-1)"
    began = time.monotonic()

    (result,) = a_runner(tmp_path, []).run(
        [
            a_stage(
                Check("hangs", ("sh", "-c", "sleep 600")),
                Check("forks", (sys.executable, "-c", hangs)),
                timeout_s=2,
            )
        ]
    )

    assert result.count(Outcome.FAILED) == 2
    assert result.cases[0].detail == "the deadline passed"
    assert time.monotonic() - began < 30


def test_a_stage_keeps_what_it_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Container images tell Python not to: each of a thousand processes would compile anew."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    keeps = "import sys; raise SystemExit(sys.dont_write_bytecode)"

    (result,) = a_runner(tmp_path, []).run([a_stage(Check("keeps", (sys.executable, "-c", keeps)))])

    assert result.count(Outcome.PASSED) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows another's environment")
def test_what_a_stage_leaves_running_is_ended_and_is_a_failure(tmp_path: Path) -> None:
    """A process that detached itself is found, named, ended, and makes the stage fail."""
    detach = (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))"
    )
    runner = a_runner(tmp_path, [])

    (result,) = runner.run([a_stage(Check("detaches", (sys.executable, "-c", detach)))])

    pid = int((tmp_path / "pid").read_text())
    assert result.count(Outcome.FAILED) == 1
    assert f"{pid} sleep 600" in result.note
    assert leftovers.running(str(runner.folder / "planted")) == {}


def test_a_stage_of_another_tier_is_skipped_with_the_reason(tmp_path: Path) -> None:
    """What a tier leaves out is a skip that says so."""
    (result,) = a_runner(tmp_path, [], tier="fast").run([a_stage(TRUE, tiers=("ci",))])

    assert result.skips() == [("not part of tier fast", 1)]


def test_neighbours_that_may_run_together_do(tmp_path: Path) -> None:
    """Two stages that wait for each other both pass; one after another neither could."""
    meets = (
        "import pathlib, sys, time\n"
        "here, mine, other = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]\n"
        "(here / mine).touch()\n"
        "until = time.monotonic() + 30\n"
        "while not (here / other).exists():\n"
        "    if time.monotonic() > until: raise SystemExit(1)\n"
        "    time.sleep(0.01)\n"
    )
    pair = [
        a_stage(Check(mine, (sys.executable, "-c", meets, str(tmp_path), mine, other)))._replace(
            name=mine, together=True
        )
        for mine, other in (("left", "right"), ("right", "left"))
    ]

    results = a_runner(tmp_path, []).run([a_stage(TRUE), *pair, a_stage(TRUE)])

    assert [result.stage for result in results] == ["planted", "left", "right", "planted"]
    assert not selftest.failed(results)


def test_only_neighbours_run_together() -> None:
    """The order of stages is kept: one that runs alone parts those before from those after."""
    alone, beside = a_stage(TRUE), a_stage(TRUE)._replace(together=True)

    cut = stages.groups([alone, beside, beside, alone, alone, beside])

    assert [len(group) for group in cut] == [1, 2, 1, 1, 1]


def test_an_interrupted_run_ends_every_stage_of_its_group(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Ctrl-C during stages side by side ends all of them, and nothing stays."""
    waits = Check("waits", ("sh", "-c", f"echo > {tmp_path}/$$.begun; sleep 600"))
    pair = [a_stage(waits)._replace(name=name, together=True) for name in ("left", "right")]
    runner = a_runner(tmp_path, [])

    def interrupt() -> None:
        eventually("both to begin", lambda: len(list(tmp_path.glob("*.begun"))) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        runner.run(pair)

    assert time.monotonic() - began < 60
    assert leftovers.running(str(runner.folder / "left")) == {}
    assert leftovers.running(str(runner.folder / "right")) == {}


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux, as the rule does"
)
def test_a_lab_may_leave_whole_forms_to_the_nightly_tier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A skip that the tier explains is no failure, also where the lab could have run it."""
    monkeypatch.setattr("aitbc_toolkit.lab.requirements.ensure_packages", lambda _say: None)
    source = "@pytest.mark.sim\ndef test_it(): pytest.skip('not part of tier ci')\n"
    stage = Stage("planted", "as if a lab", 60, kinds=("sim",), needs_root=True)

    (result,) = a_runner(a_project(tmp_path / "project", source), []).run([stage])

    assert not selftest.failed([result])


def test_nightly_is_a_tier_of_its_own_and_its_record_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`aitbc test nightly --json` names commit, machine and date, and gives stages more time."""
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda: tmp_path)
    monkeypatch.setattr("aitbc_toolkit.cli.test.STAGES", (a_stage(TRUE),))

    ended = main.run(["test", "nightly", "--json"])
    document = json.loads(capsys.readouterr().out)

    assert (ended, document["tier"]) == (Exit.OK, "nightly")
    assert len(document["commit"]) == 40
    assert datetime.fromisoformat(document["date"]).tzinfo is UTC
    assert document["machine"]["cores"] == os.cpu_count()
    assert a_stage(TRUE).deadline_s("nightly") > a_stage(TRUE).deadline_s("ci") == 60


SUITE = """
import json, pathlib
record = pathlib.Path("PLACE")
record.mkdir()
(record / "junit.xml").write_text(
    "<testsuite><testcase classname='all' name='boot'><properties>"
    "<property name='proves' value='M12'/></properties></testcase>"
    "<testcase classname='all' name='skew[30]'><failure message='LIVENESS: stuck'/></testcase>"
    "</testsuite>"
)
rows = dict.fromkeys(["suite", "verdict", "seed", "took_s", "scenarios"], "as told")
left_out = [{"name": "scale/sim-1000", "why": "for sim"}]
print(json.dumps({**rows, "record": str(record), "objectives": [7.5], "left_out": left_out}))
"""


def test_a_suite_of_scenarios_is_told_case_by_case_with_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON of a run names what failed and why, what was left out, and what was measured."""
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda: tmp_path)
    made = f"{SUITE.replace('PLACE', str(tmp_path / 'record'))}raise SystemExit(11)"
    suite = Check("all", (sys.executable, "-c", made), is_suite=True)
    monkeypatch.setattr("aitbc_toolkit.cli.test.STAGES", (a_stage(suite),))
    ended = main.run(["test", "nightly", "--json"])
    [told] = json.loads(capsys.readouterr().out)["stages"]

    assert ended == Exit.FAILED
    assert (told["passed"], told["failed"], told["skipped"]) == (1, 2, 1)
    assert told["failures"] == [
        {"name": "all.skew[30]", "detail": "LIVENESS: stuck"},
        {"name": "all", "detail": "ended with status 11"},
    ]
    assert told["suites"][0]["objectives"] == [7.5]
    assert features.proofs(junit.read_folder(tmp_path / "runs" / "last")).keys() == {"M12"}


def test_a_suite_that_told_nothing_is_no_pass(tmp_path: Path) -> None:
    """Neither one that ended well without a record, nor one that was ended before it."""
    silent = Check("silent", TRUE.argv, is_suite=True)
    late = Check("late", ("sh", "-c", "sleep 600"), is_suite=True)

    (result,) = a_runner(tmp_path, []).run([a_stage(silent, late, timeout_s=2)])

    assert [case.detail for case in result.cases] == [
        "it told nothing of what it played",
        "the deadline passed",
    ]


def test_a_lab_needs_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root the lab is skipped with the reason, and the run does not fail."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    (result,) = a_runner(tmp_path, []).run([a_stage(TRUE)._replace(needs_root=True)])

    assert result.skips() == [("needs root on Linux", 1)]
    assert not selftest.failed([result])


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux, as the rule does"
)
@pytest.mark.parametrize("source", ["", "@pytest.mark.sim\ndef test_it(): pytest.skip('why')\n"])
def test_as_root_a_skipped_lab_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Where the lab could have run, no tests or a skipped one make the stage fail."""
    monkeypatch.setattr("aitbc_toolkit.lab.requirements.ensure_packages", lambda _say: None)
    project = a_project(tmp_path / "project", source)
    stage = Stage("planted", "as if a lab", 60, kinds=("sim",), needs_root=True)

    (result,) = a_runner(project, []).run([stage])

    assert selftest.failed([result])


@pytest.mark.parametrize(
    ("source", "counts", "note"),
    [
        ("@pytest.mark.sim\ndef test_it(): pass\n", (1, 0, 0), ""),
        ("@pytest.mark.sim\ndef test_it(): assert 0\n", (0, 1, 0), ""),
        ("@pytest.mark.sim\ndef test_it(): pytest.skip('why')\n", (0, 0, 1), ""),
        ("def test_it(): pass\n", (0, 0, 0), "there are no tests of this kind yet"),
        ("raise ValueError\n", (0, 1, 0), ""),
        ("import os\n@pytest.mark.sim\ndef test_it(): os._exit(1)\n", (0, 1, 0), ""),
    ],
)
def test_tests_are_counted_as_they_ended(
    tmp_path: Path, source: str, counts: tuple[int, int, int], note: str
) -> None:
    """Passed, failed, skipped, none, broken at import, and killed: each is told apart."""
    project = a_project(tmp_path / "project", source)
    stage = Stage("planted", "planted tests", 60, kinds=("sim",))

    (result,) = a_runner(project, []).run([stage])

    assert tuple(result.count(outcome) for outcome in Outcome) == counts
    assert result.note == note


@pytest.mark.parametrize(
    ("within_s", "fence", "outcome", "proved"),
    [
        (60, ["env"], Outcome.PASSED, {"E59": ["planted.in time"]}),
        (0, ["env"], Outcome.SKIPPED, {}),
        (60, [], Outcome.SKIPPED, {}),
    ],
)
def test_a_promise_is_kept_in_time_and_offline_or_not_at_all(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    within_s: int,
    fence: list[str],
    outcome: Outcome,
    proved: dict[str, list[str]],
) -> None:
    """A stage's promise proves its features only when it was kept under its conditions."""
    monkeypatch.setattr(selftest, "_without_network", lambda: fence)
    project = a_project(tmp_path / "project", "@pytest.mark.sim\ndef test_it(): pass\n")
    promise = stages.Promise("in time", within_s, ("E59",))
    stage = Stage("planted", "planted", 60, kinds=("sim",), offline=True, promise=promise)
    runner = a_runner(project, [])

    (result,) = runner.run([stage])

    assert result.cases[-1].outcome is outcome
    assert features.proofs(junit.read_folder(runner.folder)) == proved


def test_the_test_command_is_exact() -> None:
    """The lab's tests are asked for, one after another; the unit tests run on two workers."""
    by_name = {stage.name: stage for stage in stages.STAGES}

    lab = by_name["lab"].test_argv(junit=Path("x.xml"), tier="ci")[2:]
    unit = by_name["unit"].test_argv(junit=Path("x.xml"), tier="fast")[2:]

    assert " ".join(lab) == (
        "pytest -q -m lab --lab --ignore=tests/unit --ignore=tests/sim --ignore=tests/toolkit "
        "--ignore=tests/mesh --tier ci --junitxml=x.xml"
    )
    assert " ".join(unit) == (
        "pytest -q -m unit --ignore=tests/sim --ignore=tests/mesh --ignore=tests/lab "
        "--ignore=tests/toolkit/deploys -n 2 --dist load --tier fast --junitxml=x.xml"
    )


def test_the_command_sums_up_and_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line is the sum, the status the verdict, and `trace` reads the record."""
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda: tmp_path)
    monkeypatch.setattr("aitbc_toolkit.cli.test.STAGES", (a_stage(TRUE, FALSE),))

    ended = main.run(["test"])
    out = capsys.readouterr().out.splitlines()
    traced = main.run(["trace"])
    traced_out = capsys.readouterr().out

    assert (ended, out[-1]) == (Exit.FAILED, "1 passed, 1 failed, 0 skipped")
    assert any(line.startswith("failed: false: ended with status 3") for line in out)
    assert traced == Exit.FAILED
    assert "D23 P0  proved" in traced_out
    assert "        planted.true" in traced_out
    assert "E4  P0  UNPROVED" in traced_out


@pytest.mark.parametrize(
    "arguments",
    [["-e", "dev"], ["--seed", "1"], ["--scenario", "boot"], ["smoke", "--stage", "lint"]],
)
def test_a_suite_and_the_own_tests_are_not_mixed(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Options of the one are refused with the other, instead of being ignored."""
    assert main.run(["test", *arguments]) == Exit.USAGE
    assert capsys.readouterr().err.startswith("error: --")


def test_trace_without_a_run_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first run there is nothing to trace, and one line says so."""
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda: tmp_path)

    assert main.run(["trace"]) == Exit.FAILED
    assert capsys.readouterr().err.splitlines()[-1] == "hint: ./aitbc test"


def test_runs_are_numbered_and_bounded(tmp_path: Path) -> None:
    """Every run has a folder of its own; old ones go, but never the one that `last` names."""
    first = runs.begin(tmp_path)
    runs.mark_last(first)
    for _ in range(60):
        newest = runs.begin(tmp_path)

    kept = sorted(folder.name for folder in (tmp_path / "runs").iterdir() if folder.name != "last")
    assert newest.name == "0061"
    assert kept[0] == first.name == "0001"
    assert len(kept) <= 52
    assert runs.last(tmp_path) == first


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows another's environment")
def test_an_interrupt_ends_what_the_stage_started(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """After Ctrl-C neither the stage nor what it detached is running."""
    deed = (
        "import subprocess, sys\n"
        "subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "print('detached', flush=True)\n"
        "sys.stdin.read() or subprocess.run(['sleep', '600'])\n"
    )
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from aitbc_toolkit.suites import selftest\n"
        "from aitbc_toolkit.suites.stages import Check, Stage\n"
        f"check = Check('long', (sys.executable, '-c', {deed!r}))\n"
        "stage = Stage('planted', 'planted', 60, checks=(check,))\n"
        f"selftest.Runner(Path('.'), Path({str(tmp_path)!r}), 'ci', print).run([stage])\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    log = tmp_path / "planted.log"
    eventually("the stage to begin", lambda: log.exists() and "detached" in log.read_text())

    child.send_signal(signal.SIGINT)
    child.wait(30)

    assert child.returncode != 0
    assert leftovers.running(str(tmp_path)) == {}
