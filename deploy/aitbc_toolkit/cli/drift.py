"""`aitbc drift`: what hosts have that was never deployed to them."""

import json

import click

from aitbc_toolkit.cli.environment import environment_argument, load
from aitbc_toolkit.cli.narration import narrate
from aitbc_toolkit.cli.prompting import confirm
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import drift as comparing
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import Tell


@click.command()
@environment_argument
@click.option("--only", metavar="HOST", default="", help="Look at one host.")
@click.option("--restage", is_flag=True, help="Put back what was edited; the edits are kept.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def drift(environment: str, *, only: str, restage: bool, yes: bool, as_json: bool) -> Exit:
    """Compare every host with what was deployed: commit, configuration, unit, environment, edits.

    Status 2 when something differs, 69 when a host could not be asked.

    Example: aitbc drift lab
    """
    found = load(environment)
    if restage:
        confirm(found, f"put back what was edited on hosts of {found.name}?", yes=yes)

        def work(tell: Tell) -> Outcome:
            return comparing.restage(found, tell, only=only)

        return narrate("drift", work, as_json=as_json)
    report = comparing.look(found, only=only)
    if as_json:
        click.echo(json.dumps(report.to_document()))
    else:
        for line in report.to_lines():
            say(line)
        if report.exit is Exit.UNREACHABLE:
            say(f"hint: which hosts answer: aitbc status {found.name}", err=True)
    return report.exit
