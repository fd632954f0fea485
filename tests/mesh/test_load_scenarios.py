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
TRIES = 3
_MACHINE = {Verdict.INVALID, Verdict.OBJECTIVE}
"""A busy machine makes the swarm or the mesh late; at the last try that is no pass either."""


def play(folder: Path, eventually: Callable[..., None], asked: loads.Wanted) -> loads.Played:
    """Play once, on a mesh of its own."""
    with local_mesh(folder, eventually) as mesh:
        mesh.until_heights(mesh.nodes, 2)
        found = environment_of(mesh, folder / "state")
        record = folder / "run"
        record.mkdir()
        return loads.play(found, asked, record, tell=lambda *_: None)


@pytest.mark.proves("B17")
@pytest.mark.parametrize(
    "name", sorted({each.name for each in repertoire.built_in()} - set(_ELSEWHERE))
)
def test_a_built_in_scenario_is_played_on_real_nodes(
    tmp_path: Path, eventually: Callable[..., None], name: str
) -> None:
    """Each check holds, the books balance, no bot fails, and no attack succeeds: each time.

    Every role of the file has done something, and all objectives are reached, in one of three.
    """
    asked = loads.wanted(repertoire.case(name).written, seed=5, faster=RATE, longer=FOR_S)
    for number in range(TRIES):
        folder = tmp_path / str(number)
        folder.mkdir()
        played = play(folder, eventually, asked)
        told = played.told
        assert told is not None, played.record.results
        assert {row["outcome"] for row in told["checks"]} == {"held"}, told["checks"]
        books = told["books"]
        ends = sum(books[end] for end in ("final", "rejected", "expired", "pending"))
        assert books["sent"] == ends, books
        assert books["pending"] == 0, books
        assert not any(row["breaches"] or row["failures"] for row in told["roles"]), told["roles"]
        assert books["final"], books
        if played.record.verdict not in _MACHINE:
            break

    roles = {part["role"] for phase in asked.phases for part in phase["parts"]}
    assert {row["role"] for row in told["roles"] if row["sent"]} == roles, told["roles"]
    assert played.record.verdict is Verdict.PASS, told["why"]
    print(name, played.record.verdict, told["why"], told["harm_p99"])  # noqa: T201 - measured
