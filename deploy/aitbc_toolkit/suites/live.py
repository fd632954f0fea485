"""How is a suite run against a live mesh? Scenario by scenario, judged, and kept as evidence.

The same code runs after a deploy (`smoke(quick=True)`) and from `aitbc test SUITE -e ENV`. Do not
add scenarios here: each suite's file has its own.
"""

import difflib
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from aitbc_toolkit import paths
from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.suites import evidence, joining, runs
from aitbc_toolkit.suites import smoke as smoking
from aitbc_toolkit.suites.scene import Result, Scenario, play
from aitbc_toolkit.suites.stages import NIGHTLY
from aitbc_toolkit.suites.timeline import Timeline
from aitbc_toolkit.suites.verdicts import Verdict, exit_of, worst

SUITES: Mapping[str, Mapping[str, Scenario]] = {
    "smoke": {
        "boot": smoking.boot,
        "tx-lifecycle": smoking.tx_lifecycle,
        "cold-join": joining.cold_join,
    },
}
DEFAULT_ENVIRONMENT = "dev"
SEED_BITS = 31

_NAME_WIDTH = 20
_VERDICT_WIDTH = 13

Say = Callable[[str], None]


class Smoke(NamedTuple):
    """Sum up the quick suite for a deploy: what it did, and what is wrong, empty when nothing."""

    done: str
    problem: str


def smoke(environment: Environment, *, quick: bool = True) -> Smoke:
    """Run the smoke suite on a live mesh; the quick form takes a few seconds."""
    scenarios = {"quick": smoking.quick} if quick else SUITES["smoke"]
    with open_mesh(environment) as mesh:
        results = [
            play(f"smoke/{name}", scenario, environment=environment, mesh=mesh, seed=_a_seed())
            for name, scenario in scenarios.items()
        ]
    failed = [each for each in results if each.verdict is not Verdict.PASS]
    checks = sum(1 + len(each.invariants) for each in results)
    if failed:
        return Smoke("", f"{failed[0].name} {failed[0].verdict}: {failed[0].line}")
    return Smoke(f"{checks} of {checks} checks, {results[-1].line}", "")


def run(
    suite: str,
    environment: str | None,
    *,
    scenario: str | None = None,
    seed: int | None = None,
    as_json: bool = False,
) -> Exit:
    """Run `smoke` or `smoke/boot` on the live mesh of an environment; return the worst verdict.

    Raises: UsageError for a suite or scenario that does not exist.
    """
    _chosen(suite, scenario)  # a name that does not exist is told before a mesh is looked for
    found = Inventory.load(environment or DEFAULT_ENVIRONMENT)
    folder = runs.begin(paths.state_root())
    used = _a_seed() if seed is None else seed
    wanted = f"{suite}/{scenario}" if scenario else suite
    return run_on(found, wanted, folder=folder, seed=used, as_json=as_json)


def run_on(
    environment: Environment, suite: str, *, folder: Path, seed: int, as_json: bool = False
) -> Exit:
    """Run a suite or one scenario on a mesh, and keep the record in a folder."""
    name, scenarios = _chosen(suite, None)
    _narrate(f"{suite} on {environment.name}: {_count(scenarios, 'scenario')}, seed {seed}")
    started, began = time.time(), time.monotonic()
    say = _narrate if as_json else click.echo
    with Timeline(folder) as timeline:
        results = _play_all(environment, name, scenarios, seed=seed, say=say, timeline=timeline)
    record = evidence.Record(
        suite=suite,
        environment=environment.name,
        seed=seed,
        started=started,
        took_s=round(time.monotonic() - began, 1),
        verdict=worst(each.verdict for each in results),
        results=tuple(results),
    )
    evidence.write(folder, record)
    if as_json:
        click.echo(json.dumps(record.to_document(folder)))
    else:
        click.echo("\n".join(_summary(record, str(folder))))
    if record.verdict is not Verdict.PASS:
        _narrate(f"error: {suite} on {environment.name}: {record.verdict}, {_first_bad(results)}")
        _narrate(f"hint: aitbc network health -e {environment.name}")
    return exit_of(record.verdict)


def _play_all(
    environment: Environment,
    suite: str,
    scenarios: Mapping[str, Scenario],
    *,
    seed: int,
    say: Say,
    timeline: Timeline,
) -> list[Result]:
    results = []
    with open_mesh(environment) as mesh:
        for name, scenario in scenarios.items():
            full = f"{suite}/{name}"
            timeline.event("step", scenario=full, name="begin", seed=seed)
            result = play(
                full,
                scenario,
                environment=environment,
                mesh=mesh,
                seed=seed,
                on_height=timeline.height,
            )
            results.append(result)
            for check, word in result.invariants.items():
                timeline.event("check", scenario=full, name=check, outcome=word)
            timeline.event(
                "step", scenario=full, name="end", verdict=result.verdict, line=result.line
            )
            say(f"  {result.verdict:<{_VERDICT_WIDTH}}{full:<{_NAME_WIDTH}} {result.line}")
    return results


def _chosen(suite: str, scenario: str | None) -> tuple[str, Mapping[str, Scenario]]:
    name, _, part = suite.partition("/")
    part = scenario or part
    if name not in SUITES:
        raise _unknown("suite", name, [*SUITES, NIGHTLY])
    known = SUITES[name]
    if not part:
        return name, known
    if part not in known:
        raise _unknown("scenario", f"{name}/{part}", [f"{name}/{each}" for each in known])
    return name, {part: known[part]}


def _unknown(what: str, name: str, known: Sequence[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, n=1)
    end = f", the nearest is {near[0]}" if near else ""
    return UsageError(f"unknown {what} {name!r}{end}", hint=f"known: {', '.join(known)}")


def _summary(record: evidence.Record, folder: str) -> list[str]:
    words = [word for each in record.results for word in each.invariants.values()]
    held = sum(word == "held" for word in words)
    passed = sum(each.verdict is Verdict.PASS for each in record.results)
    total = len(record.results)
    lines = [f"  invariants held in {held} of {len(words)} judgements", ""]
    if passed == total:
        lines.append(f"{passed} of {total} passed.  took {record.took_s:.1f} s")
    else:
        lines.append(f"{total - passed} of {total} did not pass. Worst: {record.verdict}")
        lines.append(f"  repeat    {record.repro}")
    lines.append(f"  record    {folder}")
    return lines


def _first_bad(results: Sequence[Result]) -> str:
    return next(each.line for each in results if each.verdict is not Verdict.PASS)


def _count(things: Mapping[str, object], word: str) -> str:
    return f"{len(things)} {word}" + ("" if len(things) == 1 else "s")


def _a_seed() -> int:
    return secrets.randbits(SEED_BITS)


def _narrate(line: str) -> None:
    click.echo(line, err=True)
