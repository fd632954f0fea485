"""How are connections between nodes sent through a relay on their host, which passes them on later?

For labs whose kernel cannot hold packets back. Each host relays the connections that it makes, both
ways of them, so each edge of a fault is delayed once. Texts only, no I/O.
"""

from collections.abc import Mapping
from typing import Any

from aitbc_toolkit.faults import packets, units
from aitbc_toolkit.faults.sites import Site, table_of

_PORT_FIRST, _PORTS = 20_000, 8_000
_READY_TRIES = 100


def write(site: Site) -> tuple[list[str], list[str], list[Mapping[str, Any]]]:
    """Write what starts the relay and sends connections there, what ends it, and the proofs."""
    delays_ms = _delays_ms(site)
    rules = site.rules(_chains(site, list(delays_ms)))
    ready = f"{site.folder}/{site.id}.relay"
    peers = [
        f"{address},{out_ms},{in_ms}"
        for host, (out_ms, in_ms) in delays_ms.items()
        for address in site.those([host])
    ]
    words = (f"{_port(site)}", f"{packets.MARK}", ready, *peers)
    start = [
        units.working(site.unit, site.fault.lease_s, "relaying", *words),
        _begun(site, ready),
        # What is connected already goes past the relay, so it has to be made anew.
        rules.load(),
    ]
    # Rules first: nobody is sent to a relay that is not there.
    end = [rules.unload(), f"systemctl stop {site.unit}", f"rm -f {ready}"]
    return start, end, [_counted(site, list(delays_ms)), *_late(site, delays_ms)]


def _begun(site: Site, ready: str) -> str:
    """Write what waits until the relay takes connections, and names it where it does not."""
    late = f"{{ echo 'no relay began on port {_port(site)}' >&2; exit 1; }}"
    count = f"n=$((n + 1)); [ $n -lt {_READY_TRIES} ] || {late}"
    return f"n=0\nuntil [ -e {ready} ]; do {count}; sleep 0.1; done"


def _delays_ms(site: Site) -> dict[str, tuple[int, int]]:
    """Say for each peer host how long what goes there, and what comes from there, has to wait."""
    ms = int(site.fault.parameter("ms"))
    return {
        host: (ms * (host in site.told), ms * (host in site.heard))
        for host in dict.fromkeys([*site.told, *site.heard])
    }


def _chains(site: Site, hosts: list[str]) -> tuple[packets.Chain, ...]:
    ports = sorted({port for _, port, _ in site.peers(hosts)})
    return packets.detour(site.those(hosts), ports, _port(site))


def _counted(site: Site, hosts: list[str]) -> Mapping[str, Any]:
    return {
        "what": "packets",
        "table": table_of(site.environment),
        "families": ["inet"],
        "chains": [f"detour_{site.id}"],
        "peers": site.peers(hosts),
    }


def _late(site: Site, delays_ms: Mapping[str, tuple[int, int]]) -> list[Mapping[str, Any]]:
    peers = [[*peer, sum(ms)] for host, ms in delays_ms.items() for peer in site.peers([host])]
    return [{"what": "late", "peers": peers}]


def _port(site: Site) -> int:
    """Choose where the relay listens: no node of its host does; for others the order fails."""
    taken = {
        port
        for each in site.environment.on(site.host.name)
        for port in (each.p2p_port, each.rpc_port, each.admin_port)
    }
    drawn = int(site.id, 16)
    return next(
        port
        for step in range(_PORTS)
        if (port := _PORT_FIRST + (drawn + step) % _PORTS) not in taken
    )
