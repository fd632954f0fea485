"""Two processes with one key sign twice, and the chain takes half of its bond for each offence."""

import shutil
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import contrary_node
import pytest
import unguarded_node
from local_mesh import Mesh, NodeProcess, local_mesh

from aitbc_node.keyfiles import CONSENSUS_KEY

pytestmark = pytest.mark.mesh

COIN = 1_000_000


def twins_of(mesh: Mesh) -> tuple[NodeProcess, NodeProcess]:
    """Let two processes hold the key of the first validator, without a guard and of two minds."""
    first, twin = mesh.nodes[0], mesh.nodes[-1]
    for name in (CONSENSUS_KEY, "sign_state"):
        shutil.copy(first.folder / "keys" / name, twin.folder / "keys" / name)
    first.program = [str(Path(unguarded_node.__file__))]
    twin.program = [str(Path(contrary_node.__file__))]
    return first, twin


def offences(mesh: Mesh, node: NodeProcess, top: int) -> list[dict[str, Any]]:
    """Collect what the blocks of a node show, block by block."""
    blocks = [mesh.read(node, f"/blocks/{height}") for height in range(1, top + 1)]
    return [shown for block in blocks for shown in block["evidence"]]


def seconds_between(mesh: Mesh, node: NodeProcess, heights: Iterable[int]) -> list[float]:
    """Return how long after each other these blocks were made, by their own times."""
    times = [mesh.read(node, f"/blocks/{height}")["time_ms"] for height in heights]
    return [(later - before) / 1_000 for before, later in pairwise(times)]


def report(mesh: Mesh, node: NodeProcess, top: int) -> str:
    """Say how soon the first offence was shown, and how far blocks were apart."""
    blocks = [mesh.read(node, f"/blocks/{height}") for height in range(1, top + 1)]
    shown = next(block for block in blocks if block["evidence"])
    offence = max(2, shown["evidence"][0]["height"])  # the first block has the genesis' time
    (detected_s,) = seconds_between(mesh, node, (offence, shown["height"]))
    gaps = seconds_between(mesh, node, range(2, top + 1))
    return f"shown {detected_s:.1f} s after it, blocks at most {max(gaps):.1f} s apart"


@pytest.mark.proves("C33")
@pytest.mark.nightly  # minutes on a busy machine
def test_a_double_signer_loses_half_for_each_offence_once_and_everywhere(
    tmp_path: Path,
    eventually: Callable[..., None],
    record_property: Callable[[str, object], None],
) -> None:
    """Nobody submits anything: nodes see both messages, and a block shows them by itself.

    Each height is punished once, the vote is gone with the epoch, and the others go on.
    """
    with local_mesh(tmp_path, eventually, waiting=1, start=False) as mesh:
        first, twin = twins_of(mesh)
        honest = mesh.nodes[1:-1]
        address = first.public["operator_address"]

        def told(node: NodeProcess) -> Any:
            return mesh.read(node, f"/state/validators/{address}")

        mesh.start()
        eventually(
            "a punished double signer",
            lambda: all(told(node)["status"] == "jailed" for node in honest),
            deadline_s=240,
        )
        first.kill()
        twin.kill()
        eventually(
            "an epoch without its vote",
            lambda: all(told(node)["power"] == 0 for node in honest),
            deadline_s=120,
        )
        mesh.grow(honest, 3)

        found: list[dict[str, Any]] = []

        def add_up() -> bool:
            """Tell whether every bond is what the blocks up to one height make of it."""
            top = min(mesh.top([node]) for node in honest)
            shown = [offences(mesh, node, top) for node in honest]
            assert shown[0] == shown[1] == shown[2]
            left = COIN
            for _ in shown[0]:
                left -= left * 5_000 // 10_000
            found[:] = shown[0]
            return {told(node)["bonded"] for node in honest} == {str(left)}

        eventually("bonds that are halved once for each offence shown", add_up, deadline_s=120)
        heights = [each["height"] for each in found]
        assert {each["key"] for each in found} == {first.public["consensus_key"]}
        assert len(set(heights)) == len(heights)
        mesh.common_root(honest)
        for node in honest:
            assert mesh.read(node, "/audit")["violations"] == []
        told_times = report(mesh, honest[0], min(mesh.top([node]) for node in honest))
        print(told_times)  # noqa: T201 - reported
        record_property("times", told_times)
