"""`aitbc load`: let a swarm of clients hand in transactions, and see what a mesh makes of them."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import click

from aitbc_toolkit import paths
from aitbc_toolkit.cli import climb, contest, finite, swarm_picture, swarm_view, tables
from aitbc_toolkit.cli.baseline import baseline
from aitbc_toolkit.cli.environment import load as load_environment
from aitbc_toolkit.cli.reaching import environment_option, json_option
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import comparing, foreseen, loads, outposts, repertoire, runs, stepping
from aitbc_toolkit.suites.from_python import WORKERS_MAX
from aitbc_toolkit.suites.knee import Bounds
from aitbc_toolkit.suites.live import a_seed
from aitbc_toolkit.suites.report import writing
from aitbc_toolkit.suites.verdicts import exit_of

_COLUMNS = (
    tables.Column("SCENARIO"),
    tables.Column("ASKS", right=True),
    tables.Column("LASTS", right=True),
    tables.Column("ABOUT"),
)


@click.group()
def load() -> None:
    """Let a swarm of clients hand in transactions, and judge what a mesh makes of them."""


load.add_command(baseline)


@load.command("list")
@click.argument("scenario", required=False, default="")
@json_option
def list_(*, scenario: str, as_json: bool) -> None:
    """List the load scenarios that are built in; of one SCENARIO, what it breaks and must hold.

    Example: aitbc load list load/flood
    """
    found = [repertoire.offer(scenario)] if scenario else repertoire.listed()
    if as_json:
        click.echo(json.dumps({"schema": 1, "scenarios": [each.to_document() for each in found]}))
        return
    if scenario:
        click.echo("\n".join(swarm_picture.offered(found[0])))
        return
    rows = [(each.name, each.arrivals, each.lasts, each.about) for each in found]
    click.echo("\n".join(tables.draw(_COLUMNS, rows)))


@load.command()
@click.argument("scenario", default="load/steady")
@environment_option
@click.option("--rate", type=finite.rate(0.1), help="Ask for so many a second instead.")
@click.option("--for", "for_s", type=finite.seconds(1), help="For so many seconds instead.")
@click.option("--seed", type=int, help="Make the accounts of this seed.")
@click.option("--workers", type=click.IntRange(1, WORKERS_MAX), help="So many processes share it.")
@click.option("--workers-on", metavar="HOST[,HOST]", default="", help="They run on these hosts.")
@json_option
def run(
    *,
    scenario: str,
    environment: str,
    rate: float | None,
    for_s: float | None,
    seed: int | None,
    workers: int | None,
    workers_on: str,
    as_json: bool,
) -> Exit:
    """Run a load SCENARIO, by its name or its file, on the live mesh of an environment.

    The run judges itself first: one that was late, or did not offer what was asked, is INVALID. It
    ends with 0 only where all objectives held. load/knee is looked for, as by `aitbc load knee`.

    Example: aitbc load run load/steady -e dev --rate 100
    """
    found = load_environment(environment)
    crew = climb.crew(workers, workers_on)
    if repertoire.is_knee(scenario):
        if rate is not None:
            what = "no rate is asked for where the knee is looked for"
            raise UsageError(what, hint="aitbc load knee --from 200")
        return climb.look(found, Bounds(), crew, seed=seed, for_s=for_s, as_json=as_json)
    asked = _wanted(found, scenario, rate=rate, for_s=for_s, seed=seed)
    asked = replace(asked, workers=crew.workers, on=crew.on)
    return _played(found, asked, as_json=as_json)


@load.command()
@click.argument("scenario", default="load/steady")
@environment_option
@click.option(
    "--worker",
    "commands",
    multiple=True,
    required=True,
    metavar="COMMAND",
    help="What starts a worker, once for each; it speaks on standard input and output.",
)
@click.option("--rate", type=finite.rate(0.1), help="Ask for so many a second instead.")
@click.option("--for", "for_s", type=finite.seconds(1), help="For so many seconds instead.")
@click.option("--seed", type=int, help="Make the accounts of this seed.")
@json_option
def master(
    *,
    scenario: str,
    environment: str,
    commands: tuple[str, ...],
    rate: float | None,
    for_s: float | None,
    seed: int | None,
    as_json: bool,
) -> Exit:
    """Run a load SCENARIO with workers that you start, one for each command.

    On hosts of the environment `aitbc load run --workers-on` starts them; this is for others.

    Example: aitbc load master load/steady -e staging --worker 'ssh office1 aitbc load worker'
    """
    found = load_environment(environment)
    asked = _wanted(found, scenario, rate=rate, for_s=for_s, seed=seed)
    asked = replace(asked, workers=len(commands), commands=commands)
    return _played(found, asked, as_json=as_json)


@load.command()
def worker() -> None:
    """Be one worker: orders come in on standard input, answers go out on standard output.

    It ends with its input, or when it hears nothing for five seconds.

    Example: aitbc load worker
    """
    sys.exit(outposts.be_worker())


def _wanted(
    mesh: Environment, scenario: str, *, rate: float | None, for_s: float | None, seed: int | None
) -> loads.Wanted:
    case = repertoire.case(scenario)
    used, knee = a_seed() if seed is None else seed, stepping.known(mesh.name, paths.state_root())
    asked = loads.wanted(case.written, seed=used, faster=rate, longer=for_s, knee=knee, case=case)
    foreseen.require_fit(mesh, asked)
    return asked


def _played(found: Environment, asked: loads.Wanted, *, as_json: bool) -> Exit:
    """Play it before everybody's eyes, and say how it ended."""
    folder = runs.begin(paths.state_root())
    with swarm_view.shown(asked, found.name) as tell:
        played = loads.play(found, asked, folder, tell=tell)
    writing.attempt(folder, swarm_view.narrate)
    if as_json:
        document = {**played.record.to_document(folder), "result": played.told}
        click.echo(json.dumps(document))
    else:
        say("\n".join(swarm_picture.summary(played, folder)))
    return exit_of(played.record.verdict)


@load.command()
@environment_option
@click.option(
    "--from",
    "start",
    type=finite.rate(1),
    default=Bounds().start,
    show_default=True,
    help="Begin with so many a second.",
)
@click.option(
    "--most",
    type=finite.rate(1),
    default=Bounds().most,
    show_default=True,
    help="Never ask for more a second.",
)
@click.option("--for", "for_s", type=finite.seconds(1), help="Let a step last so many s.")
@click.option("--seed", type=int, help="Make the accounts of this seed.")
@click.option(
    "--workers", type=click.IntRange(1, WORKERS_MAX), help="So many processes share each step."
)
@click.option("--workers-on", metavar="HOST[,HOST]", default="", help="They run on these hosts.")
@json_option
def knee(
    *,
    environment: str,
    start: float,
    most: float,
    for_s: float | None,
    seed: int | None,
    workers: int | None,
    workers_on: str,
    as_json: bool,
) -> Exit:
    """Find how many transactions a second a mesh makes final as fast as they come.

    The rate is doubled until the mesh falls behind, then the bracket is halved; what fails is
    repeated once.

    Example: aitbc load knee -e dev
    """
    found = load_environment(environment)
    crew = climb.crew(workers, workers_on)
    bounds = Bounds(start=min(start, most), most=most)
    return climb.look(found, bounds, crew, seed=seed, for_s=for_s, as_json=as_json)


@load.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--scenario", default="load/steady", show_default=True, help="What they play.")
@click.option(
    "--runs",
    "count",
    type=click.IntRange(min=comparing.RUNS_MIN, max=20),
    default=comparing.RUNS_MIN,
    show_default=True,
    help="So many a side.",
)
@click.option(
    "--judge",
    type=click.Choice([*comparing.FIGURES]),
    multiple=True,
    default=comparing.JUDGED,
    show_default=True,
    help="Which figures decide; several share the chance of a false alarm.",
)
@click.option("--for", "for_s", type=finite.seconds(1), help="For so many seconds instead.")
@click.option("--seed", type=int, help="Make the accounts of this seed.")
@json_option
def compare(
    *,
    first: str,
    second: str,
    scenario: str,
    count: int,
    judge: tuple[str, ...],
    for_s: float | None,
    seed: int | None,
    as_json: bool,
) -> Exit:
    """Tell whether B is worse than A, by more than chance and by 5 % at least.

    A and B are environments, on which runs are played in turns, or recorded runs: their numbers
    with commas between them, or the commit that their nodes ran. Twice the same environment shows
    whether this machine is steady enough to compare anything on.

    Example: aitbc load compare 12,14,16,18,20 13,15,17,19,21
    """
    used = a_seed() if seed is None else seed
    asked = contest.asked(scenario, first, seed=used, for_s=for_s)
    taken = contest.sides(first, second, asked, count=count, say=swarm_view.narrate)
    found = comparing.compare(*taken, judged=judge)
    if as_json:
        click.echo(json.dumps(found.to_document()))
    else:
        say("\n".join(contest.told(found)))
    return Exit.OBJECTIVE if found.is_worse else Exit.OK


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
