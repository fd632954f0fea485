"""Real hosts that start anew, and real validators that lie for a while: scenarios on a lab."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_mesh import LabMesh, deployed

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites import catalogue, collecting, playing

pytestmark = [pytest.mark.lab, pytest.mark.nightly]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabMesh]:
    """Give the tests of this file one mesh; the last of them costs a validator its seat."""
    with deployed(tmp_path_factory, "b") as mesh:
        yield mesh


@pytest.mark.parametrize(
    "scenario",
    [
        "crash/host-reboot[20s]",
        "byzantine/liar-on-hosts[withhold]",
        "byzantine/liar-on-hosts[selective]",
        "byzantine/liar-on-hosts[amnesia]",
        "byzantine/liar-on-hosts[replay]",
        "byzantine/equivocation-on-hosts[60s]",
    ],
)
def test_the_mesh_bears_it(made: LabMesh, tmp_path: Path, scenario: str) -> None:
    """It goes on meanwhile, and whoever was hit takes part again; who signed twice is punished."""
    status = playing.play_parts(
        made.environment, catalogue.parts(scenario), scenario, folder=tmp_path, seed=5
    )

    told = json.loads((tmp_path / "verdict.json").read_text())
    print(told["scenarios"], told["objectives"], told["faults"])  # noqa: T201 - measured
    assert status in {Exit.OK, Exit.OBJECTIVE}, told
    assert told["faults"][0]["bitten_at"]
    for folder in (tmp_path / collecting.FOLDER).glob("*"):  # of the one that asks for it
        assert (folder / collecting.MISSING).read_text() == ""
        assert "equivocation" in (folder / "v1.journal").read_text()
        assert "aitbc_" in (folder / "v1.metrics").read_text()
        assert "fault.bitten" in (folder / collecting.FAULT_LOG).read_text()
    assert (tmp_path / collecting.FOLDER).exists() == ("equivocation" in scenario)
