"""`aitbc lab`: make, list, enter and destroy systemd hosts on this machine."""

import json
import os
from dataclasses import asdict

import click

from aitbc_toolkit import paths
from aitbc_toolkit.lab import access, lifecycle
from aitbc_toolkit.lab.addresses import FAMILIES
from aitbc_toolkit.lab.model import LabSpec, Limits
from aitbc_toolkit.lab.places import Places

_DEFAULT_NAME = "lab"


def _places() -> Places:
    return Places(state=paths.state_root(os.environ.get("AITBC_STATE")))


def _tell(line: str) -> None:
    click.echo(f"  {line}", err=True)


@click.group()
def lab() -> None:
    """Make, list, enter and destroy systemd hosts on this machine."""


@lab.command()
@click.argument("name", default=_DEFAULT_NAME)
@click.option("--hosts", default=4, show_default=True, help="How many hosts beside the forge.")
@click.option(
    "--cpu-percent",
    type=click.IntRange(min=0),
    default=0,
    help="Of one core, per host; 0 is no limit.",
)
@click.option(
    "--family",
    type=click.Choice(FAMILIES),
    help="Which addresses hosts have; mixed: some both, some one of the two.",
)
@click.option("--bare", is_flag=True, help="Hosts of a plain Debian, for `aitbc bootstrap`.")
@click.option("--owner-pid", type=int, help="End the lab when this process ends.")
def up(
    name: str,
    *,
    hosts: int,
    cpu_percent: int,
    family: str | None,
    bare: bool,
    owner_pid: int | None,
) -> None:
    """Bring up a lab of systemd hosts and a forge.

    Example: aitbc lab up lab
    """
    limits = Limits(cpu_percent=cpu_percent)
    spec = LabSpec(name, hosts, limits, bare=bare, family=family or "")
    kind = "bare hosts" if bare else "hosts"
    click.echo(f"aitbc lab up: {hosts} {kind} and a forge, lab {name}", err=True)
    made = lifecycle.bring_up(spec, progress=_tell, places=_places(), owner_pid=owner_pid)
    click.echo(f"Lab {name} is up: {', '.join(host.name for host in made.machines)}")
    click.echo(f"  enter   aitbc lab shell {name} {made.hosts[0].name}")
    click.echo(f"  stop    aitbc lab down {name}")


@lab.command()
@click.argument("name", default=_DEFAULT_NAME)
def down(name: str) -> None:
    """Stop a lab; its disks are gone, its keys stay.

    Example: aitbc lab down lab
    """
    was_up = lifecycle.take_down(name, places=_places())
    click.echo(f"Lab {name} is down" if was_up else f"Lab {name} was down already")


@lab.command()
@click.argument("name", default=_DEFAULT_NAME)
def destroy(name: str) -> None:
    """Stop a lab and remove everything of it, its keys too.

    Example: aitbc lab destroy lab
    """
    lifecycle.destroy(name, places=_places())
    click.echo(f"Lab {name} is gone")


@lab.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_(as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """List the labs of this checkout and how their hosts are.

    Example: aitbc lab list
    """
    states = lifecycle.list_labs(places=_places())
    if as_json:
        document = {"labs": [asdict(state) for state in states]}
        click.echo(json.dumps(document, default=str))
        return
    for state in states:
        running = sum(state.running.values())
        hosts = f"{running} of {len(state.lab.machines)} hosts run"
        if dead := [name for name, runs in state.running.items() if not runs]:
            hosts += f", off: {', '.join(dead)}; boot them with: aitbc lab up {state.lab.name}"
        click.echo(f"{state.lab.name:<16} {state.state:<9} {hosts}")
    if not states:
        click.echo("no labs; make one with: aitbc lab up", err=True)


@lab.command()
@click.argument("name")
@click.argument("host")
def shell(name: str, host: str) -> int:
    """Open a root shell on a host.

    Example: aitbc lab shell lab lab1
    """
    return access.open_shell(lifecycle.load_running(name, host, places=_places()), host)


@lab.command("exec", context_settings={"allow_interspersed_args": False})
@click.argument("name")
@click.argument("host")
@click.argument("command", nargs=-1, required=True)
def exec_(name: str, host: str, command: tuple[str, ...]) -> int:
    """Run a command on a host, as root.

    Example: aitbc lab exec lab lab1 uname -a
    """
    words = command[1:] if command[0] == "--" else command
    return access.pass_through(lifecycle.load_running(name, host, places=_places()), host, words)
