"""What is done to real hosts while a swarm hands in: faults at a rate of one's own, and a flood."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_mesh import LabMesh, deployed

from aitbc_toolkit.suites import collecting, loads, repertoire
from aitbc_toolkit.suites.verdicts import Verdict

pytestmark = [pytest.mark.lab, pytest.mark.nightly]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabMesh]:
    """Give the tests of this file one mesh; what they do to it heals."""
    with deployed(tmp_path_factory, "l") as mesh:
        yield mesh


@pytest.mark.parametrize(
    ("scenario", "records"),
    [
        ("load/fault-at-80", {"t_rate_after_kill", "t_rate_in_cut", "t_rate_after_cut"}),
        ("load/flood", {"interval_growth"}),
    ],
)
def test_it_is_borne_under_load(
    made: LabMesh, tmp_path: Path, scenario: str, records: set[str]
) -> None:
    """Nothing is unsafe, lost or stuck, and what is to be measured was.

    How quick it is says the machine as well: a late swarm is INVALID, a slow mesh OBJECTIVE.
    """
    case = repertoire.case(scenario)
    asked = loads.wanted(case.written, seed=5, faster=50, longer=None, case=case)

    record = loads.play(made.environment, asked, tmp_path, tell=lambda *_: None).record

    told = json.loads((tmp_path / "verdict.json").read_text())
    print(told["verdict"], told["scenarios"], told["objectives"])  # noqa: T201 - measured
    assert record.verdict in {Verdict.PASS, Verdict.OBJECTIVE, Verdict.INVALID}, told
    assert all(fault["bitten_at"] and fault["ended"] for fault in told["faults"]), told
    measured = {row["name"] for row in told["objectives"] if row["measured"] is not None}
    assert records <= measured, told
    words = told["scenarios"][0]["invariants"].values()
    assert "broken" not in {word.partition(":")[0] for word in words}, told
    if record.verdict is not Verdict.PASS:
        (folder,) = (tmp_path / collecting.FOLDER).iterdir()
        assert (folder / "v1.journal").stat().st_size, told
