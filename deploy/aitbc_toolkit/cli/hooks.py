"""`aitbc hooks`: the operator's own programs around the phases of a run."""

import json

import click

from aitbc_toolkit.cli.environment import environment_argument, load
from aitbc_toolkit.cli.reaching import json_option
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import hooks as programs


@click.command()
@environment_argument
@json_option
def hooks(environment: str, *, as_json: bool) -> Exit:
    """List the hooks of an environment; one with a wrong name or mode is a mistake.

    Example: aitbc hooks dev
    """
    found = load(environment)
    known = programs.found(found)
    if as_json:
        rows = {name: str(path) for name, path in known.items()}
        click.echo(json.dumps({"environment": found.name, "hooks": rows}))
        return Exit.OK
    for name, path in known.items():
        click.echo(f"{name:<16} {path}")
    if not known:
        click.echo(f"{found.name} has no hooks: {programs.folder_of(found)}/before-deploy is one")
    return Exit.OK
