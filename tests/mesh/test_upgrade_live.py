"""An upgrade height on real processes: who knows the rules goes on, who does not ends with 78."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import newer_node
import pytest
from driven_mesh import environment_of
from local_mesh import Mesh, NodeProcess, local_mesh

from aitbc_node.keyfiles import OPERATOR_KEY
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit

pytestmark = pytest.mark.mesh

NEXT = APP_VERSION + 1
AHEAD = 40
"""Blocks that the vote has; where it comes too late it is held again."""
ATTEMPTS = 10


def planned(mesh: Mesh, capsys: pytest.CaptureFixture[str]) -> int:
    """Have three of four operators decide on a height; return it."""
    first, *others = [str(node.folder / "keys" / OPERATOR_KEY) for node in mesh.nodes[:3]]
    voters = " ".join(f"--voter {key}" for key in others)
    for _ in range(ATTEMPTS):
        height = max(node.height() for node in mesh.nodes) + AHEAD
        capsys.readouterr()
        line = f"proposal submit upgrade {height} {NEXT} --key {first} {voters} --json"
        if run(line.split()) == Exit.OK and json.loads(capsys.readouterr().out)["passed"]:
            return height
    raise AssertionError(f"{ATTEMPTS} votes came too late, {AHEAD} blocks each")


def knows(node: NodeProcess, height: int) -> bool:
    """Tell whether a node shows what is planned, or its time has come already."""
    told: Any = node.get("/status")
    if told is None:
        return not node.is_running
    return (
        told["upgrade"] == {"height": height, "app_version": NEXT} or told["height"] >= height - 1
    )


def ended(node: NodeProcess, eventually: Callable[..., None]) -> tuple[int | None, str]:
    """Wait for a node's end; return its exit status and the end of what it wrote."""
    eventually(f"the end of {node.name}", lambda: not node.is_running, deadline_s=120)
    assert node.process is not None, "it was started"
    return node.process.returncode, node.log.read_text(encoding="utf-8")[-2_000:]


@pytest.mark.proves("E42")
def test_a_release_without_the_rules_stops_before_their_height_and_a_newer_one_goes_on(
    tmp_path: Path,
    eventually: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It says `upgrade-needed`, again after a restart; the newer one takes its data as they are."""
    with local_mesh(tmp_path, eventually, rich=True, start=False) as mesh:
        *newer, older = mesh.nodes
        for node in newer:
            node.program = [str(Path(newer_node.__file__))]
        mesh.start()
        mesh.until_heights(mesh.nodes, 2)
        mesh.until_reach(mesh.nodes)
        environment = environment_of(mesh, tmp_path / "state")
        monkeypatch.setattr("aitbc_toolkit.cli.reaching.load", lambda _named: environment)
        height = planned(mesh, capsys)
        eventually(
            "the plan on every node", lambda: all(knows(node, height) for node in mesh.nodes)
        )

        first = ended(older, eventually)
        tip = older.inspect("state")["height"]
        older.start()
        again = ended(older, eventually)
        mesh.until_heights(newer, height + 3)
        older.program = newer[0].program
        older.start()
        mesh.until_heights(mesh.nodes, height + 5)

        for status, written in (first, again):
            assert status == Exit.CONFIG
            assert f"upgrade-needed {NEXT}" in written
        assert tip == height - 1
        told = [node.get("/status") for node in mesh.nodes]
        assert [each["app_version"] for each in told] == [NEXT] * 4
        mesh.common_root(mesh.nodes)
