"""Faults on lab hosts whose injector dies, and what those hosts then show."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitbc_toolkit.faults import planning
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.remote import Hosts

Wait = Callable[..., None]


@dataclass(frozen=True)
class Orphan:
    """Hold when a fault began whose injector is dead, and what it had shown by then."""

    began_at: float
    lease_s: float
    evidence: dict[str, Any]

    @property
    def age_s(self) -> float:
        """Count from the beginning of its lease."""
        return time.time() - self.began_at


def orphaned(
    environment: Environment,
    kind: str,
    *words: str,
    lease_s: float,
    wait: Wait,
    proved: bool = True,
) -> Orphan:
    """Inject a fault, and kill who did with SIGKILL once it bites, three seconds in at least.

    Where nobody asks whether it is `proved`, a lease may be over before it could be.
    """
    expected = ["fault.begin", "fault.proved"] if proved else ["fault.begin"]
    script = Path(__file__).with_name("fault_runner.py")
    argv = [sys.executable, str(script), environment.name, str(environment.state)]
    argv += [str(environment.inventories), kind, f"{lease_s:g}", *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        try:
            told = [json.loads(runner.stdout.readline() or "{}") for _ in expected]
            assert [each.get("kind") for each in told] == expected, told
            found = Orphan(told[0]["began_at"], lease_s, told[-1]["evidence"])
            wait("the third second", lambda: found.age_s >= min(3.0, lease_s / 2))
        finally:
            runner.kill()
    return found


def looks(environment: Environment, remote: Hosts) -> dict[str, Any]:
    """Let every host say whom of the others it reaches, and what faults are there or were."""
    names = {host.name for host in environment.hosts}
    return planning.look(environment, remote, {n: names - {n} for n in names}, probe=False)


def is_whole(told: dict[str, Any]) -> bool:
    """Tell whether every pair of hosts connects, and nothing of any fault is left anywhere."""
    return not any(
        any(answer["reached"].values()) or answer["active"] or answer["residue"]
        for answer in told.values()
    )
