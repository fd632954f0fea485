"""`aitbc bootstrap | preflight | phases`: hosts that can take a deploy, and how far they are."""

import json
from dataclasses import asdict

import click

from aitbc_toolkit.cli.environment import environment_argument, load
from aitbc_toolkit.cli.narration import narrate
from aitbc_toolkit.cli.prompting import confirm
from aitbc_toolkit.cli.tables import Column, draw
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release.bootstrap import bootstrap as run_bootstrap
from aitbc_toolkit.release.checks import Report
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.phases import phases as list_phases
from aitbc_toolkit.release.preflight import preflight as run_preflight
from aitbc_toolkit.release.progress import Tell
from aitbc_toolkit.release.walking import walk

_COLUMNS = [Column(title) for title in ("AREA", "ITEM", "HOST", "STATE", "EVIDENCE")]


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


@click.command()
@environment_argument
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def preflight(environment: str, *, as_json: bool) -> Exit:
    """Look at access, git, disk, ports, clocks, versions, genesis, budget and the rest, at once.

    Nothing is changed. Exit 20 when a deploy would be refused.

    Example: aitbc preflight lab
    """
    found = run_preflight(load(environment))
    if as_json:
        click.echo(json.dumps(found.to_document()))
        return found.exit
    rows = [[each.area, each.item, each.host, each.state, each.evidence] for each in found.checks]
    for line in [*draw(_COLUMNS, rows), "", f"{found.environment}: {found.count}"]:
        click.echo(line)
    return _refuse(found)


@click.command()
@environment_argument
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def phases(environment: str, *, as_json: bool) -> Exit:
    """Tell how far an environment has come; the first gate that fails ends the walk.

    Nothing is changed. Exit 1 when a gate fails.

    Example: aitbc phases lab
    """
    found = list(walk(list_phases(load(environment))))
    failed = [each for each in found if each.state == "fail"]
    if as_json:
        click.echo(json.dumps({"phases": [asdict(each) for each in found]}))
        return Exit.FAILED if failed else Exit.OK
    for number, each in enumerate(found, start=1):
        click.echo(f"{number}  {each.name:<24} {each.state:<12} {each.evidence}")
    for each in failed:
        raise AitbcError(f"{each.name}: {each.evidence}", hint=each.hint, exit_status=Exit.FAILED)
    return Exit.OK


def _refuse(found: Report) -> Exit:
    """Say last what stands in the way, with the commands that help."""
    if not found.failed:
        return Exit.OK
    lines = [f"  {each.host:<10} {each.item:<14} {each.evidence}" for each in found.failed]
    raise AitbcError(
        "\n".join([f"preflight {found.environment}: a deploy would be refused", *lines]),
        hint="\n".join(dict.fromkeys(each.hint for each in found.failed if each.hint)),
        exit_status=found.exit,
    )
