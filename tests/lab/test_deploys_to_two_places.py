"""One environment on two machines: two validators on this one, two on another over SSH."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import own_ports
import pytest
from lab_mesh import clone

from aitbc_toolkit import lab as labs
from aitbc_toolkit import paths
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.lab import LabSpec, Limits
from aitbc_toolkit.lab.addresses import controller_addresses
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.reading import Mesh

pytestmark = pytest.mark.lab

HOSTS = """
[hosts.localhost]
connector = "local"
address = "{address}"
manager = "supervisord"
root = ".aitbc/here"
run_as = ""
python = "@toolkit"
uv = "@toolkit"

[hosts.lab1]
connector = "lab"
uv_cache = "/srv/lab/uv-cache"
offline = true
"""


def inventory_text(address: str) -> str:
    """Write an inventory of two validators on this machine and two on the lab's first host."""
    head = (paths.inventories() / "lab" / "inventory.toml").read_text().partition("[hosts.")[0]
    text = head + HOSTS.format(address=address)
    ports = own_ports.take(6)
    for place, (name, host) in enumerate(
        [("v1", "localhost"), ("v2", "localhost"), ("v3", "lab1"), ("v4", "lab1")]
    ):
        own = ports[3 * place : 3 * place + 3] or [8600 + place, 8710 + place, 8760 + place]
        p2p, rpc, admin = own
        text += f'\n[instances.{name}]\nhost = "{host}"\n'
        text += f"ports = {{ p2p = {p2p}, rpc = {rpc}, admin = {admin} }}\n"
    return text


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    """Bring up one lab host and the forge; stop the nodes here and end the lab afterwards."""
    places = Places(state=tmp_path / "state")
    spec = LabSpec(f"h{secrets.token_hex(3)}", 1, Limits(memory_mib=1024, disk_mib=640))
    lab = labs.bring_up(spec, progress=print, places=places, owner_pid=os.getpid())
    folder = tmp_path / "inventories" / "lab"
    folder.mkdir(parents=True)
    (folder / "inventory.toml").write_text(inventory_text(controller_addresses(lab.slot)[0]))
    found = Inventory.load(f"lab-{spec.name}", folder=folder.parent, state=places.state)
    try:
        yield found
    finally:
        with at_work(found, lambda _record: None) as run:
            run.crew.shut_down(wipe=True)
        labs.destroy(spec.name, places=places)


@pytest.mark.proves("E44")
def test_both_come_to_the_same_commit_genesis_and_height(
    environment: Environment, tmp_path: Path
) -> None:
    """One deploy, a local and a remote host, two service managers, one chain."""
    checkout = clone(tmp_path)

    done = deploy(environment, Request(checkout=checkout), lambda _record: None)

    assert done.exit is Exit.OK, done.error
    with Mesh(environment) as mesh:
        statuses = mesh.statuses()
    told = [status for status in statuses.values() if status is not None]
    assert len(told) == 4
    assert {status.commit for status in told} == {done.facts["commit"]}
    assert len({status.genesis_hash for status in told}) == 1
    assert max(status.height for status in told) - min(status.height for status in told) <= 1
    assert all(status.height > 0 for status in told)
