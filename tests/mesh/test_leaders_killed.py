"""Whoever leads is killed: the others make the next block in a few seconds of the chain's time."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from local_mesh import Mesh, local_mesh

pytestmark = pytest.mark.mesh

IN_A_ROW = {"fast": 3, "ci": 3, "nightly": 10}
TRIES = 5
"""Times as many kills as are asked for: on a busy machine a process may be held for seconds, and
then it is counted anew."""
GAP_MS_MAX = 5_000
TURNS = 5
"""One more than there are voters: behind a kill the dead one's turn comes within these heights."""


def longest_gap(mesh: Mesh) -> int:
    """Kill whose turn it is, and bring it back; return the longest time between two blocks."""
    witness = mesh.read(mesh.nodes[0], "/status")
    (leader,) = [node for node in mesh.nodes if node.public["consensus_key"] == witness["proposer"]]
    leader.kill()
    others = [node for node in mesh.nodes if node is not leader]
    first = mesh.top(others)
    mesh.until_heights(others, first + TURNS + 1)

    blocks = mesh.read(others[0], f"/blocks?from={first}&count={TURNS + 2}")["blocks"]
    assert any(block["round"] for block in blocks), "the dead leader had no turn"
    leader.start()
    mesh.eventually(
        f"a vote of {leader.name}",
        lambda: leader.last_voted() > first + TURNS,
        deadline_s=120,
    )
    return max(later["time_ms"] - before["time_ms"] for before, later in pairwise(blocks))


def test_a_killed_leader_costs_five_seconds_at_most_each_time(
    tmp_path: Path,
    eventually: Callable[..., None],
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    """So many times in a row, by the times that the blocks themselves tell."""
    wanted = IN_A_ROW[pytestconfig.getoption("--tier")]
    with local_mesh(tmp_path, eventually) as mesh:
        mesh.until_heights(mesh.nodes, 2)
        gaps: list[int] = []
        while len(gaps) < TRIES * wanted:
            gaps.append(longest_gap(mesh))
            if len(gaps) >= wanted and max(gaps[-wanted:]) <= GAP_MS_MAX:
                break

        print(f"blocks apart behind each kill, in ms: {gaps}")  # noqa: T201 - measured
        record_property("gaps_ms", gaps)
        assert max(gaps[-wanted:]) <= GAP_MS_MAX, gaps
        mesh.common_root(mesh.nodes)
