"""`aitbc alerts`: what is wrong with a mesh, by the rules that a Prometheus is given too."""

import json
import time
from collections.abc import Callable

import click

from aitbc_toolkit.cli import tables
from aitbc_toolkit.cli.environment import load, load_records
from aitbc_toolkit.cli.finite import Finite, seconds
from aitbc_toolkit.cli.reaching import environment_option, json_option
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.declared import nearest
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.monitor import proving
from aitbc_toolkit.monitor import rules as ruling
from aitbc_toolkit.monitor.alerting import Change
from aitbc_toolkit.monitor.collecting import Collector

_COLUMNS = (
    tables.Column("ALERT"),
    tables.Column("STATE"),
    tables.Column("SEVERITY", spare=1),
    tables.Column("NODE"),
    tables.Column("WHAT"),
)
_LOOK_S = 2.0


@click.group()
def alerts() -> None:
    """Show what is wrong with a mesh; watch, print and test the rules."""


@alerts.command("list")
@environment_option
@click.option(
    "--for",
    "looks_s",
    type=Finite(1, 86_400),
    default=_LOOK_S,
    show_default=True,
    help="Seconds to look; a rule that counts sees only what happens meanwhile.",
)
@json_option
def list_(*, environment: str, looks_s: float, as_json: bool) -> Exit:
    """Look at the mesh, and show each rule: firing, pending, ok, or unknown.

    `unknown` where no node tells what the rule asks for. Status 1 when anything fires.

    Example: aitbc alerts list -e lab
    """
    with Collector(load(environment)) as collector:
        collector.look_for(looks_s)
        rows = collector.table()
    if as_json:
        click.echo(json.dumps({"schema": 1, "alerts": [row._asdict() for row in rows]}))
    else:
        cells = [(row.name, row.state, row.severity, row.node or "-", row.what) for row in rows]
        click.echo("\n".join(tables.draw(_COLUMNS, cells)))
    return Exit.FAILED if any(row.state == "firing" for row in rows) else Exit.OK


@alerts.command()
@click.argument("name")
@environment_option
@json_option
def show(*, name: str, environment: str, as_json: bool) -> None:
    """Show one rule: when it holds here, for how long, and what it says.

    Example: aitbc alerts show NodeDown -e lab
    """
    known = {rule.name: rule for rule in ruling.load(load_records(environment))}
    if name not in known:
        near = nearest(name, list(known))
        what = f"there is no alert {name!r}" + (f", the nearest is {near}" if near else "")
        raise UsageError(what, hint="aitbc alerts list")
    rule = known[name]
    told = {
        "alert": rule.name,
        "severity": rule.severity,
        "for_s": rule.for_s,
        "expr": rule.text,
        **rule.annotations,
        "runbook": f"docs/alerts.md#{rule.name.lower()}",
    }
    if as_json:
        click.echo(json.dumps(told))
    else:
        say("\n".join(f"{key:<10}{value}" for key, value in told.items()))


@alerts.command()
@environment_option
@click.option("--for", "looks_s", type=seconds(1), help="Seconds; else until Ctrl-C.")
@json_option
def watch(*, environment: str, looks_s: float | None, as_json: bool) -> Exit:
    """Watch a mesh and tell each alert as it is raised and as it is cleared.

    With --json one document a line. Status 1 when something still fires at the end.

    Example: aitbc alerts watch -e lab --for 60
    """
    found = load(environment)
    say(f"watching {found.name}: {len(ruling.load(found))} rules", err=True)
    with Collector(found, hear=_teller(as_json=as_json)) as collector:
        try:
            collector.look_for(looks_s)
        except KeyboardInterrupt:
            say("", err=True)
        firing = collector.firing
    return Exit.FAILED if firing else Exit.OK


@alerts.command()
@environment_option
def rules(*, environment: str) -> None:
    """Print the rules of an environment as a file for a Prometheus.

    Example: aitbc alerts rules -e production
    """
    click.echo(ruling.text(load_records(environment)), nl=False)


@alerts.command()
@environment_option
@json_option
def test(*, environment: str, as_json: bool) -> Exit:
    """Test the rules on made-up metrics, here and by promtool where it is installed.

    Example: aitbc alerts test -e production
    """
    found = load_records(environment)
    proof, theirs = proving.prove(found), proving.promtool(found)
    wrong = [*proof.wrong, *(f"no test: {name}" for name in proof.untested)]
    by_tool = "not available: no promtool on PATH" if theirs is None else theirs or "passed"
    if as_json:
        told = {"rules": proof.rules, "moments": proof.moments, "wrong": wrong}
        click.echo(json.dumps({"schema": 1, **told, "promtool": by_tool}))
    else:
        say(f"{proof.rules} rules of {found.name} at {proof.moments} moments: {len(wrong)} wrong")
        say("\n".join([*(f"  {each}" for each in wrong), f"promtool: {by_tool}"]))
    if wrong or theirs:
        raise AitbcError("the alert rules are wrong", hint="edit templates/alerts.yaml.j2")
    return Exit.OK


def _teller(*, as_json: bool) -> Callable[[Change, float], None]:
    def tell(change: Change, at: float) -> None:
        if as_json:
            told = {"at": round(at, 3), "state": change.state, **change.alert.to_document()}
            click.echo(json.dumps(told))
        else:
            moment = time.strftime("%H:%M:%S", time.localtime(at))
            alert = change.alert
            head = f"{moment}  {change.state:<8} {alert.rule.severity:<9} {alert.name:<18}"
            click.echo(tables.printable(f"{head} {alert.summary}"))

    return tell
