"""What is there to know about one environment before any host is asked?

Its rules, its nodes, how the voting power lies on hosts and failure domains, and what it would
share with others. Nothing here is measured; what runs is the business of `release.state`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from aitbc_toolkit import declared, inventory, neighbours
from aitbc_toolkit.declared import Declared
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Instance, Inventory


@dataclass(frozen=True, slots=True)
class Description:
    """Hold one environment as its files say it; without its lab it has no nodes yet."""

    name: str
    written: Declared
    nodes: Sequence[Instance]
    absent: str
    hosts: Mapping[str, int]
    domains: Mapping[str, int]
    warnings: Sequence[str]

    def to_document(self) -> dict[str, Any]:
        """Write the one document of `--json`."""
        return {
            "name": self.name,
            **msgspec.to_builtins(self.written),
            "power": {
                "total": sum(self.hosts.values()),
                "hosts": dict(self.hosts),
                "domains": dict(self.domains),
            },
            "warnings": list(self.warnings),
        }

    def to_lines(self) -> list[str]:
        """Write it for people."""
        lines = [f"{self.name}: chain {self.written.chain.id}"]
        for section in (self.written.environment, self.written.chain, self.written.profile):
            for key, value in msgspec.to_builtins(section).items():
                lines.append(f"  {key:<20} {_shown(value)}")
        total = sum(self.hosts.values())
        lines.append(f"  {'power':<20} {total}, by failure domain and host:")
        for domain, power in self.domains.items():
            lines.append(f"    {domain:<18} {power} of {total} ({self._on(domain)})")
        if self.absent:
            lines.append(f"  {'nodes':<20} {self.absent}")
        return lines + [
            f"  {each.name:<6} {each.role:<10} on {each.host:<12} {each.rpc_url}"
            for each in self.nodes
        ]

    def _on(self, domain: str) -> str:
        hosts = self.written.hosts
        own = {name: power for name, power in self.hosts.items() if domain == name}
        own |= {name: power for name, power in self.hosts.items() if hosts[name].domain == domain}
        return ", ".join(f"{name} {power}" for name, power in own.items())


def describe(name: str) -> Description:
    """Read one environment.

    Raises: UsageError for a name that does not exist, ConfigError for what is wrong inside.
    """
    written = Inventory.read(name)
    nodes: Sequence[Instance] = ()
    absent, clashes = "", []
    try:
        found = Inventory.load(name)
        nodes, clashes = found.instances, neighbours.clashes(found)
    except AitbcError as not_there:
        absent = not_there.message
    return Description(
        name=inventory.canonical_name(name),
        written=written,
        nodes=nodes,
        absent=absent,
        hosts=declared.shares(written, by="host"),
        domains=declared.shares(written, by="domain"),
        warnings=[
            *(f"{each}: its loss stops the mesh" for each in declared.overweight(written)),
            *map(str, clashes),
        ],
    )


def _shown(value: object) -> str:
    if not isinstance(value, Mapping):
        return str(value) or "none"
    return ", ".join(f"{name} ({entry['mint_policy']})" for name, entry in value.items()) or "none"
