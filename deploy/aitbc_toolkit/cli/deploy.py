"""`aitbc deploy | plan | rollback | status | history`: the releases of an environment."""

import json
from typing import Any

import click

from aitbc_toolkit.books import LOAD_RATE, RATE_MAX
from aitbc_toolkit.cli.environment import (
    break_lease_option,
    environment_argument,
    load_records,
)
from aitbc_toolkit.cli.environment import load as load_environment
from aitbc_toolkit.cli.narration import Plain, narrate
from aitbc_toolkit.cli.planning import choosing, chosen, restoring, show
from aitbc_toolkit.cli.prompting import confirm
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import history as records
from aitbc_toolkit.release import integrity, state
from aitbc_toolkit.release.deploy import deploy as run_deploy
from aitbc_toolkit.release.inquiry import inquire
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.preview import preview
from aitbc_toolkit.release.progress import Tell
from aitbc_toolkit.release.resuming import resume as resume_run
from aitbc_toolkit.release.rollback import rollback as run_rollback

_json = click.option("--json", "as_json", is_flag=True, help="Write records as JSON lines.")
_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask on a terminal.")
_stall = click.option("--allow-stall", is_flag=True, help="Accept that the mesh stops meanwhile.")
_load = click.option(
    "--load",
    type=click.IntRange(1, RATE_MAX),
    is_flag=False,
    flag_value=LOAD_RATE,
    metavar="[RATE]",
    help=f"Pay RATE times a second meanwhile, {LOAD_RATE} unless given; nothing may be lost.",
)


class WithStatus(click.Command):
    """Take `deploy status` for a command of its own; any other word is an environment."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Hand over to the other command where it is named."""
        if args[:1] == ["status"]:
            return deploy_status.make_context(f"{info_name} status", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=WithStatus)
@environment_argument
@choosing
@restoring
@click.option("--resume", is_flag=True, help="Bring the last run to its end.")
@click.option("--plan", default="", metavar="HASH", help="Do exactly this plan, or refuse.")
@click.option(
    "--on-failure",
    type=click.Choice(["rollback", "pause", "continue"]),
    default="rollback",
    show_default=True,
    help="What follows when a wave fails.",
)
@click.option("--allow-downgrade", is_flag=True, help="Accept an older signed release; audited.")
@click.option("--push", is_flag=True, help="Give the commit and its tag to origin before.")
@_load
@click.option("--dry-run", is_flag=True, help="Print the plan and change nothing.")
@break_lease_option
@_yes
@_json
def deploy(
    environment: str,
    *,
    resume: bool,
    plan: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> Exit:
    """Take a commit to every host, one node at a time, and prove that it votes.

    `deploy status` tells how far the running or the last run came.

    Example: aitbc deploy lab

    Example: aitbc deploy production --host one --restore --identity ~/.ssh/id_ed25519
    --old-host-is-gone 'its disk is destroyed'
    """
    request = chosen(options, plan=plan, resume=resume, dry_run=dry_run)
    if dry_run:
        return show(
            preview(load_environment(environment), request, _quiet(as_json=as_json)),
            as_json=as_json,
        )

    def work(tell: Tell) -> Outcome:
        found = load_environment(environment)
        confirm(found, f"deploy to {found.name}?", yes=yes)
        return (resume_run if resume else run_deploy)(found, request, tell)

    return narrate("deploy", work, as_json=as_json, waves=True)


@click.command()
@environment_argument
@choosing
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def plan(environment: str, *, as_json: bool, **options: Any) -> Exit:
    """Show what a deploy would change, in which waves, at what cost; 2 when anything is pending.

    Example: aitbc plan lab
    """
    request = chosen(options)
    return show(
        preview(load_environment(environment), request, _quiet(as_json=as_json)), as_json=as_json
    )


def _quiet(*, as_json: bool) -> Tell:
    """Say on a terminal what is looked at; a program that reads gets the document alone."""
    return (lambda _record: None) if as_json else Plain().tell


@click.command("status")
@environment_argument
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def deploy_status(environment: str, *, as_json: bool) -> Exit:
    """Tell how far the running or the last run came, also when its controller was killed.

    Example: aitbc deploy status lab
    """
    found = load_environment(environment)
    asked = inquire(found)
    if as_json:
        click.echo(json.dumps(asked.to_document() if asked else None))
    else:
        nothing = [f"{found.name} has no deploys of a chain that is there"]
        for line in asked.to_lines() if asked else nothing:
            say(line)
    return asked.exit if asked else Exit.OK


@click.command()
@environment_argument
@_stall
@_load
@break_lease_option
@_yes
@_json
def rollback(
    environment: str,
    *,
    allow_stall: bool,
    load: int | None,
    break_lease: str,
    yes: bool,
    as_json: bool,
) -> Exit:
    """Return to the newest release that was healthy before; nobody has to name it.

    Example: aitbc rollback lab
    """

    def work(tell: Tell) -> Outcome:
        found = load_environment(environment)
        confirm(found, f"roll back {found.name}?", yes=yes)
        return run_rollback(
            found, tell, allow_stall=allow_stall, break_lease=break_lease, load=load or 0
        )

    return narrate("rollback", work, as_json=as_json, waves=True)


@click.command()
@environment_argument
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def status(environment: str, *, as_json: bool) -> Exit:
    """Show what runs where: release, service, height, votes; read now from hosts and nodes.

    Example: aitbc status lab
    """
    found = state.look(load_environment(environment))
    if as_json:
        click.echo(json.dumps(found.to_document()))
    else:
        for line in found.to_lines():
            say(line)
    if not found.is_silent:
        return Exit.OK
    say(f"hint: aitbc up {found.environment}", err=True)
    return Exit.UNREACHABLE


@click.command()
@environment_argument
@click.option("--verify", "whole", is_flag=True, help="Find edited, removed and missed records.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def history(environment: str, *, whole: bool, as_json: bool) -> Exit:
    """List the deploys and rollbacks of an environment, the newest last.

    Example: aitbc history lab
    """
    if whole:
        return _verify(load_environment(environment), as_json=as_json)
    found = load_records(environment)
    known = records.read(found)
    if as_json:
        click.echo(json.dumps([record.to_document() for record in known]))
        return Exit.OK
    for line in state.history_lines(found.name, known):
        click.echo(line)
    return Exit.OK


def _verify(environment: Environment, *, as_json: bool) -> Exit:
    shelves = integrity.verify(environment)
    if as_json:
        click.echo(json.dumps([shelf.to_document() for shelf in shelves]))
    else:
        for shelf in shelves:
            click.echo(shelf.to_line())
    if any(shelf.findings for shelf in shelves):
        return Exit.FAILED
    if all(shelf.runs is not None for shelf in shelves):
        return Exit.OK
    say(f"hint: which hosts answer: aitbc status {environment.name}", err=True)
    return Exit.UNREACHABLE
