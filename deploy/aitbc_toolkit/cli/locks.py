"""`aitbc locks`: check or renew the pinned dependencies."""

import json
import sys
from pathlib import Path

import click

from aitbc_toolkit import locks as library
from aitbc_toolkit import paths
from aitbc_toolkit.cli.reaching import json_option
from aitbc_toolkit.errors import AitbcError, Exit


@click.group()
def locks() -> None:
    """Check or renew the pinned dependencies in locks/."""


@locks.command()
@json_option
def check(*, as_json: bool) -> Exit:
    """Compare the locks with what the projects declare, without a network.

    Example: aitbc locks check
    """
    found = list(library.findings(paths.project_root()))
    if as_json:
        click.echo(json.dumps({"locks": list(library.LOCKS), "findings": found}))
    else:
        click.echo("\n".join(found or [f"{len(library.LOCKS)} locks are current"]))
    if found:
        raise AitbcError(f"{len(found)} findings in the locks", hint="aitbc locks update")
    return Exit.OK


@locks.command()
@click.option("--upgrade", is_flag=True, help="Move to the newest releases that are allowed.")
def update(*, upgrade: bool) -> None:
    """Compile the locks again from the declared dependencies.

    Example: aitbc locks update
    """
    uv = Path(sys.executable).with_name("uv")
    click.echo("compiling " + " ".join(library.LOCKS), err=True)
    changed = library.update(paths.project_root(), uv=uv, upgrade=upgrade)
    click.echo("changed: " + " ".join(changed) if changed else "nothing changed")
