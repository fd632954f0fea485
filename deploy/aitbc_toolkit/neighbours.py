"""Which environments live on the same machines, and do they share anything there by mistake?

Two of them may use one host side by side as long as no port, folder, unit or key is the same. Said
from the inventories alone, before anything is touched. Do not talk to hosts here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from aitbc_toolkit import inventory
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import LOOPBACK, LOOPBACKS, Environment, Host, Inventory

_THIS_MACHINE = "this machine"


@dataclass(frozen=True, slots=True)
class Clash:
    """Name one thing that two nodes of different environments would both use."""

    what: str
    place: str
    own: str
    other: str
    environment: str

    def __str__(self) -> str:
        return (
            f"{self.own} and {self.other} of {self.environment} share the {self.what} {self.place}"
        )


def clashes(environment: Environment) -> list[Clash]:
    """List everything that an environment shares with another of the same inventory folder."""
    return [
        clash
        for other in _others(environment)
        for own_host in environment.hosts
        for host in other.hosts
        if _machines(own_host) & _machines(host)
        for clash in _on_one_machine(environment, own_host, other, host)
    ]


def sharing(environment: Environment) -> dict[str, list[Environment]]:
    """Name the hosts on which other environments live, too, with those."""
    found: dict[str, list[Environment]] = {}
    for other in _others(environment):
        machines = {machine for host in other.hosts for machine in _machines(host)}
        for host in environment.hosts:
            if _machines(host) & machines:
                found.setdefault(host.name, []).append(other)
    return found


def refuse_clashes(environment: Environment) -> None:
    """Refuse before any change when another environment has something of this one already.

    Raises: AitbcError (refused) that names all of it.
    """
    found = clashes(environment)
    if not found:
        return
    name = environment.name
    lines = [f"  {clash}" for clash in found]
    raise AitbcError(
        "\n".join(
            [
                f"deploy {name} refused: it would share with another environment",
                *lines,
                "  changed so far   nothing, on no host",
            ]
        ),
        hint=f"edit inventories/{name}/inventory.toml   # other names and ports",
        exit_status=Exit.REFUSED,
    )


def _others(environment: Environment) -> Iterator[Environment]:
    """Load what can be loaded: a lab that is down has no machines to share, nor has a bad file."""
    for name in inventory.names(environment.inventories):
        if name == inventory.base_name(environment.name, folder=environment.inventories):
            continue
        try:
            yield Inventory.load(name, folder=environment.inventories, state=environment.state)
        except AitbcError:
            continue


def _machines(host: Host) -> set[str]:
    """Name the machine that is meant; this one has two names when others reach it by address."""
    reached = f"{host.address}:{host.ssh_port}"
    if host.connector == "ssh":
        return {reached}
    return {_THIS_MACHINE} if host.address in LOOPBACKS else {_THIS_MACHINE, reached}


def _on_one_machine(
    environment: Environment, host: Host, other: Environment, other_host: Host
) -> Iterator[Clash]:
    own, others = _taken(environment, host), _taken(other, other_host)
    for (what, place), node in own.items():
        if (what, place) in others:
            yield Clash(what, place, node, others[what, place], other.name)


def _taken(environment: Environment, host: Host) -> dict[tuple[str, str], str]:
    """Map everything of an environment on one host, by kind and place, to who uses it."""
    taken = {("folder", str(host.layout.base)): environment.name}
    if host.manager == "supervisord":
        taken["supervisor", str(host.layout.supervisor)] = environment.name
    for each in environment.on(host.name):
        for address, port in (
            *((own, port) for own in each.addresses for port in (each.p2p_port, each.rpc_port)),
            (LOOPBACK, each.admin_port),
        ):
            taken["port", f"{address}:{port}"] = each.name
        places = each.paths
        taken["unit", f"{host.manager}:{places.unit}"] = each.name
        taken["key folder", str(places.keys)] = each.name
        taken["data folder", str(places.data)] = each.name
        taken["configuration folder", str(places.config)] = each.name
        if host.manager == "supervisord":
            taken["log file", str(places.log)] = each.name
    return taken
