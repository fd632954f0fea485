"""`aitbc repos`: the other repositories of a release, as `release.toml` names them."""

import json

import click

from aitbc_toolkit import paths, shell
from aitbc_toolkit.cli.reaching import json_option
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import components

_SYNC_S = 600.0


@click.group()
def repos() -> None:
    """Bring the other repositories of a release to the commits of its manifest."""


@repos.command()
@click.argument("name", default="")
@click.option("--dry-run", is_flag=True, help="Print the git commands and change nothing.")
@json_option
def sync(name: str, *, dry_run: bool, as_json: bool) -> Exit:
    """Clone, fetch and check out one repository of release.toml, or all of them.

    Example: aitbc repos sync --dry-run
    """
    known = components.chosen(components.here(paths.project_root()), name)
    rows = {}
    for each, component in known.items():
        steps = components.steps(component, components.clone_of(paths.state_root(), each))
        rows[each] = steps
        for argv in steps:
            if not as_json:
                click.echo(shell.quoted(argv))
            if not dry_run:
                shell.run(argv, timeout_s=_SYNC_S, hint=f"git ls-remote {component.url}")
        if not steps and not as_json:
            click.echo(f"{each} is at {component.commit[:12]}")
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, "repositories": rows}))
    elif not known:
        click.echo(f"no {components.FILE}: a release is this repository alone")
    return Exit.OK
