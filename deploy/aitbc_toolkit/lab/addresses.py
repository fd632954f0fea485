"""Which names and addresses does a lab use on this machine?

Every lab takes one numbered slot; the slot decides the IPv4 and IPv6 networks, the lab's tag
decides the names of its bridge, machines and cgroups. Pure: no I/O here.
"""

import hashlib
import ipaddress
from pathlib import Path

SLOT_COUNT = 250
HOST_COUNT_MAX = 64
FORGE = "forge"
FAMILIES = ("ipv4", "ipv6", "mixed")

_V4_BLOCK = ipaddress.IPv4Network("10.213.0.0/16")
# A ULA prefix with 40 fixed random bits (RFC 4193, 3.2.2), so that no other network has it.
_V6_BLOCK = ipaddress.IPv6Network("fd5a:17bc:6c61::/48")
_CONTROLLER_NUMBER = 1
_FORGE_NUMBER = 2
_FIRST_HOST_NUMBER = 11
_INTERFACE_NAME_MAX = 15

assert SLOT_COUNT < 2**8, "the slot is one byte of the IPv4 network"
assert _FIRST_HOST_NUMBER + HOST_COUNT_MAX < 2**8 - 1, "the host is one byte of the address"


def lab_tag(name: str, *, state_root: Path) -> str:
    """Name a lab apart from all others on this machine, also those of other checkouts."""
    return hashlib.sha256(f"{state_root}\0{name}".encode()).hexdigest()[:6]


def bridge_name(name: str, *, tag: str) -> str:
    """Name the bridge so that `ip link` shows whose it is; 15 bytes is the kernel's limit."""
    readable = "".join(letter for letter in name if letter.isalnum())[:5]
    return f"al-{readable}-{tag}"


def machine_name(host: str, *, tag: str) -> str:
    """Name the container; systemd-nspawn calls its outer interface `vb-` and this name."""
    machine = f"{tag}-{host}"
    assert len(f"vb-{machine}") <= _INTERFACE_NAME_MAX, machine
    return machine


def host_names(count: int) -> tuple[str, ...]:
    """List the hosts of a lab: `lab1` and so on, then the forge."""
    return (*(f"lab{number}" for number in range(1, count + 1)), FORGE)


def networks(slot: int) -> tuple[ipaddress.IPv4Network, ipaddress.IPv6Network]:
    """Give the /24 and the /64 of a slot."""
    assert 0 <= slot < SLOT_COUNT, slot
    v4 = ipaddress.IPv4Network((int(_V4_BLOCK.network_address) + (slot << 8), 24))
    v6 = ipaddress.IPv6Network((int(_V6_BLOCK.network_address) + (slot << 64), 64))
    return v4, v6


def controller_addresses(slot: int) -> tuple[str, str]:
    """Give the bridge's own addresses, which are this machine's in the lab."""
    return _addresses(slot, number=_CONTROLLER_NUMBER)


def host_addresses(host: str, *, slot: int) -> tuple[str, str]:
    """Give a host's IPv4 and IPv6 address; both end in the same digits, which people can read."""
    if host == FORGE:
        return _addresses(slot, number=_FORGE_NUMBER)
    return _addresses(slot, number=_FIRST_HOST_NUMBER - 1 + int(host.removeprefix("lab")))


def families_of(host: str, wanted: str) -> tuple[bool, bool]:
    """Tell whether a host has an IPv4 and an IPv6 address; both where no family is asked for.

    In a mixed lab two hosts of four have both, one each has one only: not all reach all others.
    """
    if wanted == "mixed" and host != FORGE:
        place = (int(host.removeprefix("lab")) - 1) % 4
        return place != 3, place != 2  # noqa: PLR2004 - the last two of four
    return wanted != "ipv6", wanted != "ipv4"


def _addresses(slot: int, *, number: int) -> tuple[str, str]:
    v4, v6 = networks(slot)
    return str(v4.network_address + number), str(v6.network_address + int(str(number), 16))
