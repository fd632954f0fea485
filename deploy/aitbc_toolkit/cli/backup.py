"""`aitbc backup | restore`: chain data into the operator's folder, and back onto a node."""

from pathlib import Path

import click

from aitbc_toolkit.cli.environment import environment_argument, load
from aitbc_toolkit.cli.narration import narrate
from aitbc_toolkit.cli.prompting import confirm
from aitbc_toolkit.cli.reaching import environment_option
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import backup as keeping
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import Tell

_json = click.option("--json", "as_json", is_flag=True, help="Write records as JSON lines.")
_folder = click.Path(file_okay=False, path_type=Path)


@click.command()
@environment_argument
@click.option("--node", default="", metavar="NAME", help="One node; else all of them.")
@click.option(
    "--to", type=_folder, metavar="FOLDER", help="Else a new folder of the environment's."
)
@_json
def backup(environment: str, *, node: str, to: Path | None, as_json: bool) -> Exit:
    """Copy the chain data of nodes, running or not; neither keys nor sign state.

    Example: aitbc backup lab
    """

    def work(tell: Tell) -> Outcome:
        return keeping.backup(load(environment), tell, only=node, to=to)

    return narrate("backup", work, as_json=as_json)


@click.command()
@click.argument("name")
@environment_option
@click.option("--from", "source", type=_folder, metavar="FOLDER", help="Else the newest backup.")
@click.option(
    "--force", is_flag=True, help="Even where the mesh stops without it, or a run is unproved."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask on a terminal.")
@_json
def restore(
    name: str, environment: str, *, source: Path | None, force: bool, yes: bool, as_json: bool
) -> Exit:
    """Put a backup in the place of a node's data; its keys and sign state stay as they are.

    Example: aitbc restore v1 -e lab
    """

    def work(tell: Tell) -> Outcome:
        found = load(environment)
        confirm(found, f"replace the data of {name} of {found.name}?", yes=yes)
        return keeping.restore(found, name, tell, source=source, force=force)

    return narrate("restore", work, as_json=as_json)
