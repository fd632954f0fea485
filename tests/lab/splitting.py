"""Firewalls of lab hosts that part a mesh, and what its nodes say of that.

Every rule ends by itself: the addresses that are cut off are elements with a time-out of the
kernel's. SSH and RPC of this machine pass, since only hosts of the lab are cut off from each other.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from lab_mesh import LabMesh

from aitbc_node.rpc import schema
from aitbc_node.rpc.splits import Partition
from aitbc_toolkit.asking import MeshClient, open_mesh

TABLE = "aitbc_split"
RULES = """table inet {table} {{
  set cut {{ type ipv4_addr; flags timeout; elements = {{ {elements} }} }}
  chain in {{ type filter hook prerouting priority -400; ip saddr @cut drop; }}
  chain out {{ type filter hook output priority -400; ip daddr @cut drop; }}
}}"""
LEASE_S = 600

Wait = Callable[..., None]


@dataclass
class Parted:
    """A mesh in two parts, each a group of nodes: v1 on lab1 and so on."""

    hosts: LabMesh
    mesh: MeshClient
    groups: tuple[Sequence[int], ...]

    def heal(self) -> float:
        """Take all rules away, side by side; return when that was done."""
        self._everywhere(lambda _: f"nft delete table inet {TABLE}")
        return time.monotonic()

    def cut(self) -> float:
        """Let no packet pass between the groups; return when that was done."""
        self._everywhere(self._rules)
        return time.monotonic()

    def statuses(self) -> dict[str, schema.Status]:
        """Ask every node; each must answer, also in a minority."""
        told = self.mesh.ask_all(lambda node: node.status())
        return {name: each for name, each in told.items() if isinstance(each, schema.Status)}

    def heights(self, group: int) -> list[int]:
        """Return how far the nodes of one group are."""
        told = self.statuses()
        return [told[f"v{n}"].height for n in self.groups[group]]

    def each_side_tells(self) -> bool:
        """Tell whether every node names its own group as reachable, and all others as missing."""
        told = self.mesh.ask_all(lambda node: node.get("/net/partition", Partition))
        return all(
            self._tells(told[f"v{n}"], reachable=len(group)) for group in self.groups for n in group
        )

    def all_is_one(self) -> bool:
        """Tell whether every node reaches everybody."""
        told = self.mesh.ask_all(lambda node: node.get("/net/partition", Partition))
        return all(isinstance(each, Partition) and not each.unreachable for each in told.values())

    def one_head_above(self, height: int) -> bool:
        """Tell whether all nodes have the same block of a height."""
        told = self.mesh.ask_all(lambda node: node.get(f"/blocks/{height}", schema.BlockView))
        ids = {each.id if isinstance(each, schema.BlockView) else "" for each in told.values()}
        return len(ids) == 1 and "" not in ids

    def refused(self, node: int) -> httpx.Response:
        """Hand in a transaction, whatever it is, to one node."""
        url = self.hosts.environment.instance(f"v{node}").rpc_url
        return httpx.post(f"{url}/tx", json={"raw": "YQ=="}, timeout=10.0)

    def _tells(self, told: object, *, reachable: int) -> bool:
        total = sum(map(len, self.groups))
        return (
            isinstance(told, Partition)
            and told.partitioned
            and (len(told.reachable), len(told.unreachable)) == (reachable, total - reachable)
            and (told.reachable_power, told.total_power) == (reachable, total)
            and told.quorum == (3 * reachable > 2 * total)
        )

    def _rules(self, host: int) -> str:
        group = next(group for group in self.groups if host in group)
        hosts = self.hosts.environment.hosts
        others = [n for n in range(1, len(hosts) + 1) if n not in group]
        elements = ", ".join(f"{hosts[n - 1].address} timeout {LEASE_S}s" for n in others)
        return f"nft -f - <<'END'\n{RULES.format(table=TABLE, elements=elements)}\nEND"

    def _everywhere(self, command: Callable[[int], str]) -> None:
        numbers = [n for group in self.groups for n in group]
        with ThreadPoolExecutor(len(numbers)) as side_by_side:
            list(side_by_side.map(lambda n: self._on(n, command(n)), numbers))

    def _on(self, host: int, command: str) -> None:
        self.hosts.on(f"lab{host}", "sh", "-ec", command)


@contextmanager
def parted(hosts: LabMesh, *groups: Sequence[int]) -> Iterator[Parted]:
    """Name the groups; nothing is cut yet, and nothing is left cut."""
    with open_mesh(hosts.environment) as mesh:
        made = Parted(hosts, mesh, groups)
        try:
            yield made
        finally:
            for host in (n for group in groups for n in group):
                hosts.on(f"lab{host}", "sh", "-c", f"nft delete table inet {TABLE} 2>&1 || true")
