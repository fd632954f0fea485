"""What has a run done so far? A line at each point, on the disk before the next thing happens.

One file per run on the operator's machine, named by the run. A reader of a file that does not end
with `closed` knows what was being done when the run ended.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aitbc_toolkit import chain
from aitbc_toolkit.chain import Finding
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import history

Point = Literal[
    "begun",
    "announced",
    "gate-begun",
    "switch-begun",
    "switched",
    "gate-passed",
    "gate-failed",
    "bake-begun",
    "bake-passed",
    "bake-failed",
    "verify-begun",
    "verified",
    "return-begun",
    "returned",
    "closing",
    "closed",
]

DOMAIN = "aitbc/journal"


@dataclass(frozen=True, slots=True)
class Journal:
    """Write the points of one run; the file begins with the first of them."""

    path: Path

    def write(self, point: Point, **facts: Any) -> None:
        """Write one point and see it on the disk.

        Raises: AitbcError when somebody has changed the file.
        """
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            chain.append(self.path, {"point": point, "at": at, **facts}, domain=DOMAIN)
        except chain.BrokenChainError as broken:
            raise history.forged(broken) from broken


def of(environment: Environment, run: str) -> Journal:
    """Give the journal of a run by the run's id."""
    return Journal(folder_of(environment) / f"{run}.jsonl")


def folder_of(environment: Environment) -> Path:
    """Find the folder of the journals of an environment's runs."""
    return environment.folder / "deploys"


def read(environment: Environment, run: str) -> list[dict[str, Any]]:
    """Read the points of a run in order; nothing when it was not run from this machine."""
    return chain.check(of(environment, run).path, domain=DOMAIN)[0]


def begun(environment: Environment) -> list[Mapping[str, Any]]:
    """List the first points of all runs from this machine."""
    names = [path.stem for path in sorted(folder_of(environment).glob("*.jsonl"))]
    return [points[0] for points in (read(environment, name) for name in names) if points]


def findings(environment: Environment) -> list[tuple[str, Finding]]:
    """Verify every journal on this machine."""
    return [
        (path.name, found)
        for path in sorted(folder_of(environment).glob("*.jsonl"))
        for found in chain.check(path, domain=DOMAIN)[1]
    ]


def names_in(points: Sequence[Mapping[str, Any]], *wanted: Point) -> list[str]:
    """List the nodes that such points are about, in order, each once."""
    found = [name for each in points if each["point"] in wanted for name in each["nodes"]]
    return list(dict.fromkeys(found))
