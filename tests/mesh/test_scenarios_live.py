"""Scenario files against real node processes, which a test kills by their ids."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from driven_mesh import environment_of
from local_mesh import Mesh, local_mesh

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import catalogue, playing
from aitbc_toolkit.suites.scenario.arena import Planned

pytestmark = pytest.mark.mesh


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
        yield Killed(time.time(), time.time() + planned.lease_s, {"pids": pids})
        for node in hit:
            if not node.is_running:
                node.start()


@pytest.mark.nightly  # tests/toolkit/test_scenario_*.py show in seconds what the engine does
@pytest.mark.parametrize("name", ["crash/leader-kill[1]", "crash/all-at-once"])
def test_processes_are_killed_and_the_mesh_comes_back(
    name: str, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """A built-in scenario on four real processes, under load: a pass, with every invariant held."""
    with local_mesh(tmp_path, eventually) as mesh:
        mesh.until_heights(mesh.nodes, 2)
        found = environment_of(mesh, tmp_path / "state")
        folder = tmp_path / "run"
        folder.mkdir()

        status = playing.play_parts(
            found, catalogue.parts(name), name, folder=folder, seed=5, inject=Killer(mesh)
        )

    told = json.loads((folder / "verdict.json").read_text())
    assert status in {Exit.OK, Exit.OBJECTIVE}, told  # how quick it is says the machine, too
    assert set(told["scenarios"][0]["invariants"].values()) == {"held"}, told
    assert told["faults"][0]["evidence"]["pids"]
    load = [json.loads(line) for line in (folder / "load.jsonl").read_text().splitlines()]
    assert sum(row["accepted"] for row in load) > 0
