"""How does the rest of the toolkit work on hosts? It sends steps to a child that speaks pyinfra.

One child per deploy, JSON lines both ways, a deadline on every answer. Nothing here knows what a
step does; `deploys/` does, and only it imports pyinfra.
"""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from aitbc_toolkit import worker
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Host

# The child bounds each step three times over; only a child that hangs itself is slower than this.
_CHILD_GRACE_S = 40.0
_CLOSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """Hold what one host answered to one step; by our clock, when it was asked and answered."""

    host: str
    ok: bool
    answer: Mapping[str, Any]
    took_ms: int
    asked_ms: int = 0
    answered_ms: int = 0

    @property
    def error(self) -> str:
        """Say why the step failed here; empty when it did not."""
        return str(self.answer.get("error", ""))

    @property
    def hint(self) -> str:
        """Say what helps; may be empty."""
        return str(self.answer.get("hint", ""))

    @property
    def kind(self) -> str:
        """Tell which failure it was: unreachable, unknown, deadline, busy, held, lease, ..."""
        return str(self.answer.get("kind", ""))


class Hosts:
    """Run steps on the hosts of one environment; use it in a `with` block."""

    def __init__(self, environment: Environment, *, log: Path | None = None) -> None:
        self._environment = environment
        self._log = log or _log(environment)
        self._jobs = 0
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._child: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None
        with suppress(BrokenPipeError):
            child.stdin.close()
        try:
            child.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if self._reader is not None:
            self._reader.join()

    def step(
        self, step: str, params_by_host: Mapping[str, Mapping[str, Any]], *, deadline_s: int = 60
    ) -> dict[str, Row]:
        """Run one step on the named hosts side by side; return a row for each.

        Raises: AitbcError (unknown) when the child does not answer.
        """
        if not params_by_host:
            return {}
        self._jobs += 1
        job = {"job": self._jobs, "step": step, "params": params_by_host, "deadline_s": deadline_s}
        asked_ms = _wall_ms()
        self._send(job)
        rows = self._wait_for(self._jobs, step=step, timeout_s=deadline_s + _CHILD_GRACE_S)
        answered_ms = max(asked_ms, _wall_ms())
        return {
            name: Row(
                name,
                ok=bool(row["ok"]),
                answer=row,
                took_ms=int(row["took_ms"]),
                asked_ms=asked_ms,
                answered_ms=answered_ms,
            )
            for name, row in rows.items()
        }

    def _send(self, job: dict[str, Any]) -> None:
        child = self._child or self._start()
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(job) + "\n")
            child.stdin.flush()
        except BrokenPipeError as gone:
            raise self._lost("the deploy worker has ended") from gone

    def _wait_for(self, job: int, *, step: str, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._lost(f"{step} gave no answer for {timeout_s:.0f} s") from None
            if answer is None:
                raise self._lost(f"the deploy worker ended during {step}")
            if answer["job"] == job:
                rows: dict[str, Any] = answer["rows"]
                return rows

    def _lost(self, what: str) -> AitbcError:
        name = self._environment.name
        return AitbcError(
            f"outcome unknown: {what}",
            hint=f"aitbc deploy status {name}\nthe worker's own words: {self._log}",
            exit_status=Exit.UNKNOWN,
        )

    def _start(self) -> subprocess.Popen[str]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        child = worker.take(_hello(self._environment, self._log))
        assert child.stdout is not None
        self._reader = threading.Thread(target=self._read, args=[child.stdout], daemon=True)
        self._reader.start()
        self._child = child
        return child

    def _read(self, answers: IO[str]) -> None:
        with answers:
            for line in answers:
                self._answers.put(json.loads(line))
        self._answers.put(None)


def reach_early(environment: Environment) -> None:
    """Let the child that was started early connect, while other things are seen to first.

    No host is asked anything; one that cannot be reached is told when it is.
    """
    if environment.folder.is_dir():  # a command that is refused leaves no folder behind
        worker.greet(_hello(environment, _log(environment)))


def _log(environment: Environment) -> Path:
    return environment.folder / "deploys.log"


def _hello(environment: Environment, log: Path) -> str:
    hosts = {host.name: connection(host) for host in environment.hosts}
    return json.dumps({"hosts": hosts, "log": str(log)})


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def connection(host: Host) -> dict[str, Any]:
    """Say how pyinfra reaches a host: strict host keys, no agent, no key that we did not name."""
    if host.connector == "local":
        return {}
    return {
        "ssh_hostname": host.address,
        "ssh_port": host.ssh_port,
        "ssh_user": host.ssh_user,
        "ssh_key": host.ssh_key,
        "ssh_known_hosts_file": host.known_hosts,
        "ssh_strict_host_key_checking": "yes",
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
        "ssh_config_file": "/dev/null",
        "ssh_paramiko_connect_kwargs": {"banner_timeout": 5, "auth_timeout": 5},
    }
