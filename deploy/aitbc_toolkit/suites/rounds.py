"""How do the runs come about that a baseline is made of, or judged by? Played, or read.

A load run, a search for the knee and a run of a suite leave different files; from here on they are
all runs with figures. Baselines lie beside the runs, one for each environment and scenario. Do not
judge here: `baselines.py`.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from aitbc_toolkit import paths
from aitbc_toolkit.errors import AitbcError, ConfigError, UsageError
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
_FOLDER = "baselines"

Say = Callable[[str], None]


def keep(found: Baseline, *, for_s: float | None = None) -> Path:
    """Store a baseline in place of the one before; return its file."""
    path = _path(found.environment, found.scenario)
    path.parent.mkdir(parents=True, exist_ok=True)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    whole = msgspec.structs.replace(found, date=date, for_s=for_s)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(whole)) + b"\n")
    fresh.replace(path)
    return path


def kept(environment: str, scenario: str) -> Baseline:
    """Read a baseline. Raises: UsageError where there is none, ConfigError for a damaged file."""
    path = _path(environment, scenario)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Baseline)
    except FileNotFoundError:
        hint = f"aitbc load baseline keep {scenario} -e {environment}"
        raise UsageError(f"{environment} has no baseline of {scenario}", hint=hint) from None
    except msgspec.MsgspecError as wrong:
        hint = f"aitbc load baseline keep {scenario} -e {environment}   # makes it anew"
        raise ConfigError(f"{path} cannot be read: {wrong}", hint=hint) from wrong


def all_kept(environment: str) -> list[Baseline]:
    """List the baselines of an environment."""
    folder = paths.state_root() / _FOLDER / environment
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Baseline))
        except msgspec.MsgspecError as wrong:
            hint = f"remove {path}, and keep it anew"
            raise ConfigError(f"{path} cannot be read: {wrong}", hint=hint) from wrong
    return found


def _path(environment: str, scenario: str) -> Path:
    return paths.state_root() / _FOLDER / environment / f"{scenario.replace('/', '-')}.json"


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
    for_s: float | None,
    say: Say,
) -> list[Ran]:
    """Play a run for each seed.

    One more comes before those of a load scenario, because the first on a mesh warms it up. Raises:
    AitbcError when a run fails, or says nothing however often it is made.
    """
    if scenario.startswith(f"{FAMILY}/") and scenario != stepping.SCENARIO:
        say("  not counted: to warm up")
        _believed(environment, scenario, seeds[0], for_s=for_s, say=say)
    found = []
    for number, seed in enumerate(seeds, 1):
        say(f"  run {number} of {len(seeds)}, seed {seed}")
        found.append(_believed(environment, scenario, seed, for_s=for_s, say=say))
    return found


def seeds(scenario: str, first: int, count: int) -> list[int]:
    """Choose the seeds of a baseline: of load all runs have one, faults are drawn from each."""
    if scenario.startswith(f"{FAMILY}/"):
        return [first] * count
    return [first + place for place in range(count)]


def _believed(
    environment: Environment | None, scenario: str, seed: int, *, for_s: float | None, say: Say
) -> Ran:
    """Make one run, anew where it says nothing."""
    for _ in range(TRIES):
        found = read(_play(environment, scenario, seed, for_s=for_s, say=say))
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
    environment: Environment | None, scenario: str, seed: int, *, for_s: float | None, say: Say
) -> Path:
    """Make one run; whatever it prints is no result of ours."""
    if not scenario.startswith(f"{FAMILY}/"):
        parts = catalogue.parts(scenario, tier=NIGHTLY)
        folder = runs.begin(paths.state_root())
        with redirect_stdout(sys.stderr):
            playing.play_parts(environment, parts, scenario, folder=folder, seed=seed)
        return folder
    if environment is None:
        raise UsageError(f"{scenario} needs a live mesh", hint=f"aitbc load run {scenario} -e dev")
    folder = runs.begin(paths.state_root())
    if scenario == stepping.SCENARIO:
        looked = stepping.look(environment, Bounds(), folder, seed=seed, for_s=for_s, tell=_unheard)
        say(f"    {looked.document['sentence']}")
        return folder
    case = repertoire.case(scenario)
    knee = stepping.known(environment.name, paths.state_root())
    asked = loads.wanted(case.written, seed=seed, faster=None, longer=for_s, knee=knee, case=case)
    stepping.go_on(loads.play(environment, asked, folder, tell=_unheard))
    return folder


def _unheard(_what: str, _told: Mapping[str, object]) -> None:
    """Tell nobody what happens in each second: it is in the run's record."""


def read(folder: Path) -> Ran:
    """Read what a run has left; what it does not tell is not there."""
    judged = reading.verdict(folder)
    verdict = judged.verdict if judged else ""
    if (folder / loads.ORDER).is_file():
        return _of_load(folder.name, verdict, _document(folder / loads.RESULT))
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
    return _ran(
        run, stepping.SCENARIO, verdict, told, {"committed": committed}, rising={"committed"}
    )


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
    machine = {key: value for key, value in told.get("machine", {}).items() if key != "load"}
    return Ran(
        run=run,
        scenario=scenario,
        environment=told.get("environment", ""),
        verdict=verdict,
        seed=told.get("seed"),
        machine=machine and {**machine, "versions": told.get("versions", {})},
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
