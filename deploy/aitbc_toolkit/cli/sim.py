"""Which commands run the simulator? Parsing and printing only; the work is in `aitbc_sim`."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from aitbc_sim import findings, shrinking
from aitbc_sim.bugs import BUGS
from aitbc_sim.profiles import PROFILES
from aitbc_sim.run import PASS, Case, Outcome, Summary
from aitbc_sim.run import run as run_case
from aitbc_sim.run import sweep as run_sweep
from aitbc_toolkit import mistakes, paths
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.errors import Exit, Interrupted, UsageError

F = TypeVar("F", bound=Callable[..., Any])

# By how much a sweep grows that was too short to come to everything.
_MORE = 5

_PROFILE = click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="swarm",
    show_default=True,
    help="Which kind of day.",
)
_BUG = click.option(
    "--bug", type=click.Choice(sorted(BUGS)), help="Plant a bug; its checker must turn red."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _one_case(command: F) -> F:
    """Add the options that name one run."""
    for option in (
        click.option("--with", "changes", default="{}", help="JSON of options to change."),
        _BUG,
        _PROFILE,
        click.option("--seed", type=click.IntRange(min=0), required=True, help="Which run."),
    ):
        command = option(command)
    return command


@click.group()
def sim() -> None:
    """Run seeds of the deterministic simulator."""


@sim.command()
@_one_case
@_JSON
def run(seed: int, profile: str, bug: str | None, changes: str, *, as_json: bool) -> Exit:
    """Run one seed; 0 is a pass, 10 unsafe, 11 stuck, 70 a crash of the node's own code.

    Example: aitbc sim run --seed 7 --profile hard
    """
    outcome = run_case(_case(seed, profile, bug, changes))
    if as_json:
        click.echo(msgspec.json.encode(outcome))
    else:
        _tell(outcome)
    _announce(outcome)
    return outcome.exit_status


@sim.command()
@click.argument("file", type=click.Path(path_type=Path))
@_JSON
def replay(file: Path, *, as_json: bool) -> Exit:
    """Run again what a violation was kept of; ends like the run, or with 16 when it differs.

    Example: aitbc sim replay FILE
    """
    finding = _kept(file)
    outcome = run_case(finding.case)
    same = finding.is_met_by(outcome)
    if as_json:
        row = {"same": same, "verdict": outcome.verdict, "message": outcome.message}
        click.echo(msgspec.json.encode({**row, "trace": outcome.digest, "kept": finding.digest}))
    else:
        _tell(outcome)
        click.echo(_compared(finding, outcome))
    return outcome.exit_status if same else Exit.INVALID


@sim.command()
@_one_case
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="Try at most so many.",
)
@_JSON
def shrink(
    seed: int, profile: str, bug: str | None, changes: str, *, runs: int, as_json: bool
) -> Exit:
    """Take away faults, nodes and time while the same checker stays red; print what is left.

    Example: aitbc sim shrink --seed 3 --profile hard --bug forget-lock
    """
    outcome = run_case(_case(seed, profile, bug, changes))
    if outcome.verdict == PASS:
        raise UsageError(
            f"seed {seed} passes: there is nothing to make smaller", hint="aitbc sim sweep"
        )
    shrunk = shrinking.shrink(outcome, runs_max=runs, on_smaller=_say_smaller)
    if as_json:
        left = {"command": shrunk.outcome.repeat_command, "runs": shrunk.runs}
        click.echo(msgspec.json.encode({**left, "checker": shrunk.outcome.verdict}))
    else:
        click.echo(f"{shrunk.outcome.verdict}: {shrunk.outcome.message}, after {shrunk.runs} runs")
        click.echo(shrunk.outcome.repeat_command)
    return shrunk.outcome.exit_status


@sim.command()
@click.option(
    "--seeds", type=click.IntRange(min=1), default=100, show_default=True, help="So many."
)
@click.option(
    "--first", type=click.IntRange(min=0), default=0, show_default=True, help="Begin here."
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one per core.")
@_PROFILE
@_BUG
@_JSON
def sweep(
    seeds: int, first: int, workers: int | None, profile: str, bug: str | None, *, as_json: bool
) -> Exit:
    """Run many seeds; a violation is kept in a file and prints the line that repeats it.

    Example: aitbc sim sweep --seeds 100 --first 1000
    """
    count = workers or os.cpu_count() or 1
    click.echo(f"running seeds {first} to {first + seeds - 1}, {count} at a time", err=True)
    cases = [Case(seed, bug, profile) for seed in range(first, first + seeds)]
    summary = _swept(cases, workers=count)
    if as_json:
        click.echo(msgspec.json.encode(_figures(summary)))
    else:
        _sum_up(summary)
        if summary.never and not summary.violations:
            _ask_for_more(summary, cases)
    return summary.exit_status


def _swept(cases: Sequence[Case], *, workers: int) -> Summary:
    """Run the cases; whoever is interrupted is told how to go on with those that are left."""
    told = 0

    def hear(outcome: Outcome) -> None:
        nonlocal told
        told += 1
        _announce(outcome)

    try:
        return run_sweep(cases, workers=workers, on_outcome=hear)
    except KeyboardInterrupt as stopped:
        left = cases[told:] or cases[-1:]
        raise Interrupted(_command(left[0], seeds=len(left))) from stopped


def _command(first: Case, *, seeds: int) -> str:
    """Write the sweep that begins with a case."""
    bug = f" --bug {first.bug}" if first.bug else ""
    return f"aitbc sim sweep --profile {first.profile}{bug} --seeds {seeds} --first {first.seed}"


def _kept(file: Path) -> findings.Finding:
    """Read a finding that can be run.

    Raises: UsageError when there is no such file, or nobody can have kept it.
    """
    hint = f"ls {mistakes.shown(_folder())}   # what `aitbc sim sweep` has kept"
    if not file.is_file():
        raise UsageError(f"{file} is no file", hint=hint)
    finding = findings.load(file)
    if finding.case.seed < 0:
        raise UsageError(f"{file}: seed {finding.case.seed} is negative", hint=hint)
    return finding


def _compared(finding: findings.Finding, outcome: Outcome) -> str:
    if finding.is_met_by(outcome):
        return "the same as was kept"
    if finding.verdict == outcome.verdict:
        return f"not the same: {finding.verdict} again, by another trace than {finding.digest}"
    return f"not the same: {finding.verdict} was kept"


def _folder() -> Path:
    return paths.state_root() / "sim"


def _case(seed: int, profile: str, bug: str | None, changes: str) -> Case:
    """Put the case together, and see that it is one."""
    try:
        case = Case(seed, bug, profile, msgspec.json.decode(changes, type=dict[str, Any]))
        _ = case.options
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"--with {changes!r}: {error}", hint="aitbc sim run --seed 7 --with '{\"blocks\": 5}'"
        ) from error
    return case


def _tell(outcome: Outcome) -> None:
    click.echo(
        f"seed {outcome.case.seed}: {outcome.verdict}, {outcome.height} blocks in "
        f"{outcome.virtual_ms / 1_000:.0f} s of virtual time, {outcome.cpu_s:.2f} s of CPU"
    )
    for name, count in sorted(outcome.counts.items()):
        click.echo(f"  {name}: {count}")
    click.echo(f"  trace: {outcome.digest}")


def _announce(outcome: Outcome) -> None:
    """Keep a violation, and say how to see it again."""
    if outcome.verdict == PASS:
        return
    kept = findings.save(outcome, _folder())
    click.echo(f"error: seed {outcome.case.seed}: {outcome.verdict}: {outcome.message}", err=True)
    click.echo(f"hint: {outcome.repeat_command}", err=True)
    click.echo(f"kept: ./aitbc sim replay {kept}", err=True)


def _say_smaller(case: Case) -> None:
    click.echo(f"smaller: {case.arguments}", err=True)


def _figures(summary: Summary) -> dict[str, object]:
    return {
        "seeds": summary.seeds,
        "violations": len(summary.violations),
        "seeds_per_minute_per_core": summary.seeds_per_minute_per_core,
        "seeds_per_minute_per_core_is_by": "cpu time",
        "seeds_per_minute_per_core_by_wall": summary.by_wall,
        "rerun_mismatches": len(summary.rerun_mismatches),
        "found": [
            {
                "seed": outcome.case.seed,
                "checker": outcome.verdict,
                "message": outcome.message,
                "command": outcome.repeat_command,
            }
            for outcome in summary.violations
        ],
        "differences": list(summary.rerun_mismatches),
        "sometimes": summary.sometimes,
        "never": list(summary.never),
        "counts": summary.counts,
    }


def _sum_up(summary: Summary) -> None:
    click.echo(
        f"{summary.seeds} seeds, {len(summary.violations)} violations, "
        f"{len(summary.rerun_mismatches)} traces that differ when repeated, "
        f"{summary.seeds_per_minute_per_core:.0f} seeds a minute and core by CPU time, "
        f"{summary.by_wall:.0f} by the clock"
    )
    for name, count in summary.sometimes.items():
        click.echo(f"  {name}: {count}")
    for mismatch in summary.rerun_mismatches:
        click.echo(f"error: {mismatch}", err=True)


def _ask_for_more(summary: Summary, cases: Sequence[Case]) -> None:
    """Say what a sweep that found nothing has not shown either."""
    missing = ", ".join(summary.never)
    click.echo(f"error: it never came to: {missing}; more seeds are needed", err=True)
    say(f"hint: {_command(cases[0], seeds=_MORE * len(cases))}", err=True)
