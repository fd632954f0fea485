"""From a plain Debian to a mesh that votes: bootstrap, then deploy, and what is reachable then."""

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

import pytest
from lab_mesh import clone

from aitbc_toolkit import lab as labs
from aitbc_toolkit import paths
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.lab import Lab, LabSpec, Limits
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.release import ceremony, configuring, state
from aitbc_toolkit.release.bootstrap import bootstrap
from aitbc_toolkit.release.checks import AREAS, Check
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.phases import phases
from aitbc_toolkit.release.preflight import preflight
from aitbc_toolkit.release.reading import Mesh, tip
from aitbc_toolkit.release.request import Lost
from aitbc_toolkit.release.walking import walk

pytestmark = pytest.mark.lab

HOST = """
[hosts.{name}]
connector = "lab"
uv_cache = "/srv/lab/uv-cache"
offline = true
firewall = true
"""
# Everything that an environment might listen on, and some ports that it does not.
SCANNED = (
    21,
    22,
    25,
    80,
    111,
    443,
    5353,
    *range(8590, 8610),
    *range(8700, 8720),
    *range(8760, 8763),
)

SCAN = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
def is_open(port):
    with socket.socket(family) as probe:
        probe.settimeout(2)
        return probe.connect_ex((sys.argv[1], port)) == 0
ports = sorted(map(int, sys.argv[2:]))
with ThreadPoolExecutor(len(ports)) as pool:
    print(*(port for port, found in zip(ports, pool.map(is_open, ports)) if found))
"""


def inventory_text() -> str:
    """Write an inventory of two hosts: three validators on one, who do without the other."""
    head = (paths.inventories() / "lab" / "inventory.toml").read_text().partition("[hosts.")[0]
    text = head + "".join(HOST.format(name=name) for name in ("lab1", "lab2"))
    for place, host in enumerate(("lab1", "lab1", "lab1", "lab2")):
        text += f'\n[instances.v{place + 1}]\nhost = "{host}"\n'
        own = place % 3
        text += f"ports = {{ p2p = {8600 + own}, rpc = {8710 + own}, admin = {8760 + own} }}\n"
    return text


@dataclass
class Bare:
    """Two bare hosts, and an environment on them."""

    lab: Lab
    environment: Environment
    places: Places

    def bootstrap(self) -> Sequence[str]:
        """Set both hosts up; return the changes."""
        done = bootstrap(self.environment, lambda _record: None)
        assert done.exit is Exit.OK, done.error
        return done.changed

    def failed(self, *, host: str, **different: str) -> dict[str, Check]:
        """Run a preflight, with another way to reach one host; return its failures by item."""
        changed = [
            replace(each, **different) if each.name == host else each
            for each in self.environment.hosts
        ]
        found = preflight(replace(self.environment, hosts=tuple(changed)))
        return {each.item: each for each in found.failed if each.host == host}

    def on(self, host: str, *argv: str) -> str:
        return labs.exec_in(self.lab, host, list(argv)).stdout.strip()

    def open_ports(self, *, of: str, seen_from: str, family: str = "ipv4") -> list[int]:
        """Try every port that is scanned, from another host, by one family of addresses."""
        address: str = getattr(self.lab.host(of), family)
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
        environment = Inventory.load(
            f"lab-{name}", folder=folder / "inventories", state=places.state
        )
        yield Bare(lab, environment, places)
    finally:
        labs.destroy(name, places=places)


@pytest.mark.proves("A21")
def test_check_21_preflight_names_what_a_bare_host_lacks(bare: Bare) -> None:
    """No Python, so most cannot be asked; what is missing is named, and nothing is installed."""
    found = preflight(bare.environment)

    assert found.exit is Exit.REFUSED
    assert {(each.host, each.item) for each in found.failed} == {
        ("lab1", "packages"),
        ("lab2", "packages"),
    }
    first = found.failed[0]
    assert "python3" in first.evidence
    assert first.hint == f"aitbc bootstrap {bare.environment.name} --only lab1"
    assert bare.on("lab1", "sh", "-c", "command -v python3") == ""


@pytest.mark.proves("E61")
def test_check_21_a_bare_host_is_set_up_once_and_takes_a_deploy(bare: Bare, tmp_path: Path) -> None:
    """Root's SSH is all there is; every change is told, a second run has none, a deploy works."""
    programs = ["python3", "git", "nft", "uv"]
    before = [bare.on("lab1", "sh", "-c", f"command -v {each}") for each in programs]

    first = bare.bootstrap()
    again = bare.bootstrap()
    checkout = clone(tmp_path)
    done = deploy(bare.environment, Request(checkout=checkout), lambda _record: None)

    assert before == ["", "", "", ""]
    assert {"lab1: package python3", "lab1: user aitbc", "lab2: firewall"} <= set(first)
    assert any(change.startswith("lab2: uv==") for change in first)
    assert list(again) == []
    assert done.exit is Exit.OK, done.error
    found = preflight(bare.environment, checkout=checkout)
    assert found.failed == []
    assert {each.area for each in found.checks} == set(AREAS)
    assert all(each.evidence for each in found.checks)
    walked = [each.state for each in walk(phases(bare.environment))]
    assert walked == ["pass"] * 4


def test_keys_leave_their_hosts_encrypted_to_the_operator_and_no_other_way(
    bare: Bare, tmp_path: Path
) -> None:
    """A backup opens with the operator's key alone, and holds the keys but no sign state."""
    operator = tmp_path / "operator"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(operator)]
    subprocess.run(make, check=True)
    secret = bare.on("lab1", "cat", "/var/lib/aitbc-keys/v1/consensus.key")
    body = secret.splitlines()[1]

    done = ceremony.backup(
        bare.environment,
        lambda _record: None,
        recipient=operator.with_suffix(".pub"),
        folder=tmp_path / "kept",
    )
    sealed = {path.name: path.read_text() for path in (tmp_path / "kept").iterdir()}
    bare.on("lab1", "sh", "-c", f"cat > /root/operator <<'EOF'\n{operator.read_text()}EOF\n")
    there = "umask 077; chmod 600 /root/operator; age --decrypt --identity /root/operator"
    opened = labs.exec_in(
        bare.lab,
        "lab1",
        ["sh", "-c", f"{there} | tar -t"],
        stdin=sealed["v1.tar.age"],
    ).stdout.split()

    assert done.exit is Exit.OK
    assert set(sealed) == {f"v{number}.tar.age" for number in range(1, 5)}
    assert all(body not in text for text in sealed.values())
    assert opened == ["v1/consensus.key", "v1/node.key", "v1/operator.key"]


def test_one_genesis_is_found_on_every_host_and_another_is_named(bare: Bare) -> None:
    """The file of every node and the chain that it runs; a changed file is found."""
    equal = ceremony.compare(bare.environment)
    path = "/etc/aitbc/v4/genesis.json"
    bare.on("lab2", "sh", "-c", f"cp {path} /root/kept; sed -i s/aitd/aite/g {path}")

    other = ceremony.compare(bare.environment)
    bare.on("lab2", "sh", "-c", f"cat /root/kept > {path}")

    assert len(equal.checks) == 8
    assert {each.state for each in equal.checks} == {"pass"}
    assert [each.item for each in other.failed] == ["v4: file"]


@pytest.mark.proves("E62")
def test_only_ssh_p2p_and_rpc_are_reachable(bare: Bare) -> None:
    """From another host, by both families: the inventory's ports and no other; admin at home."""
    stray = ["python3", "-m", "http.server", "--bind", "::", "8705"]
    bare.on("lab1", "systemd-run", "--unit=stray", *stray)

    found = bare.open_ports(of="lab1", seen_from="lab2")
    found_6 = bare.open_ports(of="lab1", seen_from="lab2", family="ipv6")
    at_home = [
        bare.on("lab1", "python3", "-c", SCAN, address, "8705") for address in ("127.0.0.1", "::1")
    ]
    admin = bare.on("lab1", "ss", "-Hltn", "( sport >= :8760 and sport <= :8762 )")

    assert at_home == ["8705", "8705"], "it listens, so it is the firewall that is silent"
    assert found == [22, 8600, 8601, 8602, 8710, 8711, 8712]
    assert found_6 == [22], "nodes listen on the address of the inventory, which is one of IPv4"
    local = sorted(line.split()[3] for line in admin.splitlines())
    assert local == [f"127.0.0.1:{port}" for port in (8760, 8761, 8762)]
    assert bare.on("lab1", "systemctl", "is-enabled", "aitbc-firewall") == "enabled"


@pytest.mark.proves("E48")
def test_weak_ssh_access_is_refused_with_the_command_that_mends_it(
    bare: Bare, tmp_path: Path
) -> None:
    """An unknown key of a host, a changed one, and a host that wants a password: never let pass."""
    address = bare.lab.host("lab2").ipv4
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    unknown, changed = tmp_path / "unknown", tmp_path / "changed"
    unknown.touch()
    changed.write_text(f"{address} {' '.join((tmp_path / 'key.pub').read_text().split()[:2])}\n")

    found = [
        bare.failed(host="lab2", known_hosts=str(unknown))["access"],
        bare.failed(host="lab2", known_hosts=str(changed))["access"],
        bare.failed(host="lab2", ssh_key=str(key))["access"],
    ]

    assert [each.hint.splitlines()[0] for each in found] == [
        f"ssh-keyscan -p 22 -t ed25519 {address} >> {unknown}",
        "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub   # on the host: the same fingerprint?",
        f"ssh-copy-id -i {key}.pub -p 22 root@{address}   # a key, not a password",
    ]
    assert unknown.read_text() == "", "an unknown key was taken for granted"


@pytest.mark.proves("A21")
def test_all_that_a_host_lacks_is_named_at_once(bare: Bare) -> None:
    """Disk, port, git access and clock are wrong on one host: one preflight tells all four."""
    unit = f"aitbc-{bare.environment.name}-v4"
    late = "#!/bin/sh\nexec /bin/date -d '8 seconds ago' \"$@\"\n"
    script = f"""
systemctl stop {unit}
systemd-run --unit=squatter python3 -m http.server 8600
mv /root/.ssh/id_ed25519 /root/.ssh/away
printf %s {quote(late)} > /usr/local/bin/date
chmod +x /usr/local/bin/date
fallocate -l $(($(df --output=avail -k / | tail -n 1) - 200000))K /filled
"""
    bare.on("lab2", "sh", "-euc", script)

    found = bare.failed(host="lab2")
    mended = "rm /filled /usr/local/bin/date; mv /root/.ssh/away /root/.ssh/id_ed25519"
    bare.on("lab2", "sh", "-euc", f"{mended}; systemctl stop squatter; systemctl start {unit}")

    assert set(found) == {"disk", "ports", "git remote", "clock"}
    assert "8600 (p2p) of v4" in found["ports"].evidence
    assert "behind this machine" in found["clock"].evidence
    assert all(each.hint for each in found.values())
    assert bare.failed(host="lab2") == {}


def put_age_within_reach(cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the operator's `age` out of the package that bare hosts install theirs from."""
    (package,) = (cache / "packages").glob("age_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    monkeypatch.setenv("PATH", f"{folder}/usr/bin:{os.environ['PATH']}")


def lose_everything(bare: Bare, host: str) -> None:
    """End what runs of the mesh on a host and remove every file of it."""
    script = """
units=$(systemctl list-unit-files 'aitbc-*' --plain --no-legend | cut -d' ' -f1)
systemctl disable --now $units
rm -rf /opt/aitbc /var/lib/aitbc /var/lib/aitbc-keys /etc/aitbc /etc/systemd/system/aitbc-*
systemctl daemon-reload
"""
    bare.on(host, "sh", "-euc", script)


@pytest.mark.proves("E63")
def test_a_host_that_lost_everything_comes_back_from_peers_and_its_sealed_keys(
    bare: Bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bootstrap and one deploy: the same keys, blocks of the others, no signature from before."""
    environment, records = bare.environment, list[Mapping[str, object]]()
    put_age_within_reach(bare.places.cache, tmp_path / "age", monkeypatch)
    identity = tmp_path / "operator"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(identity)]
    subprocess.run(make, check=True)
    ceremony.backup(environment, records.append, recipient=identity.with_suffix(".pub"))
    hashes = "sha256sum /var/lib/aitbc-keys/v4/*.key"
    before = bare.on("lab2", "sh", "-c", hashes)
    lose_everything(bare, "lab2")
    with Mesh(environment) as mesh:
        lost_at = tip(mesh.statuses())
    assert bare.on("lab2", "sh", "-c", "ls -d /opt/aitbc* /var/lib/aitbc* || true") == ""

    bare.bootstrap()
    lost = Lost("lab2", identity, "its disk is destroyed")
    request = Request(checkout=clone(tmp_path), lost=lost)
    done = deploy(environment, request, records.append)

    assert done.exit is Exit.OK, done.error
    assert list(done.changed) == ["v4"]
    assert bare.on("lab2", "sh", "-c", hashes) == before
    assert state.look(environment).votes == 4
    told = [str(each["text"]) for each in records if "sign from height" in str(each)][-1]
    not_before = int(told.partition("height ")[2].partition(" ")[0].replace(",", ""))
    key = (configuring.known_keys(environment) or {})["v4"]["consensus_key"]
    with Mesh(environment) as mesh:
        height = min(each.height for each in mesh.statuses().values() if each)
        roots = mesh.roots(height)
        blocks = mesh.blocks(lost_at + 4, tip(mesh.statuses()))
    signed = [each.height - 1 for each in blocks if key in each.last_commit.signers]
    assert set(roots) == {"v1", "v2", "v3", "v4"}
    assert len(set(roots.values())) == 1
    assert min(signed) >= not_before > lost_at + 2
