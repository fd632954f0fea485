"""How does a reading command reach the nodes of its environment? One option, one client.

Do not add what is asked.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from aitbc_toolkit.asking import MeshClient, open_mesh
from aitbc_toolkit.cli.environment import OTHERWISE, load
from aitbc_toolkit.cli.hints import OPTIONS
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.overview import Overview, Verdict

environment_option = click.option(*OPTIONS, "environment", default="", help=OTHERWISE)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@contextmanager
def reach(named: str, *, node: str = "") -> Iterator[tuple[Environment, MeshClient]]:
    """Load an environment and open a client for all of its nodes, or for the one named."""
    found = load(named)
    with open_mesh(found, node=node) as mesh:
        yield found, mesh


def point_to_hosts(seen: Overview) -> None:
    """Say where to look when no node answers: its host may know more."""
    if seen.verdict is Verdict.DOWN:
        say(f"hint: what runs on its hosts: aitbc status {seen.environment}", err=True)
