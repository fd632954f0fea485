"""`aitbc network`: what all nodes of an environment say, asked live."""

import json
from collections.abc import Iterator

import click

from aitbc_node.rpc import schema
from aitbc_toolkit.asking import Silence
from aitbc_toolkit.cli import reachability, tables
from aitbc_toolkit.cli.reaching import (
    environment_option,
    json_option,
    point_to_hosts,
    reach,
)
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.cli.tables import Column
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.overview import NodeRow, Overview, Pace, Verdict, look

_SHORT = 7

_COLUMNS = (
    Column("NODE"),
    Column("HOST", spare=3),
    Column("ROLE", spare=4),
    Column("POWER", spare=5, right=True),
    Column("HEIGHT", right=True),
    Column("LAG", spare=2, right=True),
    Column("ROUND", spare=6, right=True),
    Column("PEERS", spare=1, right=True),
    Column("RELEASE"),
    Column("VOTED", spare=7, right=True),
    Column("STATE"),
)

_PEER_COLUMNS = (
    Column("NODE"),
    Column("PEER"),
    Column("ADDRESS", spare=1),
    Column("DIRECTION", spare=2),
    Column("RTT MS", right=True),
    Column("UP %", spare=3, right=True),
    Column("SCORE", spare=3, right=True),
    Column("VERSION", spare=4),
)


@click.group()
def network() -> None:
    """Ask every node about the mesh."""


@network.command()
@environment_option
@json_option
def status(environment: str, *, as_json: bool) -> Exit:
    """Show every node in one table, and one verdict; a node that is down is a row that says so.

    Exits 0 when any node answered, whatever the verdict is; see `network health` for a check.

    Example: aitbc network status -e lab
    """
    seen = _look(environment)
    if as_json:
        click.echo(json.dumps(seen.to_json()))
    else:
        click.echo("\n".join([*_table(seen), "", *_summary(seen)]))
        _say_next(seen)
    return Exit.UNREACHABLE if seen.verdict is Verdict.DOWN else Exit.OK


@network.command()
@environment_option
@json_option
def health(environment: str, *, as_json: bool) -> Exit:
    """Check the mesh: exit 0 when all is well, 1 when something is wrong, and say what.

    Exits 69 when no node answered: then nothing is known.

    Example: aitbc network health -e lab
    """
    seen = _look(environment)
    if as_json:
        told = {"verdict": seen.verdict, "findings": seen.findings}
        click.echo(json.dumps({"environment": seen.environment, **told}))
    else:
        click.echo("\n".join([*_summary(seen), *(f"  {line}" for line in seen.findings)]))
        _point_to_ailing(seen)
    if seen.verdict is Verdict.DOWN:
        return Exit.UNREACHABLE
    return Exit.OK if seen.verdict is Verdict.OK else Exit.FAILED


@network.command()
@environment_option
@json_option
def peers(environment: str, *, as_json: bool) -> Exit:
    """List every live link, as each node sees its own.

    Example: aitbc network peers -e lab
    """
    with reach(environment) as (_found, mesh):
        told = mesh.ask_all(lambda node: node.get("/net/peers", schema.Peers))
    names = {each.id: name for name, each in told.items() if isinstance(each, schema.Peers)}
    if as_json:
        click.echo(json.dumps({"nodes": [_peers_json(*row, names=names) for row in told.items()]}))
    else:
        rows = [row for item in told.items() for row in _peer_rows(*item, names=names)]
        click.echo("\n".join(tables.draw(_PEER_COLUMNS, rows)))
    return Exit.OK if names else Exit.UNREACHABLE


for _command in (reachability.topology, reachability.partition, reachability.recover):
    network.add_command(_command)


def _look(environment: str) -> Overview:
    with reach(environment) as (found, mesh):
        return look(found, mesh)


def _table(seen: Overview) -> list[str]:
    return tables.draw(_COLUMNS, [_cells(row) for row in seen.nodes])


def _cells(row: NodeRow) -> tuple[str, ...]:
    round_ = row.round if row.role == "validator" else None
    return (
        row.name,
        row.host,
        row.role,
        str(row.power),
        _number(row.height),
        _number(row.lag),
        _number(round_),
        _number(row.peers),
        (row.commit or "-")[:_SHORT],
        _number(row.last_voted_height or None),
        row.state,
    )


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _summary(seen: Overview) -> Iterator[str]:
    power = f"{seen.voting_power} of {seen.total_power} power votes, {seen.needed_power} needed"
    yield f"{seen.environment} is {seen.verdict.upper()}: {power}; {_spare(seen)}"
    answered = [row for row in seen.nodes if row.height is not None]
    if seen.pace is not None:
        yield f"  {_pace(seen.pace, silent_ms=seen.silent_ms)}"
    yield (
        f"  spread {seen.height_spread} heights; versions {len({row.commit for row in answered})};"
        f" {len(answered)} of {len(seen.nodes)} nodes answered"
    )


def _pace(pace: Pace, *, silent_ms: int | None) -> str:
    """Say how blocks come; of a mesh that makes none, since when and how they came before."""
    head = f"blocks {60_000 / max(1, pace.interval_p50_ms):.0f}/min,"
    if silent_ms is not None:
        head = f"no block for {silent_ms / 1000:.1f} s; before that,"
    return (
        f"{head} interval p50 {pace.interval_p50_ms / 1000:.2f} s"
        f" p95 {pace.interval_p95_ms / 1000:.2f} s,"
        f" {pace.extra_rounds} extra rounds in {pace.blocks} blocks"
    )


def _spare(seen: Overview) -> str:
    """Say how many more nodes may go down, losing the strongest first."""
    left = seen.voting_power
    if left < seen.needed_power:
        return f"{seen.needed_power - left} more must come back"
    lost = 0
    for power in sorted((row.power for row in seen.nodes if row.voting), reverse=True):
        left -= power
        if left < seen.needed_power:
            break
        lost += 1
    return f"{lost} more may go down" if lost else "no more may go down"


def _say_next(seen: Overview) -> None:
    match seen.verdict:
        case Verdict.OK:
            return
        case Verdict.DOWN:
            point_to_hosts(seen)
        case Verdict.DEGRADED | Verdict.STALLED if seen.down:
            say(f"hint: {_start(seen)}", err=True)
        case _:
            hint = f"what is wrong: aitbc network health -e {seen.environment}"
            say(f"hint: {hint}", err=True)


def _point_to_ailing(seen: Overview) -> None:
    """Name the command that shows more of what is wrong: a node's own words, or the hosts."""
    ailing = [row for row in seen.nodes if row.height is not None and not row.is_well]
    if seen.verdict in {Verdict.DEGRADED, Verdict.STALLED} and seen.down:
        say(f"hint: {_start(seen)}", err=True)
    elif seen.verdict is Verdict.DEGRADED and ailing:
        logs = f"aitbc node logs {ailing[0].name} -e {seen.environment}"
        say(f"hint: what {ailing[0].name} wrote: {logs}", err=True)
    elif seen.verdict is not Verdict.OK:
        say(f"hint: what runs on its hosts: aitbc status {seen.environment}", err=True)


def _start(seen: Overview) -> str:
    """Name the command that brings back a node which does not run while its machine answers."""
    return f"start what is down: aitbc node start {seen.down[0]} -e {seen.environment}"


def _peer_rows(
    name: str, told: schema.Peers | Silence, *, names: dict[str, str]
) -> Iterator[tuple[str, ...]]:
    if isinstance(told, Silence):
        yield name, "-", told.state, "-", "-", "-", "-", "-"
        return
    for peer in told.peers:
        known = names.get(peer.id, peer.id[:12])
        measured = (_rtt(peer.rtt_ms), _number(peer.availability), str(peer.score))
        yield name, known, peer.address, peer.direction, *measured, peer.version
    for peer_id, left_ms in told.banned.items():
        left = f"banned for {left_ms / 1000:.0f} s more"
        yield name, names.get(peer_id, peer_id[:12]), left, "-", "-", "-", "0", "-"


def _rtt(rtt_ms: float | None) -> str:
    """Write what a node measures in whole milliseconds; a zero is no measurement."""
    if rtt_ms is None:
        return "-"
    return "<1" if rtt_ms < 1 else f"{rtt_ms:.0f}"


def _peers_json(
    name: str, told: schema.Peers | Silence, *, names: dict[str, str]
) -> dict[str, object]:
    if isinstance(told, Silence):
        return {"name": name, "state": told.state, "peers": None}
    rows = [
        {"name": names.get(peer.id), **{f: getattr(peer, f) for f in peer.__struct_fields__}}
        for peer in told.peers
    ]
    return {"name": name, "id": told.id, "state": "up", "peers": rows}
