"""What is known of a host when a fault's order is written for it, and what things are called there?

No host is asked here, and what is done to one is not said here (`orders`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from aitbc_toolkit import render
from aitbc_toolkit.faults import packets, units
from aitbc_toolkit.faults.kinds import Fault
from aitbc_toolkit.inventory import Environment, Host, Instance


@dataclass(frozen=True, slots=True)
class Site:
    """Hold what is known of one host when its order is written.

    `heard` and `told` are the hosts from which, and to which, an edge of the fault leads; `told_of`
    is what the host itself answered to a look, `addresses` those of every host. Where connections
    are `relayed`, a process of ours does what the kernel cannot.
    """

    environment: Environment
    host: Host
    fault: Fault
    id: str
    look: Mapping[str, Any]
    addresses: Mapping[str, Sequence[str]]
    heard: Sequence[str] = ()
    told: Sequence[str] = ()
    targets: Sequence[Instance] = field(default_factory=tuple)
    relayed: bool = False

    @property
    def manager(self) -> units.Units:
        """Give the words of this host's service manager."""
        return units.Units(self.host, render.manager(self.host))

    @property
    def unit(self) -> str:
        """Name the unit of a program that runs for this fault."""
        return f"{self.environment.name}-chaos-{self.id}-work"

    @property
    def folder(self) -> PurePosixPath:
        """Find where the host keeps what belongs to faults."""
        return folder(self.environment, self.host)

    def peers(self, hosts: Iterable[str]) -> list[list[Any]]:
        """List the doors of the nodes on some hosts, to be tried."""
        return [
            [each.address, each.p2p_port, each.name]
            for host in hosts
            for each in self.environment.on(host)
        ]

    def rules(
        self, chains: tuple[packets.Chain, ...], tables: tuple[str, ...] = ("inet",)
    ) -> packets.Rules:
        """Make the rules of this fault."""
        table = table_of(self.environment)
        # Every host's way in: the toolkit may run on one of them, and reach the others from there.
        ports = tuple(sorted({each.ssh_port for each in self.environment.hosts}))
        return packets.Rules(table, self.id, ports, self.fault.lease_s, chains, tables)

    def those(self, hosts: Iterable[str]) -> list[str]:
        """List the addresses of some hosts, without those that this host has itself."""
        own = set(self.addresses[self.host.name])
        found = [address for host in hosts for address in self.addresses[host]]
        return [each for each in dict.fromkeys(found) if each not in own]


def table_of(environment: Environment) -> str:
    """Name the one table that faults of an environment have on a host."""
    return f"{environment.name.replace('-', '_')}_chaos"


def folder(environment: Environment, host: Host) -> PurePosixPath:
    """Find where a host keeps what belongs to faults; a reboot clears it on hosts of their own."""
    if host.manager == "systemd":
        return PurePosixPath("/run") / f"{environment.name}-chaos"
    return host.layout.state / "chaos"
