"""Hosts are looked at, backed up and mended over SSH: systemd, a user of the node's own, root."""

from collections.abc import Iterator

import pytest
from lab_mesh import LabMesh, deployed

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import backup, drift, state, validating
from aitbc_toolkit.release.occupation import at_work

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabMesh]:
    """Give the tests of this file one mesh."""
    with deployed(tmp_path_factory, "o") as made:
        yield made


@pytest.mark.proves("E56")
def test_the_doors_of_hosts_are_closed(operated: LabMesh) -> None:
    """Every node passes, and systemd itself measures how much its unit leaves open."""
    found = validating.validate(operated.environment, "security")

    items = {each.item: each for each in found.checks}
    assert found.exit is Exit.OK, found.failed
    for name in ("v1", "v2", "v3", "v4"):
        assert items[f"{name} unit hardening"].evidence.endswith("allowed 5.0")
        assert items[f"{name} unit hardening"].state == "pass"
        assert items[f"{name} admin from outside"].state == "pass"


@pytest.mark.proves("E52")
def test_a_lost_disk_comes_back_over_ssh(operated: LabMesh) -> None:
    """The archive goes to the operator and back; the node votes again, keys and user as before."""
    environment = operated.environment
    backup.backup(environment, lambda _record: None, only="v2")
    with at_work(environment, lambda _record: None) as run:
        run.crew.service("stop", ["v2"])
    data = str(environment.instance("v2").paths.data)
    operated.on("lab2", "rm", "-rf", data)

    done = backup.restore(environment, "v2", lambda _record: None)

    assert done.exit is Exit.OK, done.error
    assert state.look(environment).votes == 4
    assert operated.on("lab2", "stat", "-c", "%U %a", data).split() == ["aitbc", "750"]


def test_check_22_drift_of_units_and_edits_on_hosts_is_named_and_mended(
    operated: LabMesh,
) -> None:
    """A drop-in, an edited unit and an edited release: named, put back, and the edits kept."""
    environment = operated.environment
    unit = environment.instance("v3").paths.unit
    folder = f"/etc/systemd/system/{unit}.service.d"
    release = f"/opt/aitbc/lab-{operated.name}/v4/current/node/aitbc_node/__main__.py"
    operated.on("lab3", "mkdir", "-p", folder)
    operated.on("lab3", "sh", "-c", f"printf '[Service]\\nNice=5\\n' > {folder}/nice.conf")
    operated.on("lab3", "systemctl", "daemon-reload")
    operated.on("lab4", "sh", "-c", f"echo '# edited' >> {release}")

    found = drift.look(environment)
    drift.restage(environment, lambda _record: None)
    again = drift.look(environment)

    assert found.exit is Exit.PENDING
    assert {(each.host, each.kind) for each in found.differences} == {
        ("lab3", "unit"),
        ("lab4", "edited"),
    }
    assert "+# edited" in "\n".join(found.to_lines())
    assert again.differences == []
    assert "nice.conf" in operated.on("lab3", "ls", f"/opt/aitbc/lab-{operated.name}/edited")
    assert state.look(environment).votes == 4
