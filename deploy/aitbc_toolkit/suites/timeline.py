"""What happened when in a run? One JSON object a line, each on the disk as soon as it is known.

A run that is killed leaves what it saw until then. The files are for reports and for people with
`jq`; they are written here only, and read by nobody who judges.

Shape: `events.jsonl` {at, mono, kind, ...}, `heights.jsonl` {at, node, height, round}, `load.jsonl`
{at, accepted, final, refused, p50_ms, p95_ms, p99_ms}, of a swarm also {offered, pending,
lag_p99_ms}; in a run of a suite each row names its `scenario`. Units: `at` is seconds since 1970 by
this machine's wall clock, `mono` its steady clock, which no correction of the time moves;
`virtual_s` is the simulator's time, where there is one.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

EVENTS = "events.jsonl"
HEIGHTS = "heights.jsonl"
LOAD = "load.jsonl"


class LoadSecond(msgspec.Struct, frozen=True, kw_only=True):
    """Count what became of transactions in one second; latencies are null where none was final."""

    accepted: int = 0
    final: int = 0
    refused: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    offered: int | None = None
    """What a swarm handed in, by the open model; other loads hand in what they get rid of."""
    pending: int | None = None
    lag_p99_ms: float | None = None
    phase: str = ""
    tags: tuple[str, ...] = ()
    """Those of the scenario's file."""
    endpoints: Mapping[str, int] = {}
    """How many transactions a swarm handed in at which node, the repeated ones, too."""


class Timeline:
    """Write the three files of a run, from as many threads as like, in a `with` block."""

    def __init__(
        self,
        folder: Path,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        hear: Callable[[str, str], None] | None = None,
    ) -> None:
        """Begin the files; who waits may `hear` what each scenario is at."""
        self.folder = folder
        self._wall = wall
        self._steady = steady
        self._hear = hear
        self._lock = threading.Lock()
        self._told: dict[str, tuple[int, int]] = {}
        self._scenario = ""
        self._files = {
            name: (folder / name).open("a", encoding="utf-8") for name in (EVENTS, HEIGHTS, LOAD)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            for file in self._files.values():
                file.close()

    @contextmanager
    def act(self, scenario: str) -> Iterator[None]:
        """Let every row say of which scenario it is, until the block ends."""
        self._scenario = scenario
        self._told.clear()
        try:
            yield
        finally:
            self._scenario = ""

    def tell(self, doing: str) -> None:
        """Say what goes on to somebody who waits; it is not kept."""
        if self._hear is not None:
            self._hear(self._scenario, doing)

    def event(self, kind: str, **fields: object) -> None:
        """Note something that happened once: a step, a fault's begin or end, a check, a note."""
        mono = round(self._steady(), 3)
        self._write(EVENTS, {"at": self._now(), "mono": mono, "kind": kind, **fields})

    def height(self, node: str, height: int, round_: int, **more: object) -> None:
        """Note how far a node is; what was said before is not said again."""
        if self._told.get(node) != (height, round_):
            self._told[node] = (height, round_)
            row = {"at": self._now(), "node": node, "height": height, "round": round_, **more}
            self._write(HEIGHTS, row)

    def load(self, second: LoadSecond) -> None:
        """Note what became of the transactions of the last second."""
        self._write(LOAD, {"at": self._now(), **msgspec.structs.asdict(second)})

    def _now(self) -> float:
        return round(self._wall(), 3)

    def _write(self, name: str, row: dict[str, object]) -> None:
        with self._lock:
            file = self._files[name]
            if not file.closed:  # a thread that ends late has nothing to add to a verdict
                named = {"scenario": self._scenario, **row} if self._scenario else row
                file.write(json.dumps(named) + "\n")
                file.flush()
