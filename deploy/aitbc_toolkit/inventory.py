"""Which environments exist, and where is everything of one: hosts, nodes, addresses, folders?

The file says what is wanted (`declared`); what a lab knows about its own hosts is read from the
record that the lab wrote. Do not talk to hosts here.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

from aitbc_toolkit import lab_record, paths, widening
from aitbc_toolkit.declared import (
    NAME,
    Alerts,
    Chain,
    Declared,
    EnvironmentRules,
    HostEntry,
    InstanceEntry,
    Profile,
    nearest,
)
from aitbc_toolkit.errors import AitbcError, ConfigError, UsageError
from aitbc_toolkit.lab_record import LAB
from aitbc_toolkit.layout import InstancePaths, Layout
from aitbc_toolkit.mistakes import parse

ALIASES = {"development": "dev", "local": "dev", "stage": "staging", "prod": "production"}

LOOPBACK = "127.0.0.1"
LOOPBACKS = (LOOPBACK, "::1")
_TOOLKIT = "@toolkit"


@dataclass(frozen=True, slots=True)
class Host:
    """Say everything that is needed to work on one host."""

    name: str
    connector: Literal["local", "ssh"]
    address: str
    address6: str
    ssh_port: int
    ssh_user: str
    ssh_key: str
    known_hosts: str
    manager: Literal["systemd", "supervisord"]
    run_as: str
    python: str
    uv: str
    uv_cache: str
    offline: bool
    domain: str
    firewall: bool
    layout: Layout


@dataclass(frozen=True, slots=True)
class Instance:
    """Say everything about one node that does not need its keys."""

    name: str
    host: str
    role: Literal["validator", "full"]
    power: int
    address: str
    address6: str
    p2p_port: int
    rpc_port: int
    admin_port: int
    rpc_url: str
    paths: InstancePaths

    @property
    def listens_on(self) -> str:
        """Give the address to listen on; with both families of IP that is every one of the host."""
        return "::" if self.address6 else self.address

    @property
    def addresses(self) -> tuple[str, ...]:
        """List where it is reached: one address, or one of each family."""
        return tuple(filter(None, (self.address, self.address6)))

    def way_to(self, other: "Instance") -> str:
        """Give the first address of another node in a family that this one has, "" for none."""
        own = {":" in address for address in self.addresses}
        return next((each for each in other.addresses if (":" in each) in own), "")


_Named = TypeVar("_Named", Host, Instance)


@dataclass(frozen=True, slots=True)
class Environment:
    """Hold one environment with every host found; what the rest of the toolkit works with."""

    name: str
    rules: EnvironmentRules
    chain: Chain
    profile: Profile
    alerts: Alerts
    hosts: tuple[Host, ...]
    instances: tuple[Instance, ...]
    state: Path
    inventories: Path
    lab: str

    @property
    def folder(self) -> Path:
        """Find the operator's folder of this environment: genesis, history, faucet key."""
        return self.state / "envs" / self.name

    @property
    def validators(self) -> tuple[Instance, ...]:
        """List the instances that vote."""
        return tuple(each for each in self.instances if each.role == "validator")

    def host(self, name: str) -> Host:
        """Find a host by its name."""
        return _find(self.hosts, name, what=f"{self.name} has no host")

    def instance(self, name: str) -> Instance:
        """Find an instance by its name.

        Raises: UsageError with the nearest name.
        """
        return _find(self.instances, name, what=f"{self.name} has no node")

    def on(self, host: str) -> tuple[Instance, ...]:
        """List the instances of one host."""
        return tuple(each for each in self.instances if each.host == host)


class Inventory:
    """Find environments by name."""

    @classmethod
    def read(cls, name: str, *, folder: Path | None = None) -> Declared:
        """Read and judge the file of an environment, without looking for its hosts.

        Raises: UsageError for a name that does not exist, ConfigError for what is wrong inside.
        """
        root = folder or paths.inventories()
        path = root / base_name(name, folder=root) / "inventory.toml"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as wrong:
            raise ConfigError(f"{path} cannot be read: {wrong}", hint=f"edit {path}") from wrong
        return parse(text, path=path)

    @classmethod
    def load(
        cls,
        name: str,
        *,
        folder: Path | None = None,
        state: Path | None = None,
        reachable: bool = True,
    ) -> Environment:
        """Read an environment and find its hosts.

        Unless `reachable`, hosts of a lab that is not there have no address.
        Raises: as `read`; AitbcError when its lab is not there or lacks a host.
        """
        root = folder or paths.inventories()
        written = cls.read(name, folder=root)
        canonical = canonical_name(name, folder=root)
        where = paths.state_root(state)
        written = widening.widened(written, widening.read(where / "envs" / canonical))
        try:
            found = lab_record.hosts_of(written, canonical, state=where)
        except AitbcError:
            if reachable:
                raise
            found = {}
        return _environment(written, name=canonical, state=where, root=root, found=found)


def names(folder: Path | None = None) -> tuple[str, ...]:
    """List the environments that have an inventory."""
    root = folder or paths.inventories()
    return tuple(sorted(each.parent.name for each in root.glob("*/inventory.toml")))


def base_name(name: str, *, folder: Path | None = None) -> str:
    """Find which inventory an environment's name means: `lab-demo` uses that of `lab`.

    Raises: UsageError with the nearest name.
    """
    known = names(folder)
    wanted = ALIASES.get(name, name)
    if wanted in known:
        return wanted
    lab = wanted.removeprefix(f"{LAB}-")
    if LAB in known and lab != wanted and NAME.fullmatch(lab):
        return LAB
    near = nearest(name, [*known, *ALIASES])
    raise UsageError(
        f"unknown environment {name!r}" + (f", the nearest is {near}" if near else ""),
        hint=f"the environments are {', '.join(known)} and lab-NAME",
    )


def canonical_name(name: str, *, folder: Path | None = None) -> str:
    """Give the one spelling of an environment's name."""
    base = base_name(name, folder=folder)
    wanted = ALIASES.get(name, name)
    return wanted if base == LAB and wanted != f"{LAB}-{LAB}" else base


def _environment(
    written: Declared, *, name: str, state: Path, root: Path, found: Mapping[str, Any]
) -> Environment:
    hosts = {
        host: _host(host, entry, environment=name, found=found, state=state)
        for host, entry in written.hosts.items()
    }
    return Environment(
        name=name,
        rules=written.environment,
        chain=written.chain,
        profile=written.profile,
        alerts=written.alerts,
        hosts=tuple(hosts.values()),
        instances=tuple(
            _instance(each, entry, host=hosts[entry.host], profile=written.profile)
            for each, entry in written.instances.items()
        ),
        state=state,
        inventories=root,
        lab=lab_record.name_of(name) if lab_record.is_used(written) else "",
    )


def _host(
    name: str, entry: HostEntry, *, environment: str, found: Mapping[str, Any], state: Path
) -> Host:
    record = found.get(name, {})
    program = Path(sys.executable)
    own = LOOPBACK if entry.connector == "local" else ""
    root = Path(entry.root).expanduser()
    if not root.is_absolute():
        # `.aitbc` moves with the operator's state folder; other relative roots with the checkout.
        inside = root.parts[:1] == (".aitbc",)
        root = state.joinpath(*root.parts[1:]) if inside else paths.project_root() / root
    return Host(
        name=name,
        connector="local" if entry.connector == "local" else "ssh",
        address=record.get("ipv4") or record.get("ipv6") or entry.address or own,
        address6=record["ipv6"] if record.get("dual") else entry.address6,
        ssh_port=record.get("port") or entry.ssh_port,
        ssh_user=entry.ssh_user,
        ssh_key=record.get("key") or _file(entry.ssh_key),
        known_hosts=record.get("known_hosts") or _file(entry.known_hosts),
        manager=entry.manager,
        run_as=entry.run_as,
        python=str(program) if entry.python == _TOOLKIT else entry.python,
        uv=str(program.with_name("uv")) if entry.uv == _TOOLKIT else entry.uv,
        uv_cache=entry.uv_cache,
        offline=entry.offline,
        domain=entry.domain or name,
        firewall=entry.firewall,
        layout=Layout(PurePosixPath(root), environment),
    )


def _file(written: str) -> str:
    return str((paths.project_root() / Path(written).expanduser()).resolve()) if written else ""


def _instance(name: str, entry: InstanceEntry, *, host: Host, profile: Profile) -> Instance:
    is_loopback = profile.rpc_bind == "loopback"
    reached = LOOPBACK if is_loopback and host.address not in LOOPBACKS else host.address
    shown = f"[{reached}]" if ":" in reached else reached
    return Instance(
        name=name,
        host=host.name,
        role=entry.role,
        power=entry.power if entry.role == "validator" else 0,
        address=reached,
        address6="" if is_loopback else host.address6,
        p2p_port=entry.ports.p2p,
        rpc_port=entry.ports.rpc,
        admin_port=entry.ports.admin,
        rpc_url=f"http://{shown}:{entry.ports.rpc}",
        paths=host.layout.instance(name),
    )


def _find(known: tuple[_Named, ...], name: str, *, what: str) -> _Named:
    for each in known:
        if each.name == name:
            return each
    near = nearest(name, [each.name for each in known])
    raise UsageError(
        f"{what} {name!r}" + (f", the nearest is {near}" if near else ""),
        hint=f"it has {', '.join(each.name for each in known)}",
    )
