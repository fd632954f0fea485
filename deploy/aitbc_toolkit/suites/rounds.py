"""How do the runs come about that a baseline is made of, or judged by? Played, or read.

A load run, a search for the knee and a run of a suite leave different files; from here on they are
all runs with figures. Do not judge here: `baselines.py`. Do not store here: `shelf.py`.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from aitbc_toolkit import measured, paths
from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import (
    catalogue,
    comparing,
    loads,
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

FIGURES = ("final_p95", "committed")
"""What of a load run is judged by a baseline."""
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
    """Hash what a run would be asked that is played to be judged by a baseline of no load run."""
    if found.scenario == stepping.SCENARIO:
        assert environment is not None, "a knee is one of a mesh"
        return stepping.configuration(environment, Bounds(), found.for_s)
    parts = catalogue.parts(found.scenario, tier=found.tier or NIGHTLY)
    return playing.configuration(environment, playing.sorted_out(environment, parts)[0])


def require_same(environment: Environment | None, before: Baseline) -> None:
    """Refuse to play what could not be compared: that is known before hours of it.

    What a load run is asked is known only where its mesh is asked, too. Raises: UsageError.
    """
    told = machine_now()
    wrong = "another machine" if told != before.machine else ""
    if not _is_load(before.scenario) and asked_now(environment, before) != before.configuration:
        wrong = f"{wrong}; another configuration" if wrong else "another configuration"
    if wrong:
        hint = "aitbc load baseline judge --help"
        raise UsageError(f"not comparable with the baseline: {wrong}", hint=hint)


def machine_now() -> dict[str, Any]:
    """Tell this machine as a run played now would."""
    return _machine(measured.circumstances(paths.project_root()))


def _machine(told: Mapping[str, Any]) -> dict[str, Any]:
    machine = {key: value for key, value in told.get("machine", {}).items() if key != "load"}
    # Of versions only that of the machine: libraries come and go with what is judged.
    python = {key: each for key, each in told.get("versions", {}).items() if key == "python"}
    return machine and {**machine, "versions": python}


def _is_load(scenario: str) -> bool:
    return scenario.startswith(f"{FAMILY}/") and scenario != stepping.SCENARIO


def known(scenario: str) -> str:
    """Return the full name of a scenario. Raises: UsageError where it does not exist."""
    if scenario == stepping.SCENARIO:
        return scenario
    if scenario.startswith(f"{FAMILY}/"):
        return repertoire.case(scenario).written.scenario
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
    return [read(folders[number]) for number in dict.fromkeys(wanted)]


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
    if _is_load(scenario):
        say("  not counted: to warm up")
        _believed(environment, scenario, seeds[0], asked=asked, say=say)
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
    for _ in range(TRIES):
        found = read(_play(environment, scenario, seed, asked=asked, say=say))
        if found.verdict in comparing.PLAYED:
            return found
        if found.verdict != Verdict.INVALID:
            break
        say(f"  run {found.run} was INVALID: once more")
    verdict = Verdict(found.verdict)
    raise AitbcError(
        f"run {found.run} was {verdict}",
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
    case = repertoire.case(scenario)
    knee = stepping.known(environment.name, paths.state_root())
    wanted = loads.wanted(
        case.written, seed=seed, faster=asked.rate, longer=asked.for_s, knee=knee, case=case
    )
    stepping.go_on(loads.play(environment, wanted, folder, tell=_unheard))
    return folder


def _unheard(_what: str, _told: Mapping[str, object]) -> None:
    """Tell nobody what happens in each second: it is in the run's record."""


def read(folder: Path) -> Ran:
    """Read what a run has left; what it does not tell is not there."""
    judged = reading.verdict(folder)
    verdict = judged.verdict if judged else ""
    if (folder / loads.ORDER).is_file():
        plan = _document(folder / loads.ORDER).get("plan", {})
        found = _of_load(folder.name, verdict, _document(folder / loads.RESULT))
        if plan.get("workers", 1) != 1:
            what = f"run {found.run} was shared by workers, and those that judge it are not"
            raise UsageError(what, hint="aitbc load baseline keep --help")
        return replace(found, rate=plan.get("rate"), for_s=plan.get("for_s"))
    if (folder / stepping.KNEE).is_file():
        return _of_knee(folder.name, verdict, _document(folder / stepping.KNEE))
    return _of_suite(folder.name, verdict, _document(folder / reading.VERDICT))


def _of_load(run: str, verdict: str, told: Mapping[str, Any]) -> Ran:
    circumstances = told.get("circumstances", {})
    return _ran(
        run,
        told.get("scenario", ""),
        verdict,
        {**circumstances, "seed": told.get("seed")},
        {name: comparing.figure(told, name) for name in FIGURES},
        rising={name for name in FIGURES if comparing.FIGURES[name].more_is_better},
    )


def _of_knee(run: str, verdict: str, told: Mapping[str, Any]) -> Ran:
    """Read a knee; one that lies above all that was tried is none."""
    committed = told.get("committed") if told.get("fails_at") is not None else None
    found = _ran(
        run, stepping.SCENARIO, verdict, told, {"committed": committed}, rising={"committed"}
    )
    return replace(found, for_s=told.get("step_s"))


def _of_suite(run: str, verdict: str, told: Mapping[str, Any]) -> Ran:
    scenario = told.get("suite", "")
    figures = {
        f"{row['scenario'].removeprefix(scenario)} {row['name']}".strip(): row["measured"]
        for row in told.get("objectives", [])
    }
    return _ran(run, scenario, verdict, told, figures, rising=set(_rising(scenario, figures)))


def _rising(scenario: str, figures: Mapping[str, object]) -> Iterator[str]:
    """Name the figures that have a least bound only: more is better."""
    if not figures:
        return
    for part in catalogue.parts(scenario, tier=NIGHTLY):
        objectives = part.case.written.objectives if part.case else {}
        least = {name for name, bound in objectives.items() if bound.max is None}
        yield from (name for name in figures if name.rpartition(" ")[2] in least)


def _ran(
    run: str,
    scenario: str,
    verdict: str,
    told: Mapping[str, Any],
    figures: Mapping[str, float | None],
    *,
    rising: set[str],
) -> Ran:
    return Ran(
        run=run,
        scenario=scenario,
        environment=told.get("environment", ""),
        verdict=verdict,
        seed=told.get("seed"),
        machine=_machine(told),
        configuration=told.get("configuration") or "",
        builds=tuple(told.get("builds") or [told.get("commit", "")]),
        figures=figures,
        rising=frozenset(rising),
    )


def _document(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
