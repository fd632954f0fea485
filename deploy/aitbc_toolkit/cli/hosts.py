"""`aitbc bootstrap`: from root's SSH to hosts that can take a deploy."""

import click

from aitbc_toolkit.cli.environment import environment_argument, load
from aitbc_toolkit.cli.narration import narrate
from aitbc_toolkit.cli.prompting import confirm
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release.bootstrap import bootstrap as run_bootstrap
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import Tell


@click.command()
@environment_argument
@click.option("--only", default="", metavar="HOST", help="One host; else all of them.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Write records as JSON lines.")
def bootstrap(environment: str, *, only: str, yes: bool, as_json: bool) -> Exit:
    """Set up bare hosts: packages, user, uv, keys, journal, firewall; again changes nothing.

    Example: aitbc bootstrap staging --only aitbc1
    """

    def work(tell: Tell) -> Outcome:
        found = load(environment)
        confirm(found, f"set up hosts of {found.name}?", yes=yes)
        return run_bootstrap(found, tell, only=only)

    return narrate("bootstrap", work, as_json=as_json)
