"""`aitbc load baseline`: keep what a mesh bears, and judge later runs by it."""

import json
from collections.abc import Iterator, Sequence

import click

from aitbc_toolkit.cli import finite, swarm_view, tables
from aitbc_toolkit.cli.environment import load as load_environment
from aitbc_toolkit.cli.reaching import environment_option, json_option
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import baselines, rounds, shelf
from aitbc_toolkit.suites.baselines import Baseline, Judgement, Ran
from aitbc_toolkit.suites.comparing import RUNS_MIN
from aitbc_toolkit.suites.live import a_seed
from aitbc_toolkit.suites.rounds import Asked
from aitbc_toolkit.suites.showing import SIMULATED

_COLUMNS = (
    tables.Column("FIGURE"),
    tables.Column("BASELINE", right=True),
    tables.Column("NOW", right=True),
    tables.Column("NOW TO IT", right=True),
    tables.Column("BY CHANCE", right=True, spare=1),
    tables.Column("NOW IS"),
)
_KEPT = (
    tables.Column("SCENARIO"),
    tables.Column("RUNS", right=True),
    tables.Column("FIGURES", spare=1),
    tables.Column("KEPT"),
)
_SCENARIO = click.argument("scenario", default="load/steady")
_OF = click.option(
    "--of", "numbers", metavar="RUN,RUN", default="", help="Take these recorded runs, play none."
)


@click.group()
def baseline() -> None:
    """Keep what a mesh bears, and judge later runs by it."""


@baseline.command()
@_SCENARIO
@environment_option
@click.option(
    "--runs",
    "count",
    type=click.IntRange(min=RUNS_MIN, max=20),
    default=RUNS_MIN,
    show_default=True,
    help="Play so many.",
)
@click.option("--rate", type=finite.rate(0.1), help="Ask for so many a second instead.")
@click.option("--for", "for_s", type=finite.seconds(1), help="For so many seconds instead.")
@click.option("--seed", type=int, help="Begin with this seed.")
@_OF
@json_option
def keep(
    *,
    scenario: str,
    environment: str,
    count: int,
    rate: float | None,
    for_s: float | None,
    seed: int | None,
    numbers: str,
    as_json: bool,
) -> None:
    """Store runs of SCENARIO as the baseline of an environment, in place of the one before.

    SCENARIO is a load scenario, load/knee, or one of a suite, such as partition/minority.

    Example: aitbc load baseline keep load/steady -e dev
    """
    found, name = _environment(environment)
    wanted = rounds.known(scenario)
    first = a_seed() if seed is None else seed
    seeds = rounds.seeds(wanted, first, count)
    asked = Asked(rate=rate, for_s=for_s)
    if not numbers:
        rounds.require_worth(found, wanted, seeds, asked=asked)
    runs = _runs(found, wanted, seeds, asked=asked, numbers=numbers)
    kept = baselines.gather(wanted, name, runs)
    baselines.require_ratios(kept)
    kept = rounds.repeatable(found, kept)
    path = shelf.keep(kept)
    if as_json:
        click.echo(json.dumps({"schema": 1, **_document(kept), "file": str(path)}))
    else:
        say(f"kept: {wanted} on {name}, runs {', '.join(kept.runs)}, in {path}")


@baseline.command()
@_SCENARIO
@environment_option
@_OF
@json_option
def judge(*, scenario: str, environment: str, numbers: str, as_json: bool) -> Exit:
    """Play SCENARIO as often as its baseline was, with its seeds, and tell whether it is worse.

    Worse is by more than 10 % and by more than chance. What was measured on another machine, or
    under another configuration, is refused.

    Example: aitbc load baseline judge load/steady -e dev
    """
    found, name = _environment(environment)
    wanted = rounds.known(scenario)
    before = shelf.kept(name, wanted)
    baselines.require_ratios(before)
    if not numbers:
        rounds.require_same(found, before)
    asked = Asked(before.rate, before.for_s, before.tier)
    runs = _runs(found, wanted, before.seeds, asked=asked, numbers=numbers)
    judged = baselines.judge(before, baselines.gather(wanted, name, runs))
    if as_json:
        click.echo(json.dumps(judged.to_document()))
    else:
        say("\n".join(told(judged)))
        if judged.is_worse and (busy := rounds.busy_at(judged.now)):
            say(f"perhaps {busy}; `aitbc load compare` plays both sides now, and in turns")
    return Exit.OBJECTIVE if judged.is_worse else Exit.OK


@baseline.command("list")
@environment_option
@json_option
def list_(*, environment: str, as_json: bool) -> None:
    """List the baselines of an environment.

    Example: aitbc load baseline list -e dev
    """
    _, name = _environment(environment)
    found = shelf.all_kept(name)
    if as_json:
        click.echo(json.dumps({"schema": 1, "baselines": [_document(each) for each in found]}))
        return
    rows = [
        (each.scenario, str(len(each.runs)), ", ".join(each.figures), each.date) for each in found
    ]
    say("\n".join(tables.draw(_KEPT, rows)) if rows else f"{name} has no baseline")


def _environment(named: str) -> tuple[Environment | None, str]:
    """Find an environment; the simulator is none."""
    if named == SIMULATED:
        return None, SIMULATED
    found = load_environment(named)
    return found, found.name


def _runs(
    found: Environment | None,
    scenario: str,
    seeds: Sequence[int],
    *,
    asked: Asked,
    numbers: str,
) -> list[Ran]:
    if numbers:
        return rounds.recorded(numbers)
    where = found.name if found else SIMULATED
    swarm_view.narrate(f"{scenario} on {where}: {len(seeds)} runs")
    return rounds.played(found, scenario, seeds, asked=asked, say=swarm_view.narrate)


def _document(kept: Baseline) -> dict[str, object]:
    return {
        "scenario": kept.scenario,
        "environment": kept.environment,
        "date": kept.date,
        "runs": kept.runs,
        "seeds": kept.seeds,
        "builds": kept.builds,
        "machine": kept.machine,
        "figures": kept.figures,
    }


def told(judged: Judgement) -> Iterator[str]:
    """Write a judgement, its sentence last."""
    rows = [
        (
            row.figure,
            f"{row.before:,.4g}",
            f"{row.now:,.4g}",
            f"{row.ratio:.3f}",
            f"{row.p:.3f}",
            row.word,
        )
        for row in judged.rows
    ]
    yield from tables.draw(_COLUMNS, rows)
    sides = zip(("baseline", "now"), (judged.before, judged.now), judged.builds, strict=True)
    for side, numbers, builds in sides:
        yield f"  {side:<9} runs {', '.join(numbers)}; of {' '.join(b[:12] for b in builds)}"
    worse = [row for row in judged.rows if row.word == "worse"]
    if not worse:
        share = 100 * baselines.WORSE_MAX
        yield f"{judged.scenario} on {judged.environment}: no loss above {share:.0f} % was shown."
    for row in worse:
        yield (
            f"{judged.scenario} on {judged.environment} is worse than its baseline:"
            f" {row.figure} is {row.ratio:.3f} times as much, chance alone does that in"
            f" {row.p:.3f} of cases (allowed {judged.chance_max:.3f})."
        )
