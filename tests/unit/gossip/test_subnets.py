"""Which addresses count as one crowd."""

import pytest

from aitbc_node.gossip.subnets import Subnets, host_of, kind_of


@pytest.mark.parametrize(
    ("address", "subnet"),
    [
        ("203.0.113.7:8600", "203.0.113.0/24"),
        ("203.0.113.7", "203.0.113.0/24"),
        ("[2001:db8:1:2::3]:8600", "2001:db8:1::/48"),
        ("[::ffff:203.0.113.7]:8600", "203.0.113.0/24"),
        ("127.0.0.1:8600", ""),
        ("10.9.8.7:8600", ""),
        ("[::1]:8600", ""),
        ("[fd00::1]:8600", ""),
        ("node.example:8600", ""),
    ],
)
def test_public_networks_count_and_private_ones_do_not(address: str, subnet: str) -> None:
    """One /24 or /48 is one crowd; loopback, private networks and names are none."""
    assert Subnets().of(address) == subnet


def test_what_is_free_can_be_chosen() -> None:
    """So a laboratory can be bounded, or a data centre not."""
    assert Subnets(()).of("10.9.8.7:8600") == "10.9.8.0/24"
    assert Subnets(("203.0.113.0/24",)).of("203.0.113.7:1") == ""
    with pytest.raises(ValueError, match="host bits"):
        Subnets(("10.0.0.1/8",))


def test_hosts_are_told_apart_without_their_ports() -> None:
    """Two nodes of one host go down together."""
    assert host_of("10.0.0.1:1") == host_of("10.0.0.1:2") == host_of("10.0.0.1")
    assert host_of("[::1]:1") == "::1"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1:8600", "loopback"),
        ("[::1]:8600", "loopback"),
        ("[::ffff:127.0.0.1]:8600", "loopback"),
        ("169.254.169.254:80", "link-local"),
        ("[fe80::1]:80", "link-local"),
        ("0.1.2.3:80", "reserved"),
        ("255.255.255.255:80", "reserved"),
        ("[64:ff9b::7f00:1]:80", "reserved"),
        ("203.0.113.7:8600", ""),
        ("10.1.2.3:8600", ""),
        ("[fd00::1]:8600", ""),
        ("node.example:8600", ""),
    ],
)
def test_some_addresses_mean_another_place_to_each_reader(address: str, kind: str) -> None:
    """What a stranger tells may lead to none of those."""
    assert kind_of(address) == kind
