"""`aitbc node start | stop | restart | logs`: the service of one node."""

import json
from typing import Any

import click

from aitbc_toolkit.cli.environment import break_lease_option, load
from aitbc_toolkit.cli.narration import narrate
from aitbc_toolkit.cli.reaching import environment_option, json_option
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import following, services
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import Tell
from aitbc_toolkit.release.services import Action

_force = click.option(
    "--force", is_flag=True, help="Even where the mesh stops without it, or a run is unproved."
)


@click.command()
@click.argument("name")
@environment_option
@break_lease_option
@json_option
def start(name: str, environment: str, *, break_lease: str, as_json: bool) -> Exit:
    """Start one node and wait until it votes.

    Example: aitbc node start v1 -e lab
    """
    return _control(
        "start", name, environment, force=False, break_lease=break_lease, as_json=as_json
    )


@click.command()
@click.argument("name")
@environment_option
@_force
@break_lease_option
@json_option
def stop(name: str, environment: str, *, force: bool, break_lease: str, as_json: bool) -> Exit:
    """Stop one node; refused where the mesh would stop with it.

    Example: aitbc node stop v1 -e lab
    """
    return _control(
        "stop", name, environment, force=force, break_lease=break_lease, as_json=as_json
    )


@click.command()
@click.argument("name")
@environment_option
@_force
@break_lease_option
@json_option
def restart(name: str, environment: str, *, force: bool, break_lease: str, as_json: bool) -> Exit:
    """Restart one node and wait until it votes.

    Example: aitbc node restart v1 -e lab
    """
    return _control(
        "restart", name, environment, force=force, break_lease=break_lease, as_json=as_json
    )


@click.command()
@click.argument("name")
@environment_option
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="How many.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what it writes, until Ctrl-C.")
@json_option
def logs(name: str, environment: str, *, lines: int, follow: bool, as_json: bool) -> Exit:
    """Show the newest lines that one node wrote, as it wrote them.

    Example: aitbc node logs v1 -e lab
    """
    if follow:
        return _follow(name, environment, lines=lines, as_json=as_json)
    found = services.logs(load(environment), name, lines=lines)
    if as_json:
        click.echo(json.dumps({"node": name, "lines": list(found)}))
        return Exit.OK
    for line in found:
        click.echo(line)
    return Exit.OK


def _follow(name: str, environment: str, *, lines: int, as_json: bool) -> Exit:
    try:
        for line in following.follow(load(environment), name, lines=lines):
            click.echo(json.dumps({"node": name, "line": line}) if as_json else line)
    except KeyboardInterrupt:
        pass  # the way in which this is meant to end
    return Exit.OK


def _control(action: Action, name: str, environment: str, *, as_json: bool, **more: Any) -> Exit:
    def work(tell: Tell) -> Outcome:
        return services.control(load(environment), action, name, tell, **more)

    return narrate(f"node {action}", work, as_json=as_json)
