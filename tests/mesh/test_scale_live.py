"""Fifty real nodes on one machine, under the engine of scenarios, its witness and its payers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from driven_mesh import environment_of
from local_mesh import Mesh, local_mesh

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites import catalogue, playing

pytestmark = [pytest.mark.mesh, pytest.mark.nightly]

SCENARIO = "scale/mesh-50[100]"
AT_ONCE = 4
SETTLED_S = 300


def start_in_turn(mesh: Mesh) -> None:
    """Start a few at a time: all at once, each would starve, and its own watchdog end it."""
    first = mesh.validators
    for node in mesh.nodes:
        known = first if node in first else first[:2]
        node.write_config(known, interval_ms=1_000, patience_ms=5_000)
    for begin in range(0, len(mesh.nodes), AT_ONCE):
        group = mesh.nodes[begin : begin + AT_ONCE]
        for node in group:
            node.start()
        mesh.eventually(
            "answers of those that were just started",
            lambda group=group: min(node.height() for node in group) >= 0,
            deadline_s=SETTLED_S,
        )


@pytest.mark.parametrize(
    ("validators", "others", "blocks"), [(10, 40, 100), (5, 3, 5)], ids=["fifty", "eight"]
)
def test_many_nodes_hold_together(
    validators: int, others: int, blocks: int, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """One height, every transfer final, links enough for each; how soon is the machine's, too."""
    text = (catalogue.folder() / "scale" / "mesh-50.yaml").read_text()
    text = text.replace("validators_min: 10, full_min: 40", f"full_min: {others}")
    path = tmp_path / "scale" / "mesh-50.yaml"
    path.parent.mkdir()
    path.write_text(text.replace("[100]", f"[{blocks}]"))
    with local_mesh(tmp_path, eventually, validators=validators, full=others, start=False) as mesh:
        start_in_turn(mesh)
        found = environment_of(mesh, tmp_path / "state")
        folder = tmp_path / "run"
        folder.mkdir()

        status = playing.play_parts(
            found, catalogue.parts(str(path)), "scale", folder=folder, seed=5
        )

    told = json.loads((folder / "verdict.json").read_text())
    print(told["scenarios"], told["objectives"])  # noqa: T201 - measured
    assert status in {Exit.OK, Exit.OBJECTIVE}, told
    assert set(told["scenarios"][0]["invariants"].values()) == {"held"}, told
