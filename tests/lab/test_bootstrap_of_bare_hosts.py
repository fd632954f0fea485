"""From a plain Debian to a mesh that votes: bootstrap, then deploy, and what is reachable then."""

import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from aitbc_toolkit import lab as labs
from aitbc_toolkit import paths
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.lab import Lab, LabSpec, Limits
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.release.bootstrap import bootstrap
from aitbc_toolkit.release.deploy import Request, deploy

pytestmark = pytest.mark.lab

HOST = """
[hosts.{name}]
connector = "lab"
uv_cache = "/srv/lab/uv-cache"
offline = true
firewall = true
"""
# Everything that an environment might listen on, and some ports that it does not.
SCANNED = (21, 22, 25, 80, 111, 443, 5353, *range(8590, 8610), *range(8700, 8720), 8760, 8761)

SCAN = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def is_open(port):
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((sys.argv[1], port)) == 0
ports = sorted(map(int, sys.argv[2:]))
with ThreadPoolExecutor(len(ports)) as pool:
    print(*(port for port, found in zip(ports, pool.map(is_open, ports)) if found))
"""


def inventory_text() -> str:
    """Write an inventory of two hosts with two validators each."""
    head = (paths.inventories() / "lab" / "inventory.toml").read_text().partition("[hosts.")[0]
    text = head + "".join(HOST.format(name=name) for name in ("lab1", "lab2"))
    for place, host in enumerate(("lab1", "lab1", "lab2", "lab2")):
        text += f'\n[instances.v{place + 1}]\nhost = "{host}"\n'
        own = place % 2
        text += f"ports = {{ p2p = {8600 + own}, rpc = {8710 + own}, admin = {8760 + own} }}\n"
    return text


@dataclass
class Bare:
    """Two bare hosts, and an environment on them."""

    lab: Lab
    environment: Environment

    def bootstrap(self) -> Sequence[str]:
        """Set both hosts up; return the changes."""
        done = bootstrap(self.environment, lambda _record: None)
        assert done.exit is Exit.OK, done.error
        return done.changed

    def on(self, host: str, *argv: str) -> str:
        return labs.exec_in(self.lab, host, list(argv)).stdout.strip()

    def open_ports(self, *, of: str, seen_from: str) -> list[int]:
        """Try every port that is scanned, from another host."""
        address = self.lab.host(of).ipv4
        found = self.on(seen_from, "python3", "-c", SCAN, address, *map(str, SCANNED))
        return [int(port) for port in found.split()]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    """Bring up two hosts of a plain Debian, and the forge."""
    folder = tmp_path_factory.mktemp("bare")
    places = Places(state=folder / "state")
    name = f"b{secrets.token_hex(3)}"
    spec = LabSpec(name, 2, Limits(memory_mib=1408, disk_mib=896), bare=True)
    lab = labs.bring_up(spec, progress=print, places=places, owner_pid=os.getpid())
    written = folder / "inventories" / "lab" / "inventory.toml"
    written.parent.mkdir(parents=True)
    written.write_text(inventory_text())
    try:
        yield Bare(
            lab, Inventory.load(f"lab-{name}", folder=folder / "inventories", state=places.state)
        )
    finally:
        labs.destroy(name, places=places)


def test_check_21_a_bare_host_is_set_up_once_and_takes_a_deploy(bare: Bare, tmp_path: Path) -> None:
    """Root's SSH is all there is; every change is told, a second run has none, a deploy works."""
    programs = ["python3", "git", "nft", "uv"]
    before = [bare.on("lab1", "sh", "-c", f"command -v {each}") for each in programs]

    first = bare.bootstrap()
    again = bare.bootstrap()
    checkout = tmp_path / "clone"
    clone = ["git", "clone", "--quiet", "--no-hardlinks", str(paths.project_root()), str(checkout)]
    subprocess.run(clone, check=True)
    done = deploy(bare.environment, Request(checkout=checkout), lambda _record: None)

    assert before == ["", "", "", ""]
    assert {"lab1: package python3", "lab1: user aitbc", "lab2: firewall"} <= set(first)
    assert any(change.startswith("lab2: uv==") for change in first)
    assert list(again) == []
    assert done.exit is Exit.OK, done.error


@pytest.mark.proves("E62")
def test_only_ssh_p2p_and_rpc_are_reachable(bare: Bare) -> None:
    """From another host: the ports of the inventory and no other; admin answers on loopback."""
    bare.on("lab1", "systemd-run", "--unit=stray", "python3", "-m", "http.server", "8705")

    found = bare.open_ports(of="lab1", seen_from="lab2")
    at_home = bare.on("lab1", "python3", "-c", SCAN, "127.0.0.1", "8705")
    admin = bare.on("lab1", "ss", "-Hltn", "( sport = :8760 or sport = :8761 )")

    assert at_home == "8705", "it listens, so it is the firewall that is silent"
    assert found == [22, 8600, 8601, 8710, 8711]
    assert all(line.split()[3].startswith("127.0.0.1:") for line in admin.splitlines())
    assert bare.on("lab1", "systemctl", "is-enabled", "aitbc-firewall") == "enabled"
