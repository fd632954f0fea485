"""`aitbc node`: single nodes of an environment."""

import json
from collections.abc import Iterator

import click
import msgspec

from aitbc_node.rpc import schema
from aitbc_toolkit.cli import services, tables
from aitbc_toolkit.cli.reaching import (
    environment_option,
    json_option,
    point_to_hosts,
    reach,
)
from aitbc_toolkit.cli.tables import Column
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.overview import NodeRow, look

_COLUMNS = (
    Column("NODE"),
    Column("HOST", spare=1),
    Column("ROLE", spare=2),
    Column("RELEASE"),
    Column("HEIGHT", right=True),
    Column("STATE"),
)
_SHORT = 7
_LABEL = 16


@click.group()
def node() -> None:
    """List, start, stop and read single nodes."""


@node.command("list")
@environment_option
@json_option
def list_(environment: str, *, as_json: bool) -> Exit:
    """List the nodes of the inventory, each with what it says of itself now.

    Example: aitbc node list -e lab
    """
    with reach(environment) as (found, mesh):
        seen = look(found, mesh)
    if as_json:
        click.echo(json.dumps({"nodes": seen.to_json()["nodes"]}))
    else:
        click.echo("\n".join(tables.draw(_COLUMNS, [_cells(row) for row in seen.nodes])))
        point_to_hosts(seen)
    return Exit.OK if any(row.height is not None for row in seen.nodes) else Exit.UNREACHABLE


@node.command()
@click.argument("name")
@environment_option
@json_option
def status(name: str, environment: str, *, as_json: bool) -> Exit:
    """Show everything that one node says of itself.

    Example: aitbc node status v1 -e lab
    """
    with reach(environment, node=name) as (_found, mesh):
        told = mesh.node(name).status()
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(_lines(told)))
    return Exit.OK


@node.command()
@click.argument("name")
@environment_option
@click.option("--raw", is_flag=True, help="Print the text as the node wrote it.")
@json_option
def metrics(name: str, environment: str, *, raw: bool, as_json: bool) -> Exit:
    """Show the metrics of one node as a table.

    Example: aitbc node metrics v1 -e lab
    """
    with reach(environment, node=name) as (_found, mesh):
        text = mesh.node(name).text("/metrics")
    if raw:
        click.echo(text, nl=False)
        return Exit.OK
    lines = [line.rpartition(" ") for line in text.splitlines() if line and line[0] != "#"]
    if as_json:
        values = {metric: float(value) for metric, _, value in lines}
        click.echo(json.dumps({"node": name, "metrics": values}))
        return Exit.OK
    columns = (Column("METRIC"), Column("VALUE", right=True))
    click.echo("\n".join(tables.draw(columns, [(row[0], row[2]) for row in lines])))
    return Exit.OK


for _command in (services.start, services.stop, services.restart, services.logs):
    node.add_command(_command)


def _cells(row: NodeRow) -> tuple[str, ...]:
    height = "-" if row.height is None else f"{row.height:,}"
    return row.name, row.host, row.role, (row.commit or "-")[:_SHORT], height, row.state


def _lines(told: schema.Status) -> Iterator[str]:
    """Write a status for people: what belongs together stands on one line."""
    rows = {
        "node": f"{told.node}, {told.role}, power {told.power} of {told.total_power}",
        "chain": f"{told.chain_id}, genesis {told.genesis_hash[:12]}",
        "release": f"{told.commit or '-'}, version {told.version}, data {told.data_version}",
        "height": f"{told.height:,}, {told.block_age_ms / 1000:.1f} s ago ({told.block_time})",
        "working on": f"height {told.height + 1:,}, round {told.round}, {told.step}",
        "state root": f"{told.state_root} at {told.state_root_height:,}",
        "voted": f"{told.last_voted_height:,}",
        "peers": f"{told.peers}, reachable power {told.reachable_power} of {told.total_power}",
        "mempool": f"{told.mempool} waiting",
        "state": _word(told),
    }
    for label, text in rows.items():
        yield tables.printable(f"{label:<{_LABEL}}{text}")


def _word(told: schema.Status) -> str:
    if told.stale:
        return "reaches no quorum; its answers may be old"
    return "catching up" if told.syncing else "up to date"
