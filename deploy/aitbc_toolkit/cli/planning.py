"""Which options choose what a deploy does, and how is a plan shown?"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.declared import BAKE_S_MAX
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.release.plan import Plan
from aitbc_toolkit.release.request import Choice, Lost, Request

_Command = TypeVar("_Command", bound=Callable[..., Any])

_path = click.Path(path_type=Path)

_OPTIONS = (
    click.option("--ref", help="A commit, tag or branch; HEAD unless given."),
    click.option("--dirty", is_flag=True, help="Take uncommitted work along (dev and lab)."),
    click.option("--only", multiple=True, metavar="NODE", help="This node alone; may be repeated."),
    click.option(
        "--canary",
        type=click.IntRange(min=0),
        metavar="COUNT",
        help="So many nodes first, 0 for none; else as the inventory says.",
    ),
    click.option(
        "--bake",
        type=click.IntRange(1, BAKE_S_MAX),
        metavar="SECONDS",
        help="How long the canary is watched before the others follow; else as the inventory says.",
    ),
    click.option("--allow-stall", is_flag=True, help="Accept that the mesh stops meanwhile."),
)


_RESTORING = (
    click.option("--host", default="", metavar="HOST", help="With --restore: which one."),
    click.option("--restore", is_flag=True, help="Bring back what HOST has lost: keys, blocks."),
    click.option(
        "--old-host-is-gone",
        default="",
        metavar="REASON",
        help="With --restore: why the old host cannot sign any more; audited.",
    ),
    click.option("--keys", type=_path, metavar="FOLDER", help="Else the newest `keys backup`."),
    click.option("--identity", type=_path, metavar="FILE", help="The SSH key that opens them."),
)


def restoring(command: _Command) -> _Command:
    """Give a command the options that bring a lost host back."""
    for option in reversed(_RESTORING):
        command = option(command)
    return command


def choosing(command: _Command) -> _Command:
    """Give a command the options that say what changes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen(
    options: dict[str, Any], *, plan: str = "", resume: bool = False, dry_run: bool = False
) -> Request:
    """Put the options together.

    Raises: UsageError when a named plan, or a run that is resumed, says an option already.
    """
    said = _said(options, "ref", "dirty", "only", "canary", "bake", "allow_stall")
    if plan and said:
        flag = f"--{said[0].replace('_', '-')}"
        raise UsageError(f"--plan says {flag} already", hint=f"aitbc deploy --plan {plan}")
    if resume and dry_run:
        raise UsageError("--resume has no plan to print", hint="aitbc deploy status")
    if options.get("push") and (resume or dry_run):
        why = "--resume does what was begun" if resume else "--dry-run changes nothing anywhere"
        raise UsageError(f"{why}, and --push gives commits away", hint="leave --push out")
    if resume and options["load"]:
        raise UsageError("--resume has no load beside it", hint="aitbc deploy --resume")
    if resume and (plan or said[:1] not in ([], ["allow_stall"])):
        flag = "--plan" if plan else f"--{said[0].replace('_', '-')}"
        raise UsageError(f"--resume does what was begun, not {flag}", hint="aitbc deploy --resume")
    choice = Choice(
        only=tuple(sorted(set(options["only"]))),
        canary=options["canary"],
        bake_s=options["bake"],
        allow_stall=options["allow_stall"],
    )
    return Request(
        ref=options["ref"],
        snapshot=options["dirty"],
        choice=choice,
        plan=plan,
        on_failure=options.get("on_failure", "rollback"),
        allow_downgrade=options.get("allow_downgrade", False),
        break_lease=options.get("break_lease", ""),
        push=options.get("push", False),
        load=options.get("load") or 0,
        lost=_lost(options, by_run=bool(plan or resume)),
    )


def _said(options: dict[str, Any], *names: str) -> list[str]:
    """List which of these options were given; a count of 0 says something, too."""
    return [
        name for name in names if options[name] not in ((), None, "") and options[name] is not False
    ]


def show(plan: Plan, *, as_json: bool) -> Exit:
    """Print a plan; the status says whether anything is pending."""
    if as_json:
        document = {"hash": plan.hash, **plan.to_document(), "open_run": plan.open_run}
        click.echo(json.dumps(document))
    else:
        for line in plan.to_lines():
            click.echo(line)
        if plan.open_run:
            say(f"\nnext: aitbc deploy status {plan.environment}")
        elif plan.pending:
            say(f"\nnext: aitbc deploy {plan.environment} --plan {plan.hash[:12]}")
    return Exit.PENDING if plan.pending else Exit.OK


def _lost(options: dict[str, Any], *, by_run: bool) -> Lost | None:
    """Put the options of a restore together; `by_run`: another run has said what is done.

    Raises: UsageError when one of them stands alone, or when an option says what is restored.
    """
    host, wanted = options.get("host"), options.get("restore")
    keys, identity = options.get("keys"), options.get("identity")
    gone = options.get("old_host_is_gone")
    if not (host or wanted or keys or identity or gone):
        return None
    if not (host and wanted and identity and gone):
        needs = "--host HOST --restore --identity FILE --old-host-is-gone REASON"
        raise UsageError(
            f"a restore needs all of {needs}",
            hint="aitbc deploy ENV --host HOST --restore --identity ~/.ssh/id_ed25519 "
            "--old-host-is-gone 'its disk is destroyed'",
        )
    said = _said(options, "ref", "dirty", "only", "canary", "bake")
    if said or by_run:
        why = "a restore brings back what the others run, on the host's nodes"
        flag = f"--{said[0]}" if said else "--plan or --resume"
        raise UsageError(f"{why}, not {flag}", hint="leave it out")
    return Lost(host, identity, gone, keys)
