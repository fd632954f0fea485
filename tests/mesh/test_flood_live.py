"""A stranger floods one of four real nodes while a swarm hands in: every check of it holds.

That the built-in scenario passes is not shown here: on a machine that others use, how soon the
swarm and the mesh were is INVALID or OBJECTIVE more often than not.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from driven_mesh import environment_of
from local_mesh import local_mesh

from aitbc_toolkit.suites import loads, repertoire
from aitbc_toolkit.suites.verdicts import Verdict

pytestmark = [pytest.mark.mesh, pytest.mark.nightly]


def test_a_flood_of_junk_is_dropped_while_the_chain_goes_on(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Thousands of frames, banned keys, and no harm but to the figures of a busy machine."""
    case = repertoire.case("load/flood")
    with local_mesh(tmp_path, eventually) as mesh:
        mesh.until_heights(mesh.nodes, 2)
        found = environment_of(mesh, tmp_path / "state")
        folder = tmp_path / "run"
        folder.mkdir()
        asked = loads.wanted(case.written, seed=5, faster=None, longer=None, case=case)

        record = loads.play(found, asked, folder, tell=lambda *_: None).record

    told = json.loads((folder / "verdict.json").read_text())
    # How quick it is says the machine, too: what was offered late, and intervals.
    assert record.verdict in {Verdict.PASS, Verdict.OBJECTIVE, Verdict.INVALID}, told
    words = told["scenarios"][0]["invariants"].values()
    assert {word.partition(":")[0] for word in words} <= {"held", "unknown"}, told
    (flood,) = told["faults"]
    (figures,) = flood["evidence"].values()
    assert figures["bans"] >= 1, flood
    assert figures["frames"] > 100, flood
    assert "interval_growth" in [row["name"] for row in told["objectives"]]
    print(record.verdict, told["objectives"], figures)  # noqa: T201 - measured
