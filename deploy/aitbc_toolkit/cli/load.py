"""`aitbc load`: let a swarm of clients hand in transactions, and see what a mesh makes of them."""

import json
from pathlib import Path

import click

from aitbc_toolkit import paths
from aitbc_toolkit.cli import swarm_picture, tables
from aitbc_toolkit.cli.environment import load as load_environment
from aitbc_toolkit.cli.reaching import environment_option, json_option
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.suites import loads, repertoire, runs
from aitbc_toolkit.suites.live import a_seed
from aitbc_toolkit.suites.report import writing
from aitbc_toolkit.suites.verdicts import exit_of

_COLUMNS = (
    tables.Column("SCENARIO"),
    tables.Column("ASKS", right=True),
    tables.Column("LASTS", right=True),
    tables.Column("ABOUT", spare=1),
)


@click.group()
def load() -> None:
    """Let a swarm of clients hand in transactions, and judge what a mesh makes of them."""


@load.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the load scenarios that are built in.

    Example: aitbc load list
    """
    found = repertoire.built_in()
    if as_json:
        click.echo(json.dumps({"schema": 1, "scenarios": [each.to_document() for each in found]}))
        return
    rows = [(each.name, each.arrivals, each.lasts, each.about) for each in found]
    click.echo("\n".join(tables.draw(_COLUMNS, rows)))


@load.command()
@click.argument("scenario", default="load/steady")
@environment_option
@click.option("--rate", type=click.FloatRange(min=0.1), help="Ask for so many a second instead.")
@click.option("--for", "for_s", type=click.FloatRange(min=1), help="For so many seconds instead.")
@click.option("--seed", type=int, help="Make the accounts of this seed.")
@json_option
def run(
    *,
    scenario: str,
    environment: str,
    rate: float | None,
    for_s: float | None,
    seed: int | None,
    as_json: bool,
) -> Exit:
    """Run a load SCENARIO, by its name or its file, on the live mesh of an environment.

    The run judges itself first: one that was late, or did not offer what was asked, is INVALID.

    Example: aitbc load run load/steady -e dev --rate 100
    """
    written = repertoire.find(scenario)
    found = load_environment(environment)
    folder = runs.begin(paths.state_root())
    used = a_seed() if seed is None else seed
    asked = loads.wanted(written, seed=used, faster=rate, longer=for_s)
    picture = swarm_picture.Seconds(asked, found.name)
    played = loads.play(found, asked, folder, tell=picture.tell)
    writing.attempt(folder, picture.say)
    if as_json:
        document = {**played.record.to_document(folder), "result": played.told}
        click.echo(json.dumps(document))
    else:
        say("\n".join(swarm_picture.summary(played, folder)))
    return exit_of(played.record.verdict)


@load.command()
@click.argument("run", required=False, default="")
@json_option
def status(*, run: str, as_json: bool) -> None:
    """Show how far a run of a swarm is, or how it ended; without RUN, the newest.

    Example: aitbc load status
    """
    folder = _folder(run)
    seen = repertoire.seen(folder)
    if as_json:
        click.echo(json.dumps({"schema": 1, "run": folder.name, **seen.to_document()}))
    else:
        say("\n".join(swarm_picture.standing(seen, folder)))


def _folder(run: str) -> Path:
    found = repertoire.folders(paths.state_root())
    if not found:
        raise UsageError("no swarm has run here", hint="aitbc load run")
    if not run:
        return found[0]
    for folder in found:
        if folder.name.lstrip("0") == run.lstrip("0"):
            return folder
    raise UsageError(f"run {run!r} is none of a swarm", hint="aitbc report list")
