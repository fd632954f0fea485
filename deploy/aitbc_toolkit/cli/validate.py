"""`aitbc validate`: is an environment fit, before, after, in its pace, against intruders?"""

import json

import click

from aitbc_toolkit.cli.environment import environment_argument, load
from aitbc_toolkit.cli.tables import Column, draw
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import validating

_COLUMNS = [Column(title) for title in ("ITEM", "HOST", "STATE", "EVIDENCE")]


@click.command()
@click.argument("kind", type=click.Choice(list(validating.KINDS)))
@environment_argument
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def validate(kind: str, environment: str, *, as_json: bool) -> Exit:
    """Check an environment: `pre` and `post` a deploy, `bench` its pace, `security` its doors.

    Status 1 when something failed, 20 for `pre`.

    Example: aitbc validate security lab
    """
    found = validating.validate(load(environment), kind)
    if as_json:
        click.echo(json.dumps(found.to_document()))
        return found.exit
    rows = [[each.item, each.host, each.state, each.evidence] for each in found.checks]
    for line in draw(_COLUMNS, rows):
        click.echo(line)
    if found.exit is not Exit.OK:
        wrong = [f"  {each.item} {each.host}: {each.evidence}" for each in found.failed]
        raise AitbcError(
            "\n".join([f"validate {kind} {found.environment}: not fit", *wrong]),
            hint=f"aitbc status {found.environment}",
            exit_status=found.exit,
        )
    return found.exit
