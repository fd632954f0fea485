"""`aitbc chaos`: break a live mesh on purpose; each fault ends by itself, on its hosts."""

import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import click

from aitbc_toolkit import faults
from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.cli.environment import load
from aitbc_toolkit.cli.finite import Finite
from aitbc_toolkit.cli.reaching import environment_option, json_option
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.faults import aiming
from aitbc_toolkit.faults.kinds import LEASE_MAX_S, Choice, Range
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import founding, sparing
from aitbc_toolkit.remote import Hosts

_POWER_MAX = 33.4
_NOT_COMPARED = "other faults go on, so not every host was compared"
_WHOLE = "; all hosts are as before"


@click.group()
def chaos() -> None:
    """Break a live mesh on purpose; each fault ends by itself, on its hosts."""


def _fault_options(command: Callable[..., Exit]) -> Callable[..., Exit]:
    """Give a command the words that aim a fault, and the cap on what it may hit."""
    for option in reversed(
        [
            click.argument("kind"),
            click.argument("words", metavar="[NODE...]", nargs=-1),
            click.option(
                "--for",
                "lease_s",
                type=Finite(1, LEASE_MAX_S),
                default=20.0,
                show_default=True,
                help="Seconds until its hosts end it.",
            ),
            click.option("--set", "settings", multiple=True, help="NAME=VALUE; see `chaos kinds`."),
            click.option("--shape", type=click.Choice(aiming.SHAPES), default=None, help="A cut."),
            click.option("--seed", type=int, help="Repeat what any(n) and power() drew."),
            click.option(
                "--max-power",
                type=Finite(0, 100),
                help=f"In %; {_POWER_MAX} unless told, and never what stops blocks now.",
            ),
            click.option(
                "--max-nodes",
                type=click.IntRange(min=1),
                default=1_000,
                help="How many it may hit.",
            ),
            environment_option,
            json_option,
        ]
    ):
        command = option(command)
    return command


@chaos.command()
@_fault_options
@click.option("--dry-run", is_flag=True, help="Print the commands and edges; change nothing.")
def run(*, as_json: bool, dry_run: bool, **words: Any) -> Exit:
    """Inject a fault, prove that it bites, wait for its end, and compare the hosts.

    NODE is a name, leader, next_leader, role:full, any(2) or power(<1/3); a bar parts groups.

    Example: aitbc chaos run net.cut 'v1 | v2 v3 v4' --for 20 -e lab
    """
    with ExitStack() as stack:
        environment, fault, cap, remote = _aimed(stack, words)
        if dry_run:
            return _show(faults.plan(environment, fault, remote, cap=cap), as_json=as_json)
        hear = _document if as_json else _tell
        with faults.injected(environment, fault, tell=hear, cap=cap, remote=remote) as told:
            told.wait_end()
    return Exit.OK


@chaos.command()
@_fault_options
def plan(*, as_json: bool, **words: Any) -> Exit:
    """Show what a fault would do, command by command; change nothing.

    Example: aitbc chaos plan proc.stop leader -e lab
    """
    with ExitStack() as stack:
        environment, fault, cap, remote = _aimed(stack, words)
        return _show(faults.plan(environment, fault, remote, cap=cap), as_json=as_json)


@chaos.command()
@click.option("--accept", is_flag=True, help="Take what differs for how the hosts should be.")
@environment_option
@json_option
def heal(*, environment: str, accept: bool, as_json: bool) -> Exit:
    """End every fault now, and compare each host with what it was before.

    Example: aitbc chaos heal -e lab
    """
    found = load(environment)
    with Hosts(found) as remote:
        told = faults.heal(found, remote, accept=accept)
    if as_json:
        click.echo(json.dumps(told))
        return Exit.OK
    differs = [f"{name:<14} {each}" for name, one in told.items() for each in one["residue"]]
    for line in differs:
        say(f"accepted  {line}")
    ended = sorted({each for answer in told.values() for each in answer["healed"]})
    count = f"{len(ended)} fault{'' if len(ended) == 1 else 's'}"
    say(f"healed {count} on {_named(found)}" + ("" if differs else _WHOLE))
    return Exit.OK


@chaos.command()
@environment_option
@json_option
def status(*, environment: str, as_json: bool) -> Exit:
    """Show which faults hosts have, how long still, and what earlier ones left behind.

    Example: aitbc chaos status -e lab
    """
    found = load(environment)
    with Hosts(found) as remote:
        told = faults.status(found, remote)
    unclean = any(answer["residue"] for answer in told.values())
    if as_json:
        shown = {
            name: {key: each[key] for key in ("active", "residue")} for name, each in told.items()
        }
        click.echo(json.dumps(shown))
    else:
        say(f"{_named(found)}:")
        for name, answer in told.items():
            for line in _state(answer):
                say(f"{name:<14} {line}")
    return Exit.UNHEALED if unclean else Exit.OK


@chaos.command()
def kinds() -> None:
    """List the faults, what may be set about them, and what cannot be injected.

    Example: aitbc chaos kinds
    """
    for name, kind in faults.KINDS.items():
        words = [f"{key}={_range(each)}" for key, each in kind.parameters.items()]
        say(f"{name:<14} {'; '.join([kind.about, *words])}")
    for name, why in faults.REFUSED.items():
        say(f"{name:<14} refused: {why}")


def _named(environment: Environment) -> str:
    """Name an environment; one that was never founded has hosts perhaps, but nothing to break."""
    return environment.name + ("" if founding.read(environment) else ", which has no mesh")


def _aimed(
    stack: ExitStack, words: Mapping[str, Any]
) -> tuple[Environment, faults.Fault, faults.Cap, Hosts]:
    """Find out what is meant: who leads now, and who is drawn."""
    found = load(words["environment"])
    faults.allow(found)
    with open_mesh(found) as mesh:
        seen = faults.look(found, mesh)
    seed = secrets.randbelow(2**32) if words["seed"] is None else words["seed"]
    fault = aiming.aim(
        words["kind"],
        words["words"],
        seen,
        lease_s=words["lease_s"],
        shape=words["shape"] or "",
        settings=words["settings"],
        seed=seed,
    )
    if any("(" in word for word in words["words"]):
        say(f"seed {seed}", err=True)
    cap = _cap(found, fault, words)
    return found, fault, cap, stack.enter_context(Hosts(found))


def _cap(environment: Environment, fault: faults.Fault, words: Mapping[str, Any]) -> faults.Cap:
    """Bound a fault; without a word on power also by what the mesh can spare at this moment."""
    power_max = words["max_power"]
    if power_max is None:
        power_max = _POWER_MAX
        sparing.keep_blocks(environment, faults.radius(environment, fault).nodes)
    return faults.Cap(words["max_nodes"], power_max, minutes=LEASE_MAX_S / 60)


def _document(record: Mapping[str, Any]) -> None:
    """Print what a fault has shown, once it has ended, however that was."""
    if record["kind"] == "fault.end":
        click.echo(json.dumps({key: value for key, value in record.items() if key != "kind"}))


def _show(found: faults.Plan, *, as_json: bool) -> Exit:
    if as_json:
        click.echo(json.dumps(found.to_document()))
    else:
        say("\n".join(found.to_lines()))
    return Exit.REFUSED if found.refusals else Exit.OK


def _tell(record: Mapping[str, Any]) -> None:
    match record["kind"]:
        case "fault.begin":
            say(f"injected  {record['about']}")
        case "fault.proved":
            after_s = record["bitten_at"] - record["began_at"]
            say(f"bites     after {after_s:.1f} s")
            for host, evidence in record["evidence"].items():
                say(f"  {host:<14} {_evidence(evidence)}")
        case _:
            said = _NOT_COMPARED if record["active"] else "all hosts are as before"
            say("healed    " + ("NOT" if record["residue"] else said))
            for host, left in [*record["residue"].items(), *record["active"].items()]:
                say("\n".join(f"  {host:<14} {each}" for each in left))


def _evidence(evidence: Mapping[str, Any]) -> str:
    shown = []
    for what, seen in evidence.items():
        peers = isinstance(seen, Mapping) and [
            f"{n} ({why or 'reached'})" for n, why in seen.items()
        ]
        shown.append(f"{what}: {' '.join(peers) if peers else seen}")
    return "; ".join(shown)


def _state(answer: Mapping[str, Any]) -> list[str]:
    lines = [f"{each['about']}: {each['left_s']:.0f} s left" for each in answer["active"]]
    lines += [f"left behind: {each}" for each in answer["residue"]]
    return lines or ["no fault"]


def _range(known: Range | Choice) -> str:
    if isinstance(known, Choice):
        return "|".join(known.words)
    return f"{known.low:g}..{known.high:g} {known.unit} ({known.default:g})"
