"""Environments that live on one machine share nothing there, or are refused before any change."""

import shutil
from pathlib import Path

import pytest

from aitbc_toolkit import inventory, neighbours, paths
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory

STAGING_PORTS = ("8620", "8621", "8730", "8731", "8780", "8781")


def folder_with_beta(tmp_path: Path, *, ports: bool = False, names: bool = False) -> Path:
    """Copy all inventories and add `beta`, copied from staging, with what is asked for renamed."""
    folder = tmp_path / "inventories"
    shutil.copytree(paths.inventories(), folder)
    shutil.copytree(folder / "staging", folder / "beta")
    path = folder / "beta" / "inventory.toml"
    text = path.read_text().replace("aitbc-staging-1", "aitbc-beta-1")
    for port in STAGING_PORTS if ports else ():
        text = text.replace(port, str(int(port) + 20))
    if names:
        text = text.replace("[instances.v", "[instances.b")
    path.write_text(text)
    return folder


def load(name: str, folder: Path, tmp_path: Path) -> Environment:
    """Load an environment whose operator's state is the test's own."""
    return Inventory.load(name, folder=folder, state=tmp_path / "state")


def test_the_environments_of_this_checkout_share_nothing(tmp_path: Path) -> None:
    """Dev and staging may run on the operator's machine at the same time."""
    for name in inventory.names():
        if name != "lab":
            assert neighbours.clashes(load(name, paths.inventories(), tmp_path)) == []


def test_who_lives_on_the_same_hosts_is_named(tmp_path: Path) -> None:
    """Not only who shares a port or a folder: also who just lives there."""
    folder = folder_with_beta(tmp_path, ports=True, names=True)

    found = neighbours.sharing(load("beta", folder, tmp_path))

    assert {host: [each.name for each in others] for host, others in found.items()} == {
        "localhost": ["dev", "staging"],
        "aitbc1": ["staging"],
    }
    assert neighbours.sharing(load("production", folder, tmp_path)) == {}


@pytest.mark.proves("E72")
def test_a_plain_copy_of_staging_is_refused_with_everything_that_it_shares(tmp_path: Path) -> None:
    """Ports, keys and configuration of the same nodes: all are named at once, from both sides."""
    folder = folder_with_beta(tmp_path)

    with pytest.raises(AitbcError) as refused:
        neighbours.refuse_clashes(load("beta", folder, tmp_path))

    said = refused.value.message
    assert refused.value.exit_status is Exit.REFUSED
    assert "v1 and v1 of staging share the port 10.0.0.1:8730" in said
    assert "v1 and v1 of staging share the port 127.0.0.1:8780" in said
    assert "v4 and v4 of staging share the key folder /var/lib/aitbc-keys/v4" in said
    assert "v4 and v4 of staging share the configuration folder /etc/aitbc/v4" in said
    assert "changed so far   nothing, on no host" in said
    assert neighbours.clashes(load("staging", folder, tmp_path))


@pytest.mark.parametrize(
    ("ports", "names", "left"),
    [
        (True, False, {"key folder", "configuration folder"}),
        (False, True, {"port"}),
        (True, True, set()),
    ],
)
def test_each_kind_of_sharing_is_told_apart(
    tmp_path: Path, *, ports: bool, names: bool, left: set[str]
) -> None:
    """Other ports and other names together, and nothing is shared any more."""
    folder = folder_with_beta(tmp_path, ports=ports, names=names)

    found = neighbours.clashes(load("beta", folder, tmp_path))

    assert {clash.what for clash in found} == left


def test_one_machine_reached_in_two_ways_is_one_machine(tmp_path: Path) -> None:
    """An address over SSH that is the operator's own machine is found out."""
    folder = folder_with_beta(tmp_path)
    path = folder / "beta" / "inventory.toml"
    path.write_text(
        path.read_text().replace(
            'connector = "local"',
            'connector = "ssh"\nssh_key = "~/.ssh/id"\nknown_hosts = "known_hosts"',
        )
    )

    found = neighbours.clashes(load("beta", folder, tmp_path))

    assert ("port", "10.0.0.1:8620") in {(clash.what, clash.place) for clash in found}
