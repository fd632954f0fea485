"""Does a long run wear nodes down: does their memory grow, do their handles become more?

Every so often each node's process is read on its host. Only one that has lived for half an hour is
held to anything: what a node takes while it warms up, it takes once. Where a node has none such,
nothing is said of any. Do not judge here.
"""

import math
import statistics
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.remote import Hosts

EVERY_S = 20.0
LIFE_S_MIN = 1800.0
"""So long one process has to be seen; its first third is left out."""
GROWTH_S_MIN = 300.0
"""For so long a process has to be seen before anything is said of how it grows."""
_SAMPLES_MIN = 6
_WARM = 3
_HOUR_S = 3600.0

Read = Callable[[], Mapping[str, Mapping[str, Any]]]
"""Tell what the process of each node uses, as `Crew.meter` does."""


class Sample(NamedTuple):
    """Be what one process used at one moment."""

    at_s: float
    memory_bytes: int
    handles: int
    disk_bytes: int = 0
    final: int = 0
    """How many transactions had become final in the run until then."""


Lives = Mapping[tuple[str, int], Sequence[Sample]]
"""The samples of each process: the node, and when the process began."""


class Wear:
    """Read all nodes in a `with` block; whoever does not answer is read the next time."""

    def __init__(self, read: Read, clock: Callable[[], float], names: Collection[str]) -> None:
        self._read = read
        self._clock = clock
        self._names = names
        self.final = 0
        """Whoever lets transactions in counts here what has become final."""
        self._lives: dict[tuple[str, int], list[Sample]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="wear")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def measures(self) -> dict[str, float]:
        """Sum up what was seen until now; nothing where a node has no process of long enough."""
        lives = {life: list(rows) for life, rows in dict(self._lives).items()}
        return worn(lives, self._names)

    def growth(self) -> list[dict[str, Any]]:
        """Tell of each process how it has grown until now."""
        return grown({life: list(rows) for life, rows in dict(self._lives).items()})

    def _follow(self) -> None:
        while True:
            try:
                told = self._read()
            except AitbcError:
                told = {}
            for name, used in told.items():
                if "began" in used and "handles" in used:
                    disk = used.get("disk_bytes", 0)
                    row = Sample(
                        self._clock(), used["memory_bytes"], used["handles"], disk, self.final
                    )
                    self._lives.setdefault((name, used["began"]), []).append(row)
            if self._over.wait(EVERY_S):
                return


@contextmanager
def wearing(environment: Environment, *, for_s: float = math.inf) -> Iterator[Wear]:
    """Follow all nodes of a mesh, unless nothing could be said of so short a time."""
    if for_s < GROWTH_S_MIN:
        yield Wear(dict, time.monotonic, ())
        return
    names = [each.name for each in environment.instances]
    with (
        Hosts(environment) as remote,
        Wear(Crew(environment, remote).meter, time.monotonic, names) as wear,
    ):
        yield wear


def worn(lives: Lives, names: Collection[str]) -> dict[str, float]:
    """Tell the worst of all processes: memory in percent an hour, and how many handles more.

    Nothing where one of the nodes has no process that lived for long enough: a leak that makes its
    node restart would not be among what was measured.
    """
    long = {life: rows for life, rows in lives.items() if _is_long(rows)}
    if not long or not {name for name, _ in long}.issuperset(names):
        return {}
    late = [rows[len(rows) // _WARM :] for rows in long.values()]
    return {
        "memory_slope": round(max(map(_slope, late)), 3),
        "handles_growth": max(map(_more_handles, late)),
    }


def grown(lives: Lives) -> list[dict[str, Any]]:
    """Tell of each process how its memory and its folder grew; `why` not, where it is too soon.

    Units: percent an hour without the first third; bytes a final transaction in either half, which
    are alike where the folder grows with the chain only.
    """
    return [_grown(name, rows) for (name, _), rows in sorted(lives.items())]


def _is_long(rows: Sequence[Sample]) -> bool:
    """Tell whether a process was seen for long enough, and often enough for a line."""
    return len(rows) >= _SAMPLES_MIN and rows[-1].at_s - rows[0].at_s >= LIFE_S_MIN


def _grown(name: str, rows: Sequence[Sample]) -> dict[str, Any]:
    for_s = round(rows[-1].at_s - rows[0].at_s, 1)
    if for_s < GROWTH_S_MIN or len(rows) < _SAMPLES_MIN:
        why = f"one process was seen for {for_s:g} s, {GROWTH_S_MIN:g} are the least"
        return {"node": name, "for_s": for_s, "why": why}
    late, half = rows[len(rows) // _WARM :], len(rows) // 2
    return {
        "node": name,
        "for_s": for_s,
        "memory_bytes": rows[-1].memory_bytes,
        "memory_percent_h": round(_slope(late), 3),
        "disk_bytes": rows[-1].disk_bytes,
        "disk_per_tx_early": _per_tx(rows[0], rows[half]),
        "disk_per_tx_late": _per_tx(rows[half], rows[-1]),
        "why": "",
    }


def _per_tx(first: Sample, last: Sample) -> float | None:
    """Return by how many bytes a folder grew for each that became final; None where none did."""
    count = last.final - first.final
    return round((last.disk_bytes - first.disk_bytes) / count, 2) if count else None


def _slope(rows: Sequence[Sample]) -> float:
    """Fit a line; tell its rise in an hour in percent of where it begins."""
    slope, start = statistics.linear_regression(
        [row.at_s - rows[0].at_s for row in rows], [row.memory_bytes for row in rows]
    )
    return 100 * _HOUR_S * slope / start


def _more_handles(rows: Sequence[Sample]) -> float:
    """Compare the middle of the first half with that of the second: single moments come and go."""
    half = len(rows) // 2
    first, second = (
        statistics.median(row.handles for row in part) for part in (rows[:half], rows[half:])
    )
    return second - first
