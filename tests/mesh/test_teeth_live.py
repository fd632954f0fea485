"""Node processes with a planted bug: the scenario that is named for it turns red, as it should."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import planted_node
import pytest
from driven_mesh import environment_of
from killing import Killed, Killer
from local_mesh import local_mesh

from aitbc_sim.live_bugs import FORGET, FORK, LOSE
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import catalogue, playing
from aitbc_toolkit.suites.scenario.arena import Planned
from aitbc_toolkit.suites.verdicts import Verdict, exit_of

pytestmark = [pytest.mark.mesh, pytest.mark.nightly]


class Asker:
    """Ask a node for its fork in the place of a fault; nothing else happens."""

    def __init__(self, asked: Path) -> None:
        self._asked = asked

    @contextmanager
    def __call__(self, _environment: Environment, planned: Planned) -> Iterator[Killed]:
        self._asked.touch()
        ends_at = time.time() + planned.lease_s
        yield Killed(time.time(), ends_at, ends_at, {"asked": str(self._asked)})


@pytest.mark.parametrize(
    ("bug", "scenario", "breach"),
    [
        ("mint-one", "crash/leader-kill[1]", "supply_conserved"),
        (FORK, "crash/leader-kill[1]", "agreement"),
        (LOSE, "crash/all-at-once", "height_monotone"),
        (FORGET, "crash/leader-kill[1]", "accepted_tx_final"),
    ],
)
def test_a_bug_in_the_node_turns_its_scenario_red(
    bug: str, scenario: str, breach: str, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Safety is broken, the invariant is named, and no other one is made up."""
    with local_mesh(tmp_path, eventually, start=False) as mesh:
        asked = tmp_path / "asked"
        for node in mesh.nodes[3:] if bug == FORK else mesh.nodes:
            node.program = [str(Path(planted_node.__file__)), bug, str(asked)]
        mesh.start()
        mesh.until_heights(mesh.nodes, 2)
        found = environment_of(mesh, tmp_path / "state")
        folder = tmp_path / "run"
        folder.mkdir()
        inject = Asker(asked) if bug == FORK else Killer(mesh)

        status = playing.play_parts(
            found, catalogue.parts(scenario), scenario, folder=folder, seed=5, inject=inject
        )

    told = json.loads((folder / "verdict.json").read_text())
    assert (status, told["verdict"]) == (exit_of(Verdict.SAFETY), Verdict.SAFETY), told
    [scene] = told["scenarios"]
    assert scene["invariants"][breach] == "broken", told
