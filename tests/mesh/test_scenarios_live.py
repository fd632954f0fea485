"""Scenario files against real node processes, which a test kills by their ids."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from driven_mesh import environment_of
from killing import Killer
from local_mesh import local_mesh

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites import catalogue, playing

pytestmark = pytest.mark.mesh


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
