"""`aitbc diagnose`: what is wrong, in sentences, and what helps."""

import json
from collections.abc import Iterable, Iterator

import click

from aitbc_toolkit.asking import Silence
from aitbc_toolkit.cli.environment import environment_argument, load
from aitbc_toolkit.cli.reaching import json_option, reach
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.cli.tables import Column, draw, printable
from aitbc_toolkit.diagnose import ballots
from aitbc_toolkit.diagnose.ballots import Ballots
from aitbc_toolkit.diagnose.consensus import (
    Judged,
    last_proposer,
    voting_power,
)
from aitbc_toolkit.diagnose.consensus import (
    judge as judge_votes,
)
from aitbc_toolkit.diagnose.finding import Finding
from aitbc_toolkit.diagnose.network import Diagnosis, node
from aitbc_toolkit.diagnose.network import diagnose as judge
from aitbc_toolkit.diagnose.sight import look
from aitbc_toolkit.errors import Exit

_SHORT = 7
_KEY = 12
_VOTE_COLUMNS = (
    Column("VALIDATOR"),
    Column("POWER", right=True),
    Column("VOTED", right=True),
    Column("LAST", spare=1, right=True),
    Column("HEIGHT", right=True),
    Column("ROUND", right=True),
    Column("STEP", spare=2),
    Column("STATE"),
)
_COLUMNS = (
    Column("NODE"),
    Column("HOST", spare=2),
    Column("HEIGHT", right=True),
    Column("PEERS", spare=1, right=True),
    Column("REACHES", spare=3, right=True),
    Column("GENESIS", spare=6),
    Column("RELEASE", spare=4),
    Column("CLOCK S", spare=5, right=True),
    Column("DISK %", spare=7, right=True),
    Column("STATE"),
)


@click.group()
def diagnose() -> None:
    """Say what is wrong, in a sentence for each trouble, and what helps."""


@diagnose.command()
@environment_argument
@json_option
def network(environment: str, *, as_json: bool) -> Exit:
    """Ask every host and every node what may keep a mesh from working; change nothing.

    Hosts, nodes, chains, keys, releases, votes, partitions, clocks, disks and peers. Status 1 when
    anything fails, 69 when nobody answers; a warning alone is 0.

    Example: aitbc diagnose network -e lab
    """
    found = judge(look(load(environment)))
    if as_json:
        click.echo(json.dumps(found.to_document()))
    else:
        for line in _lines(found):
            say(line)
    return found.exit


@diagnose.command()
@environment_argument
@json_option
def consensus(environment: str, *, as_json: bool) -> Exit:
    """Ask every node what the next block waits for, and who votes; change nothing.

    Height, round and step, who proposed and who is next, whose votes are in the newest blocks, and
    the sum that a block needs. Status 1 when anything fails, 69 when nobody answers.

    Example: aitbc diagnose consensus -e lab
    """
    with reach(environment) as (known, mesh):
        found = judge_votes(ballots.look(known, mesh))
    if as_json:
        click.echo(json.dumps(found.to_document()))
    else:
        for line in _vote_lines(found):
            say(line)
    if not found.ballots.up:
        say(
            f"hint: what runs on its hosts: aitbc status {found.ballots.environment.name}", err=True
        )
    return found.exit


def _lines(found: Diagnosis) -> Iterator[str]:
    yield from draw(_COLUMNS, list(_rows(found)))
    yield ""
    yield from _told(found.findings)
    name = found.sight.environment.name
    yield f"{name}: {found.count or 'nothing is wrong'}"


def _told(findings: Iterable[Finding]) -> Iterator[str]:
    for each in findings:
        yield f"{each.level:<5} {each.topic:<10} {printable(each.says)}"
        for hint in each.hint.splitlines():
            yield f"{'':<16} {hint}"


def _vote_lines(found: Judged) -> Iterator[str]:
    told = found.ballots
    if not told.up:
        silent = {name: each for name, each in told.told.items() if isinstance(each, Silence)}
        rows = [(name, each.state) for name, each in silent.items()]
        yield from draw((Column("NODE"), Column("STATE")), rows)
        yield f"{told.environment.name}: no node answered"
        return
    yield from draw(_VOTE_COLUMNS, list(_vote_rows(found)))
    yield ""
    yield from _progress(told)
    yield from _told(found.findings)
    yield f"{told.environment.name}: {found.count or 'nothing is wrong'}"


def _progress(told: Ballots) -> Iterator[str]:
    if told.silent_ms is not None:
        age = f"{told.silent_ms / 1000:.1f} s ago"
        yield f"block {told.tip:,} was proposed by {last_proposer(told)[:_KEY] or '-'}, {age}"
    yield (
        f"height {told.height:,} is in round {told.round}, {told.step};"
        f" {told.proposer[:_KEY]} proposes in it"
    )
    if told.is_told:
        yield f"{voting_power(told)} of {told.total} power votes, {told.needed} needed"
    if told.turns:
        turns = " ".join(each[:_KEY] for each in told.turns)
        yield f"proposers from height {told.turns_from:,} on, a round each: {turns}"


def _vote_rows(found: Judged) -> Iterator[list[str]]:
    for row in found.to_document()["voters"]:
        yield [
            row["name"] or row["key"][:_KEY],
            f"{row['power']:,}",
            f"{row['voted']}/{row['of']}",
            _shown(row["last_voted"]),
            _shown(row["height"]),
            _shown(row["round"]),
            row["step"] or "-",
            row["state"],
        ]


def _rows(found: Diagnosis) -> Iterator[list[str]]:
    for row in found.sight.seen.nodes:
        told = node(found.sight, row)
        clock = told["clock_skew_s"]
        reaches = told["reaches_power"]
        yield [
            row.name,
            row.host,
            _shown(told["height"]),
            _shown(told["peers"]),
            "-" if reaches is None else f"{reaches}/{told['total_power']}",
            (told["genesis"] or "-")[:_SHORT],
            (told["commit"] or "-")[:_SHORT],
            "-" if clock is None else f"{clock:+.1f}",
            _shown(told["disk_used_pct"]),
            row.state,
        ]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:,}"
