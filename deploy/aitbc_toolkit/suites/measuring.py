"""What did a run measure, whatever it was? Read from what it has left, as a run with figures.

A load run, a search for the knee and a run of a suite leave different files. Do not add how runs
come about: `rounds.py`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.suites import busyness, catalogue, comparing, loads, stepping
from aitbc_toolkit.suites.baselines import Ran
from aitbc_toolkit.suites.report import reading
from aitbc_toolkit.suites.stages import NIGHTLY
from aitbc_toolkit.suites.verdicts import Verdict

FIGURES = ("final_p95", "committed")
"""What of a load run is judged by a baseline."""


def machine(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return of the circumstances what has to be the same where runs are compared."""
    found = {key: value for key, value in told.get("machine", {}).items() if key != "load"}
    # Of versions only that of the machine: libraries come and go with what is judged.
    python = {key: each for key, each in told.get("versions", {}).items() if key == "python"}
    return found and {**found, "versions": python}


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


def why(folder: Path) -> str:
    """Say in a line why a run did not pass."""
    judged = reading.verdict(folder)
    rows = judged.scenarios if judged else ()
    found = [each.line for each in rows if judged and each.verdict == judged.verdict and each.line]
    busy = busy_at(folder) if judged and judged.verdict == Verdict.INVALID else ""
    return "; ".join([*found, *([busy] if busy else [])]) or "it left no reason"


def busy_at(folder: Path) -> str:
    """Say whether the machine was busy as a load run began; empty where it was not."""
    return busyness.told(_document(folder / loads.RESULT).get("circumstances", {}))


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
        machine=machine(told),
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
