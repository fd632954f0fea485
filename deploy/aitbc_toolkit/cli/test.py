"""`aitbc test`: prove the project on this machine, or, with a suite, a live mesh."""

import json
import time
from pathlib import Path

import click

from aitbc_toolkit import features, junit, measured, paths
from aitbc_toolkit.cli import environment as environments
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.junit import Outcome
from aitbc_toolkit.suites import runs, selftest
from aitbc_toolkit.suites.stages import NIGHTLY, STAGES, TIERS

_OF_SUITES = ("suite", "verdict", "seed", "took_s", "record", "scenarios", "objectives")
"""What is told of suites that a stage has played; the rest is in their records."""


@click.command()
@click.argument("suite", required=False)
@click.option(
    "-e",
    "--env",
    "environment",
    help="The environment whose live mesh a SUITE judges; `sim` is the simulator.",
)
@click.option("--scenario", help="Play only this one of a SUITE: minority, quorum-loss[30s].")
@click.option("--seed", type=int, help="Repeat a SUITE with the seed that it printed.")
@click.option(
    "-n",
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    help="Share a SUITE out over so many processes, each with a lab of its own.",
)
@click.option("--tier", type=click.Choice(TIERS), help="How much to run; nightly takes hours.")
@click.option(
    "--stage",
    "chosen",
    multiple=True,
    type=click.Choice([stage.name for stage in STAGES]),
    help="Run only this stage of the project's own tests; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end.")
def test(
    *,
    suite: str | None,
    environment: str | None,
    scenario: str | None,
    seed: int | None,
    workers: int,
    tier: str | None,
    chosen: tuple[str, ...],
    as_json: bool,
) -> Exit:
    """Prove the project: lint, types, imports, tests, simulator, mesh and lab.

    With SUITE (smoke, partition, chaos, security, soak, all, one scenario such as smoke/boot, or a
    scenario file) judge the live mesh of an environment instead, or the simulator with `-e sim`;
    `nightly` is the whole form of the project's own tests and takes hours.

    Example: aitbc test smoke -e lab
    """
    if suite == NIGHTLY and tier is None:
        suite, tier = None, NIGHTLY
    if suite is None and scenario and scenario.endswith(".yaml"):
        suite, scenario = scenario, None
    if suite is None:
        if (environment, seed, scenario, workers) != (None, None, None, 1):
            what = "--env, --scenario, --seed and --workers need a suite"
            raise UsageError(what, hint="aitbc test smoke -e dev")
        return _prove_project(tier=tier or "ci", chosen=chosen, as_json=as_json)
    if chosen:
        what = "--stage chooses among the project's own tests, not suites"
        raise UsageError(what, hint=f"aitbc test {suite}")
    from aitbc_toolkit.suites import playing, showing  # noqa: PLC0415 - own tests need no mesh

    named = (
        environment if environment == showing.SIMULATED else environments.chosen(environment or "")
    )
    return playing.run(
        suite,
        named,
        scenario=scenario,
        seed=seed,
        tier=tier or "ci",
        workers=workers,
        as_json=as_json,
    )


def _prove_project(*, tier: str, chosen: tuple[str, ...], as_json: bool) -> Exit:
    began = time.monotonic()
    folder = runs.begin(paths.state_root())
    stages = [stage for stage in STAGES if not chosen or stage.name in chosen]
    runner = selftest.Runner(paths.project_root(), folder, tier, _say)
    try:
        results = runner.run(stages)
    finally:
        runs.mark_last(folder)
    took_s = time.monotonic() - began
    if as_json:
        click.echo(json.dumps(_document(results, folder, tier=tier, took_s=took_s), indent=2))
    else:
        _print_table(results, folder, took_s)
    return Exit.FAILED if selftest.failed(results) else Exit.OK


def _say(line: str) -> None:
    click.echo(line, err=True)


def _print_table(results: list[selftest.Result], folder: Path, took_s: float) -> None:
    click.echo(f"\n{'STAGE':<10}{'PASSED':>8}{'FAILED':>8}{'SKIPPED':>9}{'SECONDS':>9}")
    for result in results:
        counts = [result.count(outcome) for outcome in Outcome]
        row = f"{result.stage:<10}{counts[0]:>8}{counts[1]:>8}{counts[2]:>9}{result.took_s:>9.1f}"
        click.echo(f"{row}  {result.note}".rstrip())
    for result in results:
        for reason, count in result.skips():
            click.echo(f"skipped: {count} of {result.stage}: {reason}")
        for case in result.cases:
            if case.outcome is Outcome.FAILED:
                click.echo(f"failed: {case.name}: {_first_line(case.detail)}")
    proved, required = _coverage(folder)
    click.echo(f"features: {proved} of {required} required ones are proved (./aitbc trace)")
    click.echo(f"record: {folder}, took {took_s:.0f} s")
    click.echo(", ".join(f"{_total(results, outcome)} {outcome}" for outcome in Outcome))


def _document(
    results: list[selftest.Result], folder: Path, *, tier: str, took_s: float
) -> dict[str, object]:
    proved, required = _coverage(folder)
    return {
        "schema": 1,
        "tier": tier,
        **measured.circumstances(paths.project_root()),
        "run": str(folder),
        "took_s": round(took_s, 1),
        "features": {"proved": proved, "required": required},
        "stages": [
            {
                "stage": result.stage,
                **{str(outcome): result.count(outcome) for outcome in Outcome},
                "took_s": round(result.took_s, 1),
                "note": result.note,
                "skips": [{"reason": reason, "count": n} for reason, n in result.skips()],
                "failures": [
                    {"name": case.name, "detail": _first_line(case.detail)}
                    for case in result.cases
                    if case.outcome is Outcome.FAILED
                ],
                "suites": [{key: told[key] for key in _OF_SUITES} for told in result.documents],
            }
            for result in results
        ],
    }


def _coverage(folder: Path) -> tuple[int, int]:
    catalogue = features.load(paths.project_root() / "docs" / "features.toml")
    proofs = features.proofs(junit.read_folder(folder))
    required = catalogue.required()
    return sum(feature.id in proofs for feature in required), len(required)


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0][:120]


def _total(results: list[selftest.Result], outcome: Outcome) -> int:
    return sum(result.count(outcome) for result in results)
