"""Several hosts on this machine, for the deployer's tests: folders of their own, one connection.

pyinfra knows this machine once only. A step's document says all of a host, so the one connection
makes the steps of all of them, one after the other.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.remote import Hosts, Row

COUNT = "hosts"
FIRST = "localhost"

_step = Hosts.step


def load(root: Path, name: str) -> Environment:
    """Load an environment of a project, with as many hosts as its file says."""
    found = Inventory.load(name, folder=root / "inventories", state=root / "state")
    return spread(found, hosts=int((root / COUNT).read_text()))


def spread(environment: Environment, *, hosts: int) -> Environment:
    """Give each of the last nodes a host of its own; the others stay on the first."""
    first, instances = environment.hosts[0], list(environment.instances)
    found = [first]
    for number in range(2, hosts + 1):
        layout = replace(first.layout, root=PurePosixPath(f"{first.layout.root}-{number}"))
        found.append(replace(first, name=f"host-{number}", layout=layout))
        place = number - 1 - hosts
        name = instances[place].name
        own = layout.instance(name)
        instances[place] = replace(instances[place], host=found[-1].name, paths=own)
    return replace(environment, hosts=tuple(found), instances=tuple(instances))


def step(
    self: Hosts, name: str, params: Mapping[str, Mapping[str, Any]], *, deadline_s: int
) -> dict[str, Row]:
    """Make a step on every host by the one connection."""
    found = {}
    for host, document in params.items():
        row = _step(self, name, {FIRST: document}, deadline_s=deadline_s)[FIRST]
        found[host] = replace(row, host=host)
    return found
