"""Every built-in load scenario, made small, against four real node processes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from driven_mesh import environment_of
from local_mesh import local_mesh

from aitbc_toolkit.suites import loads, repertoire
from aitbc_toolkit.suites.verdicts import Verdict

pytestmark = [pytest.mark.mesh, pytest.mark.nightly]

RATE, FOR_S = 10.0, 12.0
_ELSEWHERE = {
    "load/fault-at-80": "its faults are for hosts: tests/lab plays it",
    "load/flood": "test_flood_live plays it",
    "load/leader-restart": "its fault wants a manager, as `aitbc up` has one: played by hand",
    "load/connections-10k": "test_many_streams opens as many",
}
_MACHINE = {Verdict.PASS, Verdict.INVALID, Verdict.OBJECTIVE}
"""How soon the swarm and the mesh were says this machine, too; the books say the code."""


@pytest.mark.proves("B17")
@pytest.mark.parametrize(
    "name", sorted({each.name for each in repertoire.built_in()} - set(_ELSEWHERE))
)
def test_a_built_in_scenario_is_played_on_real_nodes(
    tmp_path: Path, eventually: Callable[..., None], name: str
) -> None:
    """Each check holds, the books balance, no bot fails, and no attack succeeds."""
    with local_mesh(tmp_path, eventually) as mesh:
        mesh.until_heights(mesh.nodes, 2)
        found = environment_of(mesh, tmp_path / "state")
        folder = tmp_path / "run"
        folder.mkdir()
        asked = loads.wanted(repertoire.case(name).written, seed=5, faster=RATE, longer=FOR_S)
        played = loads.play(found, asked, folder, tell=lambda *_: None)

    told = played.told
    assert told is not None, played.record.results
    assert {row["outcome"] for row in told["checks"]} == {"held"}, told["checks"]
    books = told["books"]
    ends = sum(books[end] for end in ("final", "rejected", "expired", "pending"))
    assert books["sent"] == ends, books
    assert books["pending"] == 0, books
    assert not any(row["breaches"] or row["failures"] for row in told["roles"]), told["roles"]
    assert books["final"], books
    assert not told["roles"] or any(row["sent"] for row in told["roles"]), told["roles"]
    assert played.record.verdict in _MACHINE, told["why"]
    print(name, played.record.verdict, told["why"], told["harm_p99"])  # noqa: T201 - measured
