"""Names and addresses of labs: no two labs, hosts or checkouts share one."""

import ipaddress
from pathlib import Path

import pytest

from aitbc_toolkit.lab import addresses

pytestmark = pytest.mark.unit

STATE = Path("/home/ops/aitbc/.aitbc")


def test_same_name_in_two_checkouts_gives_two_tags() -> None:
    """Two checkouts on one machine may both have a lab called `lab`."""
    here = addresses.lab_tag("lab", state_root=STATE)
    there = addresses.lab_tag("lab", state_root=Path("/srv/ci/aitbc/.aitbc"))

    assert here != there
    assert here == addresses.lab_tag("lab", state_root=STATE)


@pytest.mark.parametrize("name", ["a", "lab", "a-very-long-name"])
def test_bridge_and_ports_fit_the_kernels_limit(name: str) -> None:
    """An interface name has at most 15 bytes, for the longest lab name and the last host too."""
    tag = addresses.lab_tag(name, state_root=STATE)
    machines = [addresses.machine_name(host, tag=tag) for host in addresses.host_names(64)]

    assert len(addresses.bridge_name(name, tag=tag)) <= 15
    assert max(len(f"vb-{machine}") for machine in machines) <= 15


def test_bridge_name_shows_whose_it_is() -> None:
    """`ip link` is readable: the lab's name is in its bridge's name."""
    assert addresses.bridge_name("try-1", tag="67b6e4") == "al-try1-67b6e4"


def test_hosts_come_first_and_the_forge_last() -> None:
    """A lab of two has lab1, lab2 and the forge."""
    assert addresses.host_names(2) == ("lab1", "lab2", "forge")


def test_a_family_decides_which_addresses_hosts_have() -> None:
    """Without one every host has both; mixed has every kind among the first four hosts."""
    hosts = addresses.host_names(5)

    def kinds(family: str) -> list[tuple[bool, bool]]:
        return [addresses.families_of(host, family) for host in hosts]

    both, only_v4, only_v6 = (True, True), (True, False), (False, True)
    assert set(kinds("")) == {both}
    assert set(kinds("ipv4")) == {only_v4}
    assert set(kinds("ipv6")) == {only_v6}
    assert kinds("mixed") == [both, both, only_v4, only_v6, both, both]


def test_every_address_of_every_slot_is_its_own() -> None:
    """All slots with all hosts and the controller never give one address twice."""
    given = []
    for slot in range(addresses.SLOT_COUNT):
        hosts = addresses.host_names(addresses.HOST_COUNT_MAX)
        pairs = [addresses.host_addresses(host, slot=slot) for host in hosts]
        for v4, v6 in [addresses.controller_addresses(slot), *pairs]:
            given += [v4, v6]

    assert len(given) == addresses.SLOT_COUNT * 66 * 2
    assert len(set(given)) == len(given)


def test_addresses_lie_in_the_networks_of_their_slot() -> None:
    """A host's two addresses are inside the /24 and the /64 that its bridge carries."""
    v4_network, v6_network = addresses.networks(7)
    v4, v6 = addresses.host_addresses("lab12", slot=7)

    assert (v4, v6) == ("10.213.7.22", "fd5a:17bc:6c61:7::22")
    assert ipaddress.ip_address(v4) in v4_network
    assert ipaddress.ip_address(v6) in v6_network
