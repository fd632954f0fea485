"""A mesh on hosts with IPv4 only, IPv6 only, or some of each: deployed, proved, deployed again.

By night: each kind is a lab of its own.
"""

from collections.abc import Callable

import pytest
from lab_mesh import LabMesh, deployed

from aitbc_node.rpc import surroundings
from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import verifying

pytestmark = pytest.mark.lab

# How each host is meant to be reached, and which nodes each node can reach at all.
KINDS = {
    "ipv4": ({"lab1": "4", "lab2": "4", "lab3": "4", "lab4": "4"}, ["234", "134", "124", "123"]),
    "ipv6": ({"lab1": "6", "lab2": "6", "lab3": "6", "lab4": "6"}, ["234", "134", "124", "123"]),
    "mixed": ({"lab1": "46", "lab2": "46", "lab3": "4", "lab4": "6"}, ["234", "134", "12", "12"]),
}


def families(mesh: LabMesh, host: str) -> str:
    """Tell of which families a host has an address that others could use."""
    found = ""
    for family in "46":
        shown = mesh.on(host, "ip", f"-{family}", "-o", "address", "show", "scope", "global")
        found += family if shown.strip() else ""
    return found


def links(mesh: LabMesh) -> dict[str, set[str]]:
    """Ask every node whom it is linked with."""
    with open_mesh(mesh.environment) as asked:
        told = asked.ask_all(lambda node: node.get("/net/topology", surroundings.Topology))
    seen = {name: each for name, each in told.items() if isinstance(each, surroundings.Topology)}
    names = {each.id: name for name, each in seen.items()}
    return {
        name: {names[link.id] for link in each.links if link.id in names}
        for name, each in seen.items()
    }


@pytest.mark.nightly
@pytest.mark.proves("C32")
@pytest.mark.parametrize("kind", KINDS)
def test_a_mesh_lives_on_the_addresses_that_its_hosts_have(
    kind: str, tmp_path_factory: pytest.TempPathFactory, eventually: Callable[..., None]
) -> None:
    """Deployed with its smoke suite, linked with all that can be reached, and proved once more.

    A second deploy has nothing to do; a node that is started again finds its peers again.
    """
    has, reach = KINDS[kind]
    wanted = {f"v{n}": {f"v{to}" for to in others} for n, others in enumerate(reach, start=1)}
    with deployed(tmp_path_factory, "f", family=kind) as mesh:
        assert {host: families(mesh, host) for host in has} == has
        eventually("every link that is possible", lambda: links(mesh) == wanted, deadline_s=120)

        mesh.on("lab4", "systemctl", "restart", "aitbc-*")
        eventually("the links of v4 again", lambda: links(mesh) == wanted, deadline_s=120)

        done, problem = verifying.smoke(mesh.environment)
        assert problem == "", problem
        assert "4 transfers" in done
        again = mesh.deploy()
        assert (again.exit, list(again.changed)) == (Exit.OK, [])
