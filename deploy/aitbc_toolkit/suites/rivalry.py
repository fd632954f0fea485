"""How do two sets of load runs come about? Played in turns, or found among those on the disk.

Turns go there and back (A B B A ...), so that a machine that grows slower hits both alike. The
first run on each mesh is not counted, it warms the mesh up. Do not compare here: `comparing.py`.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.suites import comparing, loads, repertoire
from aitbc_toolkit.suites.comparing import Taken
from aitbc_toolkit.suites.report import reading
from aitbc_toolkit.suites.verdicts import Verdict, exit_of

TRIES = 3
"""How often a run that says nothing is made anew."""
_RUNS = re.compile(r"\d{1,6}(,\d{1,6})*")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")


class Turn(NamedTuple):
    """Name one run: the side that it is of, its number there, and how often it was tried."""

    side: str
    number: int
    tries: int


def is_recorded(side: str) -> bool:
    """Tell whether a side names runs that are on the disk, by numbers or by the nodes' commit."""
    return bool(_RUNS.fullmatch(side) or _COMMIT.fullmatch(side))


def recorded(state: Path, side: str, scenario: str) -> list[Taken]:
    """Read the runs of a side. Raises: UsageError where there is none of them."""
    folders = repertoire.folders(state)
    if _RUNS.fullmatch(side):
        numbers = {number.lstrip("0") for number in side.split(",")}
        found = [taken(each) for each in folders if each.name.lstrip("0") in numbers]
        if len(found) < len(numbers):
            raise UsageError(f"not all of {side} are runs of a swarm", hint="aitbc report list")
        return found
    found = [each for each in map(taken, folders) if _is_of(each, side, scenario)]
    if not found:
        raise UsageError(f"no run of {scenario} on nodes of {side}", hint="aitbc report list")
    return found


def take_turns(
    make: Callable[[Turn], Taken], *, runs: int, is_one_mesh: bool
) -> tuple[list[Taken], list[Taken]]:
    """Make so many counted runs a side.

    Raises: AitbcError when a run fails, or says nothing however often it is made.
    """
    taken: tuple[list[Taken], list[Taken]] = [], []
    for side in "A" if is_one_mesh else "AB":
        _one(make, side, 0)
    for number in range(1, runs + 1):
        for side in "AB" if number % 2 else "BA":
            taken["AB".index(side)].append(_one(make, side, number))
    return taken


def _one(make: Callable[[Turn], Taken], side: str, number: int) -> Taken:
    """Make one run, anew where it says nothing."""
    for tries in range(TRIES):
        found = make(Turn(side, number, tries))
        if found.verdict in comparing.PLAYED:
            return found
        if found.verdict != Verdict.INVALID:
            break
    verdict = Verdict(found.verdict)
    why = "; ".join(found.result["why"]) if found.result else "the swarm left no result"
    raise AitbcError(
        f"run {found.run} of {side} was {verdict}: {why}",
        hint="aitbc load status",
        exit_status=exit_of(verdict),
    )


def taken(folder: Path) -> Taken:
    """Read what a run has left."""
    judged = reading.verdict(folder)
    try:
        result = json.loads((folder / loads.RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        result = None
    began, verdict = (judged.started, judged.verdict) if judged else ("", "")
    return Taken(folder.name, began, verdict, result)


def _is_of(run: Taken, commit: str, scenario: str) -> bool:
    told = run.result or {}
    builds: Sequence[str] = told.get("circumstances", {}).get("builds", [])
    return told.get("scenario") == scenario and any(each.startswith(commit) for each in builds)
