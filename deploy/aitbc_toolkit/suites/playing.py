"""How is a suite run from the command line? Part by part, judged, and kept as evidence.

On a live mesh, or in the simulator when the environment is called `sim`. Do not add scenarios here:
`catalogue` knows them.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

import click
import msgspec

from aitbc_toolkit import paths
from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.remote import Hosts
from aitbc_toolkit.suites import catalogue, evidence, runs
from aitbc_toolkit.suites.catalogue import Part
from aitbc_toolkit.suites.live import a_seed
from aitbc_toolkit.suites.report import reading, writing
from aitbc_toolkit.suites.scenario import breaking, figures, on_mesh, simulated
from aitbc_toolkit.suites.scenario.breaking import Injector
from aitbc_toolkit.suites.scene import Result, play
from aitbc_toolkit.suites.timeline import Timeline
from aitbc_toolkit.suites.verdicts import Verdict, exit_of, worst

DEFAULT_ENVIRONMENT = "dev"
SIMULATED = "sim"
"""The environment that is no mesh at all, but the simulator."""

_NAME_WIDTH = 28
_VERDICT_WIDTH = 13

Say = Callable[[str], None]
Player = Callable[[Part, Timeline], Result]


class _LeftOut(msgspec.Struct, frozen=True):
    name: str
    why: str


def run(
    suite: str,
    environment: str | None,
    *,
    scenario: str | None = None,
    seed: int | None = None,
    tier: str = "ci",
    as_json: bool = False,
) -> Exit:
    """Run `smoke`, `partition/minority` or another suite; return the exit status of the worst.

    Raises: UsageError for a name that does not exist, ConfigError for a scenario with mistakes.
    """
    # What is wrong with a name or a file is told before a mesh is looked for.
    parts = catalogue.parts(suite, scenario, tier=tier)
    name = environment or DEFAULT_ENVIRONMENT
    found = None if name == SIMULATED else Inventory.load(name)
    folder = runs.begin(paths.state_root())
    used = a_seed() if seed is None else seed
    wanted = f"{suite}/{scenario}" if scenario and "/" not in scenario else scenario or suite
    return play_parts(found, parts, wanted, folder=folder, seed=used, as_json=as_json)


def run_on(
    environment: Environment, suite: str, *, folder: Path, seed: int, as_json: bool = False
) -> Exit:
    """Run a suite or one scenario on a mesh, and keep the record in a folder."""
    parts = catalogue.parts(suite)
    return play_parts(environment, parts, suite, folder=folder, seed=seed, as_json=as_json)


def play_parts(
    environment: Environment | None,
    parts: Sequence[Part],
    suite: str,
    *,
    folder: Path,
    seed: int,
    as_json: bool = False,
    inject: Injector | None = None,
) -> Exit:
    """Play what fits a mesh, or the simulator where there is none; keep and tell the outcome.

    Faults go to the hosts of the mesh unless another way is given to `inject` them.
    """
    where = environment.name if environment else SIMULATED
    fit, left_out = _sorted_out(environment, parts)
    _narrate(f"{suite} on {where}: {_count(fit, 'run')}, seed {seed}")
    for each in left_out:
        _narrate(f"  not run      {each.name:<{_NAME_WIDTH}} {each.why}")
    started, began = time.time(), time.monotonic()
    say = _narrate if as_json else click.echo
    try:
        with ExitStack() as stack:
            timeline = stack.enter_context(Timeline(folder))
            if environment and inject is None and any(part.case for part in fit):
                inject = breaking.over(stack.enter_context(Hosts(environment)))
            player = _player(stack, environment, seed, inject)
            results = list(_results(player, fit, timeline, say))
        record = evidence.Record(
            suite=suite,
            environment=where,
            seed=seed,
            started=started,
            took_s=round(time.monotonic() - began, 1),
            verdict=worst(each.verdict for each in results),
            results=tuple(results),
            left_out=tuple(msgspec.structs.asdict(each) for each in left_out),
            proves={part.name: part.proves for part in fit if part.proves},
        )
        evidence.write(folder, record)
    finally:  # also of a run that was ended early: what was seen until then is on the disk
        writing.attempt(folder, _narrate)
    _tell(record, folder, as_json=as_json)
    return exit_of(record.verdict)


def _sorted_out(
    environment: Environment | None, parts: Sequence[Part]
) -> tuple[list[Part], list[_LeftOut]]:
    """Part what can be played here from what cannot; one that was named alone must be played.

    Raises: UsageError.
    """
    found = [(part, _unfit(environment, part)) for part in parts]
    fit = [part for part, why in found if not why]
    if not fit:
        part, why = found[0]
        raise UsageError(f"{part.name} cannot be played here: {why}", hint="aitbc test smoke")
    return fit, [_LeftOut(part.name, why) for part, why in found if why]


def _unfit(environment: Environment | None, part: Part) -> str:
    if environment is None:
        return simulated.unfit(part.case) if part.case else "it needs a live mesh"
    if part.case is None:
        return ""
    return on_mesh.unfit(part.case, environment)


def _player(
    stack: ExitStack, environment: Environment | None, seed: int, inject: Injector | None
) -> Player:
    if environment is None:
        return lambda part, timeline: _simulate(part, timeline, seed)
    mesh = stack.enter_context(open_mesh(environment))

    def live(part: Part, timeline: Timeline) -> Result:
        if part.case is not None:
            assert inject is not None, "made where a part needs it"
            return on_mesh.play(
                part.case,
                environment=environment,
                mesh=mesh,
                seed=seed,
                timeline=timeline,
                inject=inject,
            )
        assert part.scenario is not None, "a part is one or the other"
        return play(
            part.name,
            part.scenario,
            environment=environment,
            mesh=mesh,
            seed=seed,
            on_height=timeline.height,
        )

    return live


def _simulate(part: Part, timeline: Timeline, seed: int) -> Result:
    assert part.case is not None, "sorted out before"
    return simulated.play(part.case, seed=seed, timeline=timeline)


def _results(
    player: Player, parts: Sequence[Part], timeline: Timeline, say: Say
) -> Iterator[Result]:
    """Play part by part; behind the last case of a scenario its figures are compared."""
    for _title, group in groupby(parts, key=lambda part: part.name.partition("[")[0]):
        played: list[tuple[Part, Result]] = []
        for part in group:
            timeline.event("step", scenario=part.name, name="begin")
            result = player(part, timeline)
            _note(timeline, result)
            say(_row(result))
            played.append((part, result))
            yield result
        grown = _growth(played)
        if grown is not None:
            say(_row(grown))
            yield grown


def _growth(played: Sequence[tuple[Part, Result]]) -> Result | None:
    """Judge what is compared between the cases of one scenario."""
    rows = [
        (part.case, result.records)
        for part, result in played
        if part.case and result.verdict in {Verdict.PASS, Verdict.OBJECTIVE}
    ]
    judged = list(figures.growth(rows))
    if not judged:
        return None
    missed = [figure for figure in judged if not figure.met]
    name = rows[0][0].written.scenario + evidence.GROWTH
    line = "; ".join(figure.told for figure in missed or judged)
    verdict = Verdict.OBJECTIVE if missed else Verdict.PASS
    told = tuple(msgspec.structs.asdict(figure) for figure in judged)
    return Result(name, verdict, line, 0.0, objectives=told)


def _note(timeline: Timeline, result: Result) -> None:
    for check, word in result.invariants.items():
        timeline.event("check", scenario=result.name, name=check, outcome=word)
    timeline.event(
        "step", scenario=result.name, name="end", verdict=result.verdict, line=result.line
    )


def _row(result: Result) -> str:
    line = result.line.partition("\n")[0]  # an error of many hosts goes on below
    return f"  {result.verdict:<{_VERDICT_WIDTH}}{result.name:<{_NAME_WIDTH}} {line}"


def _tell(record: evidence.Record, folder: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(record.to_document(folder)))
    else:
        click.echo("\n".join(_summary(record, str(folder))))
    if record.verdict is Verdict.PASS:
        return
    bad = next(each.line for each in record.results if each.verdict is not Verdict.PASS)
    _narrate(f"error: {record.suite} on {record.environment}: {record.verdict}, {bad}")
    again = record.environment == SIMULATED
    help_ = record.repro if again else f"aitbc network health -e {record.environment}"
    _narrate(f"hint: {help_}")


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
    if Path(folder, reading.PAGE).exists():
        lines.append(f"  report    {folder}/{reading.PAGE}")
    return lines


def _count(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}" + ("" if len(things) == 1 else "s")


def _narrate(line: str) -> None:
    click.echo(line, err=True)
