"""How a scenario breaks the real processes of a test: it kills them by their ids."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from local_mesh import Mesh

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites.scenario.arena import Planned


@dataclass
class Killed:
    """Tell since when processes are dead."""

    bitten_at: float
    ends_from: float
    ends_at: float
    evidence: object


class Killer:
    """Kill processes, and start them again at once or when the fault is over."""

    def __init__(self, mesh: Mesh) -> None:
        self._nodes = {node.name: node for node in mesh.nodes}

    @contextmanager
    def __call__(self, _environment: Environment, planned: Planned) -> Iterator[Killed]:
        hit = [self._nodes[name] for name in planned.targets]
        for node in hit:
            node.kill()
        pids = [node.process.pid for node in hit if node.process]
        if planned.fault == "proc.restart":  # as a supervisor does, at once
            for node in hit:
                node.start()
        ends_at = time.time() + planned.lease_s
        yield Killed(time.time(), ends_at, ends_at, {"pids": pids})
        for node in hit:
            if not node.is_running:
                node.start()
