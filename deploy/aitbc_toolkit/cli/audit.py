"""`aitbc audit`: what was decided about trust, and whether the record of it is whole."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from aitbc_toolkit.cli.environment import environment_argument, load, load_records
from aitbc_toolkit.cli.reaching import json_option
from aitbc_toolkit.cli.tables import Column, draw
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import anchoring, memory
from aitbc_toolkit.release import audit as log


@click.group()
def audit() -> None:
    """Show the audit log of an environment, and verify its chain of hashes."""


@audit.command()
@environment_argument
@click.option("--by", default="", metavar="ADDRESS", help="Whose anchors count; else the faucet's.")
@json_option
def verify(environment: str, *, by: str, as_json: bool) -> Exit:
    """Find an edited, moved or removed record, here and by what hosts and ledger were told.

    Example: aitbc audit verify staging
    """
    found = load_records(environment)
    said = memory.verify(found, account=by)
    if as_json:
        click.echo(json.dumps(said.to_document()))
        return Exit.FAILED if said.findings else Exit.OK
    if not said.findings:
        count, head = len(said.records), said.head[:12]
        click.echo(f"{found.name}: {count} records, each bound to the last, head {head}")
    for witness in said.witnesses:
        click.echo(witness.to_line())
    if said.findings:
        raise log.broken(log.path_of(found), list(said.findings))
    return Exit.OK


@audit.command()
@environment_argument
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    help="The PEM key that pays and owns the record; the environment's faucet unless given.",
)
@click.option(
    "--deadline", type=click.IntRange(min=1), default=60, show_default=True, help="Seconds to wait."
)
@json_option
def anchor(environment: str, *, key: Path | None, deadline: int, as_json: bool) -> Exit:
    """Put the hash of the newest record on the ledger; runs do it themselves once an hour.

    Example: aitbc audit anchor staging
    """
    found = load(environment)
    done = anchoring.anchor(found, key=key, wait_s=deadline)
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        where = f"in block {done.height:,}, by {done.account}"
        click.echo(f"{found.name}: record {done.number}, {done.head[:12]}, is anchored {where}")
    return Exit.OK


@audit.command()
@environment_argument
@click.option(
    "--last",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many of the newest.",
)
@json_option
def show(environment: str, *, last: int, as_json: bool) -> Exit:
    """Show the newest records: what, of what, by whom and why.

    Example: aitbc audit show staging --last 5
    """
    path = log.path_of(load_records(environment))
    records, findings = log.check(path)
    newest = records[-last:]
    if as_json:
        click.echo(json.dumps([log.to_document(each) for each in newest]))
    else:
        columns = [Column("N", right=True), Column("AT", 3), Column("ACTION"), Column("OUTCOME")]
        columns += [Column("SUBJECT"), Column("WHO", 1), Column("WHY", 2)]
        rows = [_row(each) for each in newest]
        for line in draw(columns, rows):
            click.echo(line)
    if findings:
        raise log.broken(path, findings)
    return Exit.OK


def _row(record: log.Record) -> list[str]:
    entry = record.entry
    outcome = f"{entry.outcome} (bypassed)" if entry.bypassed else entry.outcome
    who, why = entry.who, entry.reason
    return [str(record.number), record.at, entry.action, outcome, entry.subject[:24], who, why]
