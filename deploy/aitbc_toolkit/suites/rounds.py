"""How do the runs come about that a baseline is made of, or judged by? Played, or read.

Do not read what they left here: `measuring.py`. Do not judge: `baselines.py`. Do not store:
`shelf.py`.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from aitbc_toolkit import measured, paths
from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import (
    catalogue,
    claiming,
    comparing,
    foreseen,
    loads,
    measuring,
    playing,
    repertoire,
    runs,
    stepping,
)
from aitbc_toolkit.suites.baselines import Baseline, Ran
from aitbc_toolkit.suites.knee import Bounds
from aitbc_toolkit.suites.report import reading
from aitbc_toolkit.suites.rivalry import TRIES
from aitbc_toolkit.suites.scenario.load_files import FAMILY
from aitbc_toolkit.suites.stages import NIGHTLY
from aitbc_toolkit.suites.verdicts import Verdict, exit_of

TIERS = ("", "ci")
"""What may have been played of a suite's scenario: all, or what is usual."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """Say what is asked for of each run; None and empty are what its scenario says, all of it."""

    rate: float | None = None
    for_s: float | None = None
    tier: str = ""


def repeatable(environment: Environment | None, found: Baseline) -> Baseline:
    """Return a baseline with the tier that plays its runs again.

    Raises: UsageError where none does: the runs were asked for otherwise than here.
    """
    if _is_load(found.scenario):
        return found
    for tier in TIERS:
        asked = msgspec.structs.replace(found, tier=tier)
        with suppress(UsageError):  # not every tier has each scenario
            if asked_now(environment, asked) == found.configuration:
                return asked
    what = f"runs {', '.join(found.runs)} cannot be played again: they were asked for otherwise"
    hint = f"aitbc load baseline keep {found.scenario} -e {found.environment}   # plays them anew"
    raise UsageError(what, hint=hint)


def asked_now(environment: Environment | None, found: Baseline) -> str:
    """Hash what a run would be asked that is played to be judged by a baseline."""
    if found.scenario == stepping.SCENARIO:
        assert environment is not None, "a knee is one of a mesh"
        return stepping.configuration(environment, Bounds(), found.for_s)
    if _is_load(found.scenario):
        assert environment is not None, "a load run is one of a mesh"
        asked = Asked(found.rate, found.for_s)
        wanted = _wanted(environment, found.scenario, found.seeds[0], asked)
        return foreseen.configuration(environment, wanted)
    parts = catalogue.parts(found.scenario, tier=found.tier or NIGHTLY)
    return playing.configuration(environment, playing.sorted_out(environment, parts)[0])


def require_same(environment: Environment | None, before: Baseline) -> None:
    """Refuse to play what could not be compared: that is known before hours of it.

    Raises: UsageError; AitbcError where the mesh of a load scenario does not answer.
    """
    told = machine_now()
    wrong = "another machine" if told != before.machine else ""
    if asked_now(environment, before) != before.configuration:
        wrong = f"{wrong}; another configuration" if wrong else "another configuration"
    if wrong:
        hint = "aitbc load baseline judge --help"
        raise UsageError(f"not comparable with the baseline: {wrong}", hint=hint)


def require_worth(
    environment: Environment | None, scenario: str, seeds: Sequence[int], *, asked: Asked
) -> None:
    """Refuse to play what no baseline can be made of. Raises: UsageError."""
    is_knee = scenario == stepping.SCENARIO
    if not (_is_load(scenario) or (is_knee and asked.rate is None)) and asked != Asked():
        what = f"{scenario} says itself how much is asked of it, and how long"
        raise UsageError(what, hint=f"aitbc load baseline keep {scenario}")
    if not scenario.startswith(f"{FAMILY}/"):
        parts = catalogue.parts(scenario, tier=asked.tier or NIGHTLY)
        foreseen.require_figures(environment, parts, runs=len(seeds))
    elif environment is not None and _is_load(scenario):
        foreseen.require_fit(environment, _wanted(environment, scenario, seeds[0], asked))


def machine_now() -> dict[str, Any]:
    """Tell this machine as a run played now would."""
    return measuring.machine(measured.circumstances(paths.project_root()))


def _is_load(scenario: str) -> bool:
    return scenario.startswith(f"{FAMILY}/") and scenario != stepping.SCENARIO


def known(scenario: str) -> str:
    """Return the full name of a scenario. Raises: UsageError where it does not exist."""
    if scenario == stepping.SCENARIO:
        return scenario
    if scenario.startswith(f"{FAMILY}/"):
        return repertoire.case(scenario).written.scenario
    if scenario.endswith(catalogue.FILE):
        what = f"{scenario} is a file: only built-in scenarios have baselines"
        raise UsageError(what, hint="aitbc load list\naitbc load compare --help")
    named = {part.name.partition("[")[0] for part in catalogue.parts(scenario, tier=NIGHTLY)}
    if named != {scenario}:
        hint = f"aitbc load baseline keep {min(named)}"
        raise UsageError(f"{scenario} is no single scenario", hint=hint)
    return scenario


def recorded(numbers: str) -> list[Ran]:
    """Read runs by their numbers. Raises: UsageError where one is not there."""
    folders = {each.name.lstrip("0"): each for each in reading.folders(paths.state_root())}
    wanted = [number.lstrip("0") for number in numbers.split(",")]
    if missing := [number for number in wanted if number not in folders]:
        raise UsageError(f"{missing[0] or numbers!r} is no run", hint="aitbc report list")
    return [measuring.read(folders[number]) for number in dict.fromkeys(wanted)]


def busy_at(numbers: Sequence[str]) -> str:
    """Say whether the machine was busy as any of these runs began; empty where it was not."""
    runs_ = paths.state_root() / "runs"
    return next(filter(None, (measuring.busy_at(runs_ / number) for number in numbers)), "")


def played(
    environment: Environment | None,
    scenario: str,
    seeds: Sequence[int],
    *,
    asked: Asked,
    say: Say,
) -> list[Ran]:
    """Play a run for each seed.

    One more comes before those of a load scenario, because the first on a mesh warms it up. Raises:
    AitbcError when a run fails, or says nothing however often it is made.
    """
    with ExitStack() as stack:
        if _is_load(scenario):
            say("  not counted: to warm up")
            _believed(environment, scenario, seeds[0], asked=asked, say=say)
        elif environment is not None and scenario != stepping.SCENARIO:
            what = f"aitbc load baseline {scenario}"
            stack.enter_context(claiming.sole(environment.name, what, state=paths.state_root()))
        found = []
        for number, seed in enumerate(seeds, 1):
            say(f"  run {number} of {len(seeds)}, seed {seed}")
            found.append(_believed(environment, scenario, seed, asked=asked, say=say))
        return found


def seeds(scenario: str, first: int, count: int) -> list[int]:
    """Choose the seeds of a baseline: of load all runs have one, faults are drawn from each."""
    if scenario.startswith(f"{FAMILY}/"):
        return [first] * count
    return [first + place for place in range(count)]


def _believed(
    environment: Environment | None, scenario: str, seed: int, *, asked: Asked, say: Say
) -> Ran:
    """Make one run, anew where it says nothing."""
    for left in reversed(range(TRIES)):
        folder = _play(environment, scenario, seed, asked=asked, say=say)
        found, why = measuring.read(folder), measuring.why(folder)
        if found.verdict in comparing.PLAYED:
            return found
        if found.verdict != Verdict.INVALID or not left:
            break
        say(f"  run {found.run} was INVALID, once more: {why}")
    verdict = Verdict(found.verdict)
    raise AitbcError(
        f"run {found.run} was {verdict}: {why}",
        hint=f"aitbc report show {found.run}",
        exit_status=exit_of(verdict),
    )


def _play(
    environment: Environment | None, scenario: str, seed: int, *, asked: Asked, say: Say
) -> Path:
    """Make one run; whatever it prints is no result of ours."""
    if not scenario.startswith(f"{FAMILY}/"):
        parts = catalogue.parts(scenario, tier=asked.tier or NIGHTLY)
        folder = runs.begin(paths.state_root())
        with redirect_stdout(sys.stderr):
            playing.play_parts(environment, parts, scenario, folder=folder, seed=seed)
        return folder
    if environment is None:
        raise UsageError(f"{scenario} needs a live mesh", hint=f"aitbc load run {scenario} -e dev")
    folder = runs.begin(paths.state_root())
    if scenario == stepping.SCENARIO:
        looked = stepping.look(
            environment, Bounds(), folder, seed=seed, for_s=asked.for_s, tell=_unheard
        )
        say(f"    {looked.document['sentence']}")
        return folder
    wanted = _wanted(environment, scenario, seed, asked)
    stepping.go_on(loads.play(environment, wanted, folder, tell=_unheard))
    return folder


def _wanted(environment: Environment, scenario: str, seed: int, asked: Asked) -> loads.Wanted:
    case = repertoire.case(scenario)
    knee = stepping.known(environment.name, paths.state_root())
    return loads.wanted(
        case.written, seed=seed, faster=asked.rate, longer=asked.for_s, knee=knee, case=case
    )


def _unheard(_what: str, _told: Mapping[str, object]) -> None:
    """Tell nobody what happens in each second: it is in the run's record."""
