"""Which addresses are likely to be in one pair of hands, so that they count as one?

Addresses of one /24 or, with IPv6, of one /48 are cheap for who has any of them. Networks that the
operator calls free, by default those that nobody else can be in, are not counted together. Do not
add what is counted.
"""

import ipaddress
from collections.abc import Iterable

from aitbc_node.transport.addresses import parse_address

FREE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
"""Loopback and private networks: whoever is there was let in by the operator."""

_BITS = {4: 24, 6: 48}
_NOWHERE = ipaddress.ip_network("0.0.0.0/8")
_Place = ipaddress.IPv4Address | ipaddress.IPv6Address


class Subnets:
    """Know which networks are free."""

    def __init__(self, free: Iterable[str] = FREE) -> None:
        self._free = tuple(ipaddress.ip_network(text) for text in free)

    def of(self, address: str) -> str:
        """Name the network that an address, with or without a port, counts for; "" for none.

        Names of hosts count for none, too: only operators write them.
        """
        place = _place(address)
        if place is None:
            return ""
        if any(place.version == free.version and place in free for free in self._free):
            return ""
        return str(ipaddress.ip_network((place, _BITS[place.version]), strict=False))


def place_of(address: str) -> str:
    """Name an address and port in one way, however it is written."""
    place = _place(address)
    return address if place is None else f"{place} {parse_address(address)[1]}"


def kind_of(address: str) -> str:
    """Say why an address means another place, or none, to each who reads it; "" if it does not."""
    place = _place(address)
    if place is None:
        return ""
    if place.is_loopback:
        return "loopback"
    if place.is_link_local:
        return "link-local"
    is_nowhere = place.version == 4 and place in _NOWHERE  # noqa: PLR2004 - the other IP is 6
    return "reserved" if place.is_reserved or is_nowhere else ""


def host_of(address: str) -> str:
    """Return the host of an address, with or without a port."""
    try:
        return parse_address(address)[0]
    except ValueError:
        return address


def _place(address: str) -> _Place | None:
    try:
        place = ipaddress.ip_address(host_of(address))
    except ValueError:
        return None
    if isinstance(place, ipaddress.IPv6Address) and place.ipv4_mapped is not None:
        return place.ipv4_mapped
    return place
