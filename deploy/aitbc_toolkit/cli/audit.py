"""`aitbc audit`: what was decided about trust, and whether the record of it is whole."""

import json

import click

from aitbc_toolkit.cli.environment import environment_argument, load_records
from aitbc_toolkit.cli.reaching import json_option
from aitbc_toolkit.cli.tables import Column, draw
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import audit as log
from aitbc_toolkit.release import witnessing


@click.group()
def audit() -> None:
    """Show the audit log of an environment, and verify its chain of hashes."""


@audit.command()
@environment_argument
@json_option
def verify(environment: str, *, as_json: bool) -> Exit:
    """Find an edited, moved or removed record, here and by what the hosts were told.

    Example: aitbc audit verify staging
    """
    found = load_records(environment)
    path = log.path_of(found)
    records, findings = log.check(path)
    hosts = [] if findings else witnessing.compare(found, records)
    findings += [finding for host in hosts for finding in host.findings]
    head = records[-1].hash if records else log.ROOT
    if as_json:
        rows = [each._asdict() for each in findings], [each.to_document() for each in hosts]
        said = {"records": len(records), "head": head, "findings": rows[0], "hosts": rows[1]}
        click.echo(json.dumps(said))
        return Exit.FAILED if findings else Exit.OK
    if not findings:
        click.echo(
            f"{found.name}: {len(records)} records, each bound to the last, head {head[:12]}"
        )
    for host in hosts:
        click.echo(host.to_line())
    if findings:
        raise log.broken(path, findings)
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
