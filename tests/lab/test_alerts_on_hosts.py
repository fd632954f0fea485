"""Faults of the suite on real hosts raise the alert that is meant for them, and heals clear it."""

from collections.abc import Iterator

import pytest
from breaking import Wait
from lab_mesh import LabMesh, deployed
from overheard import Heard, listening

from aitbc_sim import edges as algebra
from aitbc_toolkit import faults
from aitbc_toolkit.faults import Fault
from aitbc_toolkit.remote import Hosts

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

WITHIN_S = 60.0
LEASE_S = 180.0
RAISED = {
    "net.cut": "NodeCutOff",
    "proc.kill": "NodeDown",
    "proc.stop": "NodeDown",
    "disk.full": "DiskRefuses",
    "disk.readonly": "NodeDown",
    "clock.jump": "ClockOff",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabMesh]:
    """Give the tests of this file one mesh of four hosts."""
    with deployed(tmp_path_factory, "a") as mesh:
        yield mesh


@pytest.fixture(scope="module")
def heard(made: LabMesh) -> Iterator[Heard]:
    """Listen to it all the time, as an operator's collector does."""
    with listening(made.environment) as found:
        yield found


@pytest.mark.proves("E58")
@pytest.mark.parametrize("kind", sorted(RAISED))
def test_a_fault_raises_its_alert_and_its_heal_clears_it(
    made: LabMesh, heard: Heard, eventually: Wait, kind: str
) -> None:
    """Within a minute of the fault, and within a minute of its heal; about that node alone."""
    found, wanted = made.environment, (RAISED[kind], "v2")
    names = [each.name for each in found.instances]
    edges = algebra.isolate("v2", names)
    fault = Fault(kind=kind, lease_s=LEASE_S, targets=("v2",))
    if faults.KINDS[kind].hits == "links":
        fault = Fault(kind=kind, lease_s=LEASE_S, edges=edges)
    eventually("quiet", lambda: not heard.now(), deadline_s=2 * WITHIN_S)
    assert heard.collector.blind == {}

    with Hosts(found) as remote, faults.injected(found, fault, remote=remote):
        eventually(wanted[0], lambda: wanted in heard.now(), deadline_s=WITHIN_S)
        assert not [node for name, node in heard.now() if name == RAISED[kind] and node != "v2"]
    eventually("its end", lambda: wanted not in heard.now(), deadline_s=WITHIN_S)
