"""How does a test attack a node, and how does it see what that costs the others?

The attacker is a process of its own with a bounded share of a processor: what it takes itself must
not be taken for what it does to others. Calm and attack take turns many times in one run, and the
middle of many short windows is compared: what else the machine does meets both alike.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
from local_mesh import DEADLINE_S, Mesh, NodeProcess

from aitbc_toolkit.lab import cgroups
from aitbc_toolkit.suites.strangers import Victim

ROGUE = Path(__file__).with_name("rogue.py")
PROCESSOR_PERCENT = 50
PERIOD_US = 100_000
PACE_S = 0.01
INTERVAL_MORE_MAX = 1.5
ANSWER_MORE_MAX = 2.0


class Attacker:
    """Be the process, and the lines that it has said."""

    def __init__(self, process: "subprocess.Popen[str]", bound: str) -> None:
        self.bound = bound
        self.lines: list[str] = []
        self._process = process
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def said(self, what: str, *, after: int = 0) -> bool:
        """Tell whether a line behind the first so many contains this."""
        return any(what in line for line in self.lines[after:])

    def switch(self, *, on: bool) -> None:
        """Let it attack, or let it be gone."""
        assert self._process.stdin is not None
        self._process.stdin.write("on\n" if on else "off\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """Let it end; return its figures."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=DEADLINE_S)
        self._listener.join(timeout=DEADLINE_S)
        figures: dict[str, Any] = json.loads(self.lines[-1])
        return {**figures, "bound": self.bound}

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.strip())


@contextlib.contextmanager
def attacker(node: NodeProcess, kind: str) -> Iterator[Attacker]:
    """Have somebody who means harm to a node, switched off at first."""
    genesis = str(node.folder / "genesis.json")
    victim = Victim(node.p2p, node.rpc, node.public["peer_id"], genesis)
    argv = [sys.executable, str(ROGUE), kind, msgspec.json.encode(victim).decode()]
    with (
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child,
        share_of_a_processor(child.pid) as bound,
    ):
        try:
            yield Attacker(child, bound)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()


@contextlib.contextmanager
def share_of_a_processor(process: int) -> Iterator[str]:
    """Bound what a process may take, by a cgroup where we may make one; say how it is bound."""
    folder = _cgroup(f"aitbc-rogue-{process}")
    if folder is None:
        os.setpriority(os.PRIO_PROCESS, process, 19)
        yield "nice 19"
        return
    try:
        quota_us = PROCESSOR_PERCENT * PERIOD_US // 100
        for name, value in {
            "cpu.max": f"{quota_us} {PERIOD_US}",
            "cpu.cfs_quota_us": str(quota_us),
        }.items():
            if (folder / name).exists():
                (folder / name).write_text(value, encoding="ascii")
        (folder / "cgroup.procs").write_text(str(process), encoding="ascii")
        yield f"cgroup, {PROCESSOR_PERCENT} % of a processor"
    finally:
        cgroups.remove([folder])


def _cgroup(name: str) -> Path | None:
    """Make a folder in a hierarchy that bounds processors; None where this user may not."""
    for tree in cgroups.hierarchies():
        folder = tree.base / name
        with contextlib.suppress(OSError):
            folder.mkdir()
            if (folder / "cpu.max").exists() or (folder / "cpu.cfs_quota_us").exists():
                return folder
            folder.rmdir()
    return None


class Window(NamedTuple):
    """Be what was seen for a while. Units: ms."""

    interval_p95: float
    answer_p99: float


class Watch:
    """See what an attack on a node does to the blocks, and to an honest client of that node."""

    def __init__(self, mesh: Mesh, victim: NodeProcess) -> None:
        self.calm: list[Window] = []
        self.attacked: list[Window] = []
        self._mesh, self._victim = mesh, victim
        self._quiet = mesh.nodes[-1]

    def window(self, seconds: float) -> Window:
        """Watch for a while."""
        first, answers = self._mesh.top([self._quiet]), list[float]()
        pace, until = threading.Event(), time.monotonic() + seconds
        while time.monotonic() < until:
            answers.append(_answer_ms(self._victim))
            pace.wait(PACE_S)
        self._mesh.grow([self._quiet], 1)
        intervals = self._intervals(first, self._mesh.top([self._quiet]))
        return Window(statistics.quantiles(intervals, n=20)[-1], _p99(answers))

    def take_turns(self, rogue: Attacker, seconds: float, *, rounds: range) -> None:
        """Watch calm and attack in turn; more often than the least where they are not alike yet.

        A true difference does not go away with more windows; the luck of a busy machine does.
        """
        for number in range(rounds.stop):
            self.calm.append(self.window(seconds))
            rogue.switch(on=True)
            self.attacked.append(self.window(seconds))
            rogue.switch(on=False)
            if number + 1 >= rounds.start and self.is_borne:
                return

    @property
    def growth(self) -> tuple[float, float]:
        """Return by which factors blocks and answers took longer: middle against middle."""
        calm, attacked = (
            [statistics.median(column) for column in zip(*windows, strict=True)]
            for windows in (self.calm, self.attacked)
        )
        return attacked[0] / calm[0], attacked[1] / calm[1]

    @property
    def is_borne(self) -> bool:
        """Tell whether both are below what an attack may cost."""
        interval, answer = self.growth
        return interval < INTERVAL_MORE_MAX and answer < ANSWER_MORE_MAX

    def told(self) -> dict[str, object]:
        """Say what was seen."""
        interval, answer = self.growth
        return {
            "windows": len(self.calm),
            "interval_p95_ms": _pair(self.calm, self.attacked, 0),
            "interval_growth": f"{interval - 1:+.0%}",
            "answer_p99_ms": _pair(self.calm, self.attacked, 1),
            "answer_factor": round(answer, 2),
        }

    def _intervals(self, first: int, last: int) -> list[int]:
        times = [
            self._mesh.read(self._quiet, f"/blocks/{height}")["time_ms"]
            for height in range(first, last + 1)
        ]
        return [later - earlier for earlier, later in pairwise(times)]


def _pair(calm: Sequence[Window], attacked: Sequence[Window], column: int) -> str:
    """Say the middle of the windows in calm and under attack."""
    first, second = (
        statistics.median(window[column] for window in windows) for windows in (calm, attacked)
    )
    return f"{first:.1f} in calm, {second:.1f} under attack"


def _answer_ms(node: NodeProcess) -> float:
    """Ask as an honest client does, again where it gets no answer: the wait counts."""
    began, pace = time.monotonic(), threading.Event()
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if node.client.get("/status").is_success:
                return 1_000 * (time.monotonic() - began)
        assert time.monotonic() < began + DEADLINE_S, f"no answer of {node.name}"
        pace.wait(PACE_S)


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[-1]


def memory_mib(node: NodeProcess, what: str = "VmRSS") -> float:
    """Read how much memory a node holds, or with VmHWM the most that it ever held."""
    assert node.process is not None
    status = Path(f"/proc/{node.process.pid}/status").read_text(encoding="ascii")
    return int(status.split(f"{what}:")[1].split()[0]) / 1_024
