"""`aitbc grant`: who has which role in an environment, by the public key of their own."""

import json
from pathlib import Path
from typing import get_args

import click

from aitbc_toolkit import mistakes
from aitbc_toolkit.cli.environment import load, load_records
from aitbc_toolkit.cli.reaching import environment_option, json_option
from aitbc_toolkit.cli.signing import chosen_key, key_option, read_public
from aitbc_toolkit.cli.tables import Column, draw
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import grants, safekeeping
from aitbc_toolkit.release.allowed import Role

_role_option = click.option(
    "--role", required=True, type=click.Choice(get_args(Role)), help="What the key may do."
)


@click.group()
def grant() -> None:
    """Show and change who has which role in an environment."""


@grant.command("list")
@environment_option
@json_option
def list_(environment: str, *, as_json: bool) -> Exit:
    """List every valid key, its roles and what they allow.

    Example: aitbc grant list -e staging
    """
    found = load_records(environment)
    rows = grants.rows(safekeeping.load(found))
    if as_json:
        click.echo(json.dumps({"environment": found.name, "grants": rows}))
        return Exit.OK
    if not rows:
        click.echo(f"{found.name}: nobody has a role")
        return Exit.OK
    columns = [Column("WHO"), Column("ROLES"), Column("MAY"), Column("KEY", 1)]
    cells = [
        [row["principal"], ", ".join(row["roles"]), ", ".join(row["may"]), row["fingerprint"]]
        for row in rows
    ]
    for line in draw(columns, cells):
        click.echo(line)
    return Exit.OK


@grant.command()
@click.argument("principal")
@_role_option
@click.option("--public-key", default="", help="Names a new signer: the key, or the file of it.")
@environment_option
@key_option
def add(principal: str, *, role: Role, public_key: str, environment: str, key: Path | None) -> None:
    """Give a role to a key.

    Example: aitbc grant add ana@example --role qa --public-key ana.pub -e staging
    """
    line = read_public(public_key) if public_key else ""
    edit = grants.give(principal, role, public_key=line)
    _change(environment, key, f"{role} to {principal}", edit)


@grant.command()
@click.argument("principal")
@_role_option
@environment_option
@key_option
def revoke(principal: str, *, role: Role, environment: str, key: Path | None) -> None:
    """Take a role from a key that keeps others; a stolen key goes by `trust remove --revoke`.

    Example: aitbc grant revoke ana@example --role qa -e staging
    """
    _change(environment, key, f"{role} from {principal}", grants.take(principal, role))


def _change(environment: str, key: Path | None, what: str, edit: safekeeping.Change) -> None:
    found = load(environment)
    path = grants.change(found, what, edit, key=chosen_key(key), verb="grant")
    click.echo(f"{found.name}: {what}")
    click.echo(f"next: git diff {mistakes.shown(path)}")
