"""Several workers make one run: what each did adds up, and one that is lost is not passed over."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pretend_swarm import a_fake_mesh, a_swarm, an_order, is_believed, played_whole

from aitbc_load.histograms import Latencies
from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.suites import from_python as swarm
from aitbc_toolkit.suites import loads
from aitbc_toolkit.suites.swarm import Swarm
from aitbc_toolkit.suites.verdicts import Verdict

PARTS = [
    {"role": "user", "bots": 3, "pause_s": 0.3},
    {"role": "spammer", "rate": 6.0},
]
PHASES = [{"name": "all", "for_s": 2.0, "rate": 60.0, "parts": PARTS}]


def parents() -> dict[int, int]:
    """Map each process of a swarm to the one that started it."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"aitbc_load" in (folder / "cmdline").read_bytes():
                found[int(folder.name)] = int((folder / "stat").read_text().split()[3])
    return found


def workers_of_this() -> list[int]:
    """List the workers of the coordinator that this process has started."""
    known = parents()
    (coordinator,) = (pid for pid, parent in known.items() if parent == os.getpid())
    return [pid for pid, parent in known.items() if parent == coordinator]


def is_alive(pid: int) -> bool:
    """Tell whether a process still runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_two_workers_make_one_run(tmp_path: Path) -> None:
    """Rates are shared, no account is; books, histograms, phases and bots add up exactly."""
    seconds: list[dict[str, Any]] = []
    tried = list[Path]()

    def play() -> dict[str, Any]:
        seconds.clear()
        tried.append(tmp_path / f"run-{len(tried)}")
        tried[-1].mkdir()
        with a_fake_mesh(strict=True) as ports:
            order = an_order(tried[-1], ports, rate=60.0, for_s=2.0, phases=PHASES, workers=2)
            return a_swarm(order, seconds).run()

    result = played_whole(play)

    assert {each["outcome"] for each in result["checks"]} == {"held"}, result["checks"]
    is_late = not is_believed(result) or any("the clock of" in why for why in result["why"])
    assert result["verdict"] == "PASS" or is_late, result["why"]
    books = result["books"]
    assert (books["sent"], books["final"]) == (120, 120)
    assert Latencies.from_wire(result["to_final"]["histogram"]).count == 120
    (phase,) = result["phases"]
    assert (phase["asked"], phase["offered"], phase["to_final"]["count"]) == (120, 120, 120)
    roles = {each["role"]: each for each in result["roles"]}
    assert roles["user"]["lives"] == {"succeeded": 3}
    assert roles["spammer"]["sent"] > 0
    assert [each["sent"] for each in result["workers"]] == [60, 60]
    assert all(each["clock_offset_ms"] is not None for each in result["workers"])
    assert result["generator"]["workers"] == 2
    assert sum(each["offered"] for each in seconds) <= 120
    assert (tried[-1] / "worker-1" / "swarm.log").exists()


BABBLER = """
import sys
from pathlib import Path
from aitbc_load.orders import Way
from aitbc_load.swarm.minding import LostError, Worker

way = Way(host="", argv=("sh", "-c", "echo no json; read line"))
worker = Worker(0, way, Path(sys.argv[1]))
try:
    worker.expect("funds")
except LostError as lost:
    print(lost)
worker.end()
"""


def test_a_worker_that_says_what_nobody_understands_is_lost(tmp_path: Path) -> None:
    """Nobody waits for it for ever: it is told which words they were."""
    argv = [sys.executable, "-c", BABBLER, str(tmp_path)]
    told = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout

    assert told == "it said what nobody understands: no json\n"


def test_a_worker_that_is_killed_makes_the_run_invalid(tmp_path: Path) -> None:
    """The run ends soon, and says which worker was lost, and that nobody knows what it sent."""
    killed: list[int] = []

    def kill_one(_swarm: Swarm) -> None:
        if not killed:
            killed.append(workers_of_this()[0])
            os.kill(killed[0], signal.SIGKILL)

    with a_fake_mesh() as ports:
        order = an_order(tmp_path, ports, for_s=600.0, workers=2)
        result = a_swarm(order, [], each_second=kill_one).run()

    assert result["verdict"] == "INVALID"
    assert "was lost: it ended with status -9 and no result" in result["why"][0]
    lost, other = sorted(result["workers"], key=lambda row: row["lost"] == "")
    assert (lost["sent"], lost["verdict"]) == (None, "INVALID")
    assert other["sent"] > 0
    assert result["books"]["pending"] == 0


@pytest.mark.proves("B12")
@pytest.mark.nightly
def test_ten_workers_of_which_two_are_lost_finish_the_run(tmp_path: Path) -> None:
    """One is killed, one frozen: the eight others take over their load and their bots.

    The run ends when it should, and names both losses, for which it is INVALID.
    """
    gone: list[int] = []

    def lose_two(_swarm: Swarm) -> None:
        if not gone:
            gone.extend(workers_of_this()[:2])
            os.kill(gone[0], signal.SIGKILL)
            os.kill(gone[1], signal.SIGSTOP)

    parts = [{"role": "user", "bots": 20, "pause_s": 0.3}]
    phases = [{"name": "all", "for_s": 30.0, "rate": 40.0, "parts": parts}]
    with a_fake_mesh(strict=True) as ports:
        order = an_order(tmp_path, ports, rate=40.0, for_s=30.0, phases=phases, workers=10)
        result = a_swarm(order, [], each_second=lose_two).run()

    assert result["verdict"] == "INVALID"
    assert sum("was lost: " in why for why in result["why"]) == 2
    whys = sorted(row["lost"] for row in result["workers"] if row["lost"])
    assert whys[0] == "it ended with status -9 and no result"
    assert whys[1].startswith("it said nothing for ")
    assert result["took_s"] > 29.0
    (phase,) = result["phases"]
    assert phase["offered"] == phase["asked"] > 8 * 120, "more than the eight had of their own"
    books = result["books"]
    assert (books["sent"], books["final"]) == (phase["offered"], phase["offered"])
    (users,) = result["roles"]
    assert sum(users["lives"].values()) == 20
    assert {each["outcome"] for each in result["checks"]} == {"held"}, result["checks"]


@pytest.mark.nightly
def test_workers_whose_coordinator_is_silent_send_nothing_more(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """It lives and beats no more, as when a cable is cut: the workers end, and so does the run."""
    found: list[int] = []

    def freeze(_swarm: Swarm) -> None:
        if not found:
            found.extend(workers_of_this())
            coordinator = parents()[found[0]]
            os.kill(coordinator, signal.SIGSTOP)
            try:
                eventually("both workers have ended", lambda: not any(map(is_alive, found)))
            finally:
                os.kill(coordinator, signal.SIGCONT)

    with a_fake_mesh() as ports:
        order = an_order(tmp_path, ports, for_s=600.0, workers=2)
        with pytest.raises(AitbcError, match="every worker was lost"):
            a_swarm(order, [], each_second=freeze).run()
    assert len(found) == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"rate": float("nan")}, "nan transactions a second cannot be asked for"),
        ({"rate": float("inf")}, "inf transactions a second cannot be asked for"),
        ({"rate": 0.0}, "0 transactions a second cannot be asked for"),
        ({"rate": -1.0}, "-1 transactions a second cannot be asked for"),
        ({"for_s": float("nan")}, "nan seconds cannot be asked for"),
        ({"for_s": float("inf")}, "inf seconds cannot be asked for"),
        ({"workers": 0}, "0 workers cannot share a run"),
        ({"workers": 65}, "65 workers cannot share a run"),
    ],
)
def test_what_no_run_can_be_asked_for_is_refused_in_python_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], said: str
) -> None:
    """As options are on the command line: before a run is begun, and by what is wrong."""
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda *_: tmp_path / "state")
    monkeypatch.setattr(loads, "play", lambda *_, **__: pytest.fail("it was played"))

    with pytest.raises(UsageError, match=said):
        swarm.run("load/steady", "dev", **asked)

    assert not (tmp_path / "state" / "runs").exists()


def test_a_test_in_python_lets_a_swarm_run(
    fake_mesh: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets what came of it as an object, and its own process is patched by nothing."""
    fake_mesh.tell_fates()
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda: tmp_path / "state")

    outcome = swarm.run("load/steady", fake_mesh.environment, rate=4.0, for_s=1.0)

    assert outcome.final == 4
    assert outcome.verdict in {Verdict.PASS, Verdict.INVALID}  # whether this machine was in time
    p99_ms = outcome.percentile_ms("p99")
    assert p99_ms is not None
    assert p99_ms > 0
    assert (outcome.folder / "result.json").exists()
    assert "gevent" not in sys.modules
