"""What would a fault do, host by host, and why may it not? Looks at hosts, and changes nothing.

What a plan shows is what `injecting` sends: both are made here.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aitbc_toolkit import render, telling
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.faults import kinds, links, orders, packets, rebooting, sites
from aitbc_toolkit.faults.kinds import KINDS, Fault
from aitbc_toolkit.faults.links import Cap, Radius
from aitbc_toolkit.faults.orders import Order
from aitbc_toolkit.faults.sites import Site
from aitbc_toolkit.inventory import Environment, Host
from aitbc_toolkit.remote import Hosts, Row

LOOK_S = 30


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold a fault with the order of each host; `refusals` says which host cannot, and why."""

    environment: Environment
    fault: Fault
    id: str
    radius: Radius
    orders: tuple[Order, ...]
    refusals: Mapping[str, str]

    def to_document(self) -> dict[str, Any]:
        """Write the one document of `--json`."""
        return {
            "environment": self.environment.name,
            "kind": self.fault.kind,
            "about": self.fault.about,
            "lease_s": self.fault.lease_s,
            "targets": list(self.fault.targets),
            "edges": sorted(map(list, self.fault.edges)),
            "nodes_hit": list(self.radius.nodes),
            "power_hit": self.radius.power,
            "power_total": self.radius.power_total,
            "refusals": dict(self.refusals),
            "hosts": {
                each.host: {"do": list(each.do), "undo": each.undo, "proofs": list(each.proofs)}
                for each in self.orders
            },
        }

    def to_lines(self) -> list[str]:
        """Write it for people: the edges, then the exact commands of every host."""
        lines = [f"{self.fault.about}: {self.radius}"]
        for source in sorted({a for a, _ in self.fault.edges}):
            cut = " ".join(sorted(b for a, b in self.fault.edges if a == source))
            lines.append(f"  {source} -> {cut}")
        for each in self.orders:
            lines.append(f"{each.host}:")
            lines += [f"  {line}" for text in each.do for line in text.splitlines()]
            lines.append(f"  # after {self.fault.lease_s:g} s, by {each.host} itself:")
            lines += [f"  {line}" for line in each.undo.splitlines()]
            proofs = ", ".join(
                f"{proof.get('node', '')} {proof['what']}".strip() for proof in each.proofs
            )
            lines.append(f"  # proved by: {proofs or 'what its peers see'}")
        return [*lines, *(f"{host}: refused: {why}" for host, why in self.refusals.items())]


def plan(environment: Environment, fault: Fault, remote: Hosts, *, cap: Cap | None = None) -> Plan:
    """Judge a fault, look at its hosts, and write the order of each.

    Raises: UsageError, AitbcError (denied, refused, unreachable).
    """
    kinds.judge(fault)
    cap = cap or Cap()
    links.judge(environment, fault, cap)
    links.spare_neighbours(environment, fault)
    edges = links.between_hosts(environment, fault.edges)
    hosts = {name for edge in edges for name in edge}
    hosts |= {environment.instance(name).host for name in fault.targets}
    others = {name: {host for edge in edges if name in edge for host in edge} for name in hosts}
    looks = look(environment, remote, {name: others[name] - {name} for name in hosts})
    links.judge(environment, fault, cap, beside=_broken(environment, remote, looks, cap))
    hit = links.radius(environment, fault)
    addresses = {name: _addresses(environment.host(name), looks[name]) for name in hosts}
    name, relayed = _name(), _needs_relay(environment, fault, looks)
    found = [
        Site(
            environment,
            environment.host(host),
            fault,
            name,
            looks[host],
            addresses,
            heard=sorted(a for a, b in edges if b == host),
            told=sorted(b for a, b in edges if a == host),
            targets=[each for each in environment.on(host) if each.name in fault.targets],
            relayed=relayed,
        )
        for host in sorted(hosts)
    ]
    refusals = {site.host.name: why for site in found if (why := _refusal(site))}
    able = [site for site in found if site.host.name not in refusals and _has_part(site)]
    return Plan(environment, fault, name, hit, tuple(map(orders.write, able)), refusals)


def look(
    environment: Environment,
    remote: Hosts,
    peers: Mapping[str, Iterable[str]],
    *,
    probe: bool = True,
) -> dict[str, Mapping[str, Any]]:
    """Let hosts tell what can be done to them, and whom of their peers they reach.

    Raises: AitbcError (unreachable) when one of them does not answer.
    """
    params = documents(environment, peers, probe=probe)
    for name, document in params.items():
        document["peers"] = [
            [each.address, each.p2p_port, each.name]
            for host in sorted(peers[name])
            for each in environment.on(host)
        ]
    rows = remote.step("fault-look", params, deadline_s=LOOK_S)
    require(environment, rows, status=Exit.UNREACHABLE)
    return {name: row.answer for name, row in rows.items()}


def documents(
    environment: Environment, hosts: Iterable[str], **more: Any
) -> dict[str, dict[str, Any]]:
    """Write what each of these hosts is told in every step of a fault."""
    return {
        name: {
            **telling.host(environment.host(name)),
            "manager": render.manager(environment.host(name)),
            "instances": [telling.node(each) for each in environment.on(name)],
            "mesh": environment.name,
            "chaos": str(sites.folder(environment, environment.host(name))),
            "table": sites.table_of(environment),
            **more,
        }
        for name in hosts
    }


def require(environment: Environment, rows: Mapping[str, Row], *, status: Exit) -> None:
    """Raise one error that names every host which did not do its step.

    Raises: AitbcError with this status.
    """
    bad = [f"  {row.host:<14} {row.error}" for row in rows.values() if not row.ok]
    if bad:
        head = f"chaos {environment.name} failed: {len(bad)} of {len(rows)} hosts cannot"
        raise AitbcError(
            "\n".join([head, *bad]),
            hint=f"aitbc chaos status -e {environment.name}",
            exit_status=status,
        )


def _broken(
    environment: Environment, remote: Hosts, looks: Mapping[str, Mapping[str, Any]], cap: Cap
) -> set[str]:
    """Name the nodes that other faults hit now, or whose host is silent, where that matters.

    Hosts that have no part in this fault are asked, too; a silent one may be rebooting.
    """
    rest = {each.name for each in environment.hosts} - looks.keys()
    bounds = cap.power_percent < 100 or cap.nodes < len(environment.instances)  # noqa: PLR2004 - all of it
    if not bounds:
        return set()
    params = documents(environment, rest, probe=False, peers=[])
    rows = remote.step("fault-look", params, deadline_s=LOOK_S)
    told = [*looks.values(), *(row.answer for row in rows.values() if row.ok)]
    hit = {name for each in told for record in each["active"] for name in record["nodes"]}
    silent = [host for host, row in rows.items() if not row.ok]
    return hit | {each.name for host in silent for each in environment.on(host)}


def _name() -> str:
    """Draw a name for a fault, one that its queue can have, too."""
    while not packets.names_a_queue(name := secrets.token_hex(4)):
        pass
    return name


def _addresses(host: Host, look: Mapping[str, Any]) -> list[str]:
    """List what a host is reached by: what is written of it, and what it tells itself."""
    return list(dict.fromkeys([host.address, *look["addresses"]]))


def _refusal(site: Site) -> str:
    """Say why a host cannot be given the fault."""
    if why := _is_spared(site):
        return why
    offers, kind = site.look["offers"], KINDS[site.fault.kind]
    needs = kind.relay_needs if site.relayed else kind.needs
    lacking = [f"{need}: {offers[need]}" for need in needs if offers[need]]
    if lacking:
        return "; ".join(lacking)
    if site.relayed:
        others = [each["about"] for each in site.look["active"] if each["kind"] == site.fault.kind]
        return f"it relays already: {others[0]}" if others else ""
    if site.told and "tc-rate" in needs:
        if not site.look["device"]:
            return "its peers are not all reached over one interface"
        if site.look["queue"]:
            return f"{site.look['device']} has a queue already: {site.look['queue']}"
    held = [
        f"{each.name} is held already: {other['about']}"
        for each in site.targets
        for other in site.look["active"]
        if kinds.grips(site.fault.kind) and kinds.grips(other["kind"])
        if each.name in other["targets"]
    ]
    if held:
        return "; ".join(held)
    down = [each.name for each in site.targets if not site.look["processes"][each.name]]
    if down:
        return f"{' '.join(down)} does not run"
    return ""


def _is_spared(site: Site) -> str:
    """Say why a host, or a node on it, must not be hit like that, whatever it offers."""
    if kinds.lies(site.fault.kind):
        voiceless = [each.name for each in site.targets if not each.power]
        return f"{' '.join(voiceless)} has no vote to lie with" if voiceless else ""
    if site.fault.kind != rebooting.KIND:
        return ""
    if site.host.connector == "local":
        return "the toolkit itself runs on it"
    others = [each.name for each in site.environment.on(site.host.name) if each not in site.targets]
    return f"{' '.join(others)} would go down with it: name all of its nodes" if others else ""


def _needs_relay(
    environment: Environment, fault: Fault, looks: Mapping[str, Mapping[str, Any]]
) -> bool:
    """Tell whether a relay stands in for what a lab's kernel lacks; for all hosts, or for none."""
    kind = KINDS[fault.kind]
    lacks = any(each["offers"][need] for each in looks.values() for need in kind.needs)
    return bool(environment.lab and kind.relay_needs and lacks)


def _has_part(site: Site) -> bool:
    """Tell whether there is anything to do on a host: loss is made where packets arrive."""
    match site.fault.kind:
        case "net.loss":
            return bool(site.heard)
        case "net.dup" | "net.rate" | "net.delay":
            return site.relayed or bool(site.told)
        case _:
            return True
