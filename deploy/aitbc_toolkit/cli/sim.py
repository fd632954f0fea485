"""Which commands run the simulator? Parsing and printing only; the work is in `aitbc_sim.run`."""

import os

import click
import msgspec

from aitbc_sim.bugs import BUGS
from aitbc_sim.run import PASS, Case, Outcome, Summary
from aitbc_sim.run import run as run_case
from aitbc_sim.run import sweep as run_sweep
from aitbc_toolkit.errors import Exit

_BUG = click.option(
    "--bug", type=click.Choice(sorted(BUGS)), help="Plant a bug; its checker must turn red."
)
_HARD = click.option(
    "--hard", is_flag=True, help="Run the day that is made for forks, not the seed's own."
)


@click.group()
def sim() -> None:
    """Run seeds of the deterministic simulator."""


@sim.command()
@click.option("--seed", type=click.IntRange(min=0), required=True, help="Which run.")
@_HARD
@_BUG
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run(seed: int, bug: str | None, *, hard: bool, as_json: bool) -> Exit:
    """Run one seed; 0 is a pass, 10 unsafe, 11 stuck, 70 a crash of the node's own code."""
    outcome = run_case(Case(seed, bug, hard))
    if as_json:
        click.echo(msgspec.json.encode(outcome))
    else:
        _tell(outcome)
    return outcome.exit_status


@sim.command()
@click.option("--seeds", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one per core.")
@_HARD
@_BUG
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def sweep(
    seeds: int, first: int, workers: int | None, bug: str | None, *, hard: bool, as_json: bool
) -> Exit:
    """Run many seeds; a found violation prints the line that repeats it."""
    count = workers or os.cpu_count() or 1
    click.echo(f"running seeds {first} to {first + seeds - 1}, {count} at a time", err=True)
    summary = run_sweep(
        [Case(seed, bug, hard) for seed in range(first, first + seeds)],
        workers=count,
        on_outcome=_announce,
    )
    if as_json:
        click.echo(msgspec.json.encode(_figures(summary)))
    else:
        _sum_up(summary)
    return summary.exit_status


def _tell(outcome: Outcome) -> None:
    click.echo(
        f"seed {outcome.case.seed}: {outcome.verdict}, {outcome.height} blocks in "
        f"{outcome.virtual_ms / 1_000:.0f} s of virtual time, {outcome.cpu_s:.2f} s of CPU"
    )
    for name, count in sorted(outcome.counts.items()):
        click.echo(f"  {name}: {count}")
    click.echo(f"  trace: {outcome.digest}")
    _announce(outcome)


def _announce(outcome: Outcome) -> None:
    if outcome.verdict != PASS:
        click.echo(
            f"error: seed {outcome.case.seed}: {outcome.verdict}: {outcome.message}", err=True
        )
        click.echo(f"hint: {outcome.repeat_command}", err=True)


def _figures(summary: Summary) -> dict[str, object]:
    return {
        "seeds": summary.seeds,
        "violations": [
            {"seed": outcome.case.seed, "checker": outcome.verdict, "message": outcome.message}
            for outcome in summary.violations
        ],
        "seeds_per_minute_per_core": summary.seeds_per_minute_per_core,
        "rerun_mismatches": list(summary.rerun_mismatches),
        "sometimes": summary.sometimes,
        "never": list(summary.never),
        "counts": summary.counts,
    }


def _sum_up(summary: Summary) -> None:
    click.echo(
        f"{summary.seeds} seeds, {len(summary.violations)} violations, "
        f"{len(summary.rerun_mismatches)} traces that differ when repeated, "
        f"{summary.seeds_per_minute_per_core:.0f} seeds a minute and core"
    )
    for name, count in summary.sometimes.items():
        click.echo(f"  {name}: {count}")
    for mismatch in summary.rerun_mismatches:
        click.echo(f"error: {mismatch}", err=True)
    for name in summary.never:
        click.echo(f"error: it never came to '{name}'; more seeds are needed", err=True)
