"""What did a run write down? The rows of its files as records.

Whatever a row lacks is told as not known; nobody makes it up. Do not read files here: `reading`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

UNKNOWN = "UNKNOWN"
"""What stands in the place of a verdict where there is none."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Be a row of a file; what a later version adds is ignored."""


class Part(Row, frozen=True, kw_only=True):
    """Tell how one scenario ended."""

    name: str
    verdict: str = UNKNOWN
    line: str = ""
    took_s: float | None = None


class Check(Row, frozen=True, kw_only=True):
    """Tell one judgement: `held`, `broken` or `unknown`."""

    name: str
    scenario: str = ""
    outcome: str = "unknown"
    detail: str = ""


class Objective(Row, frozen=True, kw_only=True):
    """Tell one figure beside its bounds."""

    name: str
    scenario: str = ""
    measured: float | None = None
    allowed: str = ""
    met: bool | None = None


class Fault(Row, frozen=True, kw_only=True):
    """Tell what was broken, and what showed it. Units: moments are seconds of one clock."""

    fault: str
    scenario: str = ""
    targets: tuple[str, ...] = ()
    lease_s: float | None = None
    began: float | None = None
    bitten_at: float | None = None
    ended: float | None = None
    evidence: Any = None


class Residue(Row, frozen=True, kw_only=True):
    """Tell what was left of a fault when it was over."""

    left: str
    scenario: str = ""


class LeftOut(Row, frozen=True, kw_only=True):
    """Tell what was asked for and not played."""

    name: str
    why: str = ""


class Judged(Row, frozen=True, kw_only=True):
    """Hold `verdict.json`."""

    verdict: str
    suite: str = ""
    environment: str = ""
    seed: int | None = None
    repro: str = ""
    started: str = ""
    ended: str = ""
    took_s: float | None = None
    commit: str = ""
    dirty: bool | None = None
    machine: Mapping[str, Any] = {}
    versions: Mapping[str, Any] = {}
    scenarios: tuple[Part, ...] = ()
    checks: tuple[Check, ...] = ()
    objectives: tuple[Objective, ...] = ()
    faults: tuple[Fault, ...] = ()
    residues: tuple[Residue, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


class Event(Row, frozen=True, kw_only=True):
    """Hold a line of `events.jsonl`; `virtual_s` is the simulator's time."""

    at: float
    kind: str
    scenario: str = ""
    name: str = ""
    id: str = ""
    fault: str = ""
    targets: tuple[str, ...] = ()
    lease_s: float | None = None
    outcome: str = ""
    detail: str = ""
    verdict: str = ""
    line: str = ""
    text: str = ""
    took_s: float | None = None
    virtual_s: float | None = None


class Height(Row, frozen=True, kw_only=True):
    """Hold a line of `heights.jsonl`."""

    at: float
    node: str
    height: int
    scenario: str = ""
    virtual_s: float | None = None


class Load(Row, frozen=True, kw_only=True):
    """Hold a line of `load.jsonl`."""

    at: float
    scenario: str = ""
    offered: int | None = None
    accepted: int = 0
    final: int = 0
    refused: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class Interval(Row, frozen=True, kw_only=True):
    """Hold a line of `latencies.hlog`: the times until final of a second, as HDR tools write it."""

    from_at: float
    until_at: float
    hdr: str


class Kind(Row, frozen=True, kw_only=True):
    """Tell one kind of latency of a load run."""

    count: int = 0
    percentiles_ms: Mapping[str, float | None] = {}
    histogram: Mapping[str, Any] = {}


class Books(Row, frozen=True, kw_only=True):
    """Tell what became of a load run's transactions."""

    sent: int = 0
    final: int = 0
    rejected: int = 0
    expired: int = 0
    pending: int = 0
    rejects: Mapping[str, int] = {}
    refusals: Mapping[str, int] = {}


class Swarm(Row, frozen=True, kw_only=True):
    """Hold `result.json` of a load run, as far as a page shows it."""

    rates: Mapping[str, float | None] = {}
    books: Books = Books()
    to_final: Kind | None = None
    submit: Kind | None = None
    service: Kind | None = None
    send_lag: Kind | None = None
    costs: tuple[Mapping[str, Any], ...] = ()
    growth: tuple[Mapping[str, Any], ...] = ()


class File(Row, frozen=True, kw_only=True):
    """Name a file of the run's folder."""

    name: str
    size: int
    sha256: str


class Run(Row, frozen=True, kw_only=True):
    """Hold everything of a run; `judged` is missing where it was killed, or still goes on."""

    name: str
    judged: Judged | None = None
    events: tuple[Event, ...] = ()
    heights: tuple[Height, ...] = ()
    load: tuple[Load, ...] = ()
    intervals: tuple[Interval, ...] = ()
    swarm: Swarm | None = None
    files: tuple[File, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be read, in words."""

    @property
    def verdict(self) -> str:
        """Return the verdict, or that there is none."""
        return self.judged.verdict if self.judged else UNKNOWN
