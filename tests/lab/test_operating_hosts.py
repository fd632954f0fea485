"""Hosts are looked at, backed up and mended over SSH: systemd, a user of the node's own, root."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from aitbc_toolkit import lab as labs
from aitbc_toolkit import paths
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.lab import LabSpec, Limits
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.release import backup, drift, state, validating
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.occupation import at_work

pytestmark = pytest.mark.lab


@dataclass
class Operated:
    """A lab of four hosts with a deployed mesh."""

    name: str
    places: Places

    @property
    def environment(self) -> Environment:
        return Inventory.load(f"lab-{self.name}", state=self.places.state)

    def on(self, host: str, *argv: str) -> str:
        """Run a command on a host."""
        lab = labs.load_lab(self.name, places=self.places)
        return labs.exec_in(lab, host, list(argv)).stdout


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """Bring up four hosts and the forge, and deploy the committed state of this checkout."""
    places = Places(state=tmp_path_factory.mktemp("state"))
    checkout = tmp_path_factory.mktemp("clone") / "aitbc"
    clone = ["git", "clone", "--quiet", "--no-hardlinks", str(paths.project_root()), str(checkout)]
    subprocess.run(clone, check=True)
    spec = LabSpec(f"o{secrets.token_hex(3)}", 4, Limits(memory_mib=1024, disk_mib=640))
    labs.bring_up(spec, progress=print, places=places, owner_pid=os.getpid())
    made = Operated(spec.name, places)
    try:
        first = deploy(made.environment, Request(checkout=checkout), lambda _record: None)
        assert first.exit is Exit.OK, first.error
        yield made
    finally:
        labs.destroy(spec.name, places=places)


@pytest.mark.proves("E56")
def test_the_doors_of_hosts_are_closed(operated: Operated) -> None:
    """Every node passes, and systemd itself measures how much its unit leaves open."""
    found = validating.validate(operated.environment, "security")

    items = {each.item: each for each in found.checks}
    assert found.exit is Exit.OK, found.failed
    for name in ("v1", "v2", "v3", "v4"):
        assert items[f"{name} unit hardening"].evidence.endswith("allowed 5.0")
        assert items[f"{name} unit hardening"].state == "pass"
        assert items[f"{name} admin from outside"].state == "pass"


@pytest.mark.proves("E52")
def test_a_lost_disk_comes_back_over_ssh(operated: Operated) -> None:
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
    operated: Operated,
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
