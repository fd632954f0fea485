"""What does a run leave for programs? `result.json`: one document, described by these records.

`docs/load.schema.json` is made from them. Fields may be added, never renamed. Latencies are in
milliseconds; each has its whole histogram beside the percentiles, in the format of HDR tools.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from aitbc_load.histograms import Latencies

SCHEMA = 1


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Show one kind of latency; null where nothing was measured."""

    count: int
    mean_ms: float | None
    percentiles_ms: dict[str, float | None]
    histogram: dict[str, str | int]


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Show what was asked, offered, accepted and, by the blocks of a quorum, committed.

    Units: transactions a second; `committed` is null where there were not two blocks.
    """

    asked: float
    offered: float
    accepted: float
    committed: float | None


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Show what became of each: sent = final + rejected + expired + pending.

    `promised` counts those that a node took and that had not ended, or expired; they are pending or
    expired as well. `dropped` arrivals found too many in flight and were not sent; `refusals`
    counts answers, of which one transaction may have had several; `rejects` counts transactions, by
    code.
    """

    sent: int
    accepted: int
    final: int
    rejected: int
    expired: int
    pending: int
    promised: int
    dropped: int
    refusals: dict[str, int]
    rejects: dict[str, int]


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """Show what the swarm itself cost, which is no part of what the mesh costs.

    Units: `cpu_share` of one core while it was sending; `signing_s` before the run;
    `tracked_cpu_s` until all that was sent had ended; `tx_bytes` is the mean size of a transfer as
    it was signed. `letters_lost` counts those of bots that were too many for the way between
    workers; any makes the run INVALID.
    """

    engine: str
    workers: int
    cpu_s: float
    cpu_share: float
    tracked_cpu_s: float = 0.0
    cpu_us_per_tx: float | None
    in_flight_max: int
    signing_s: float
    letters_lost: int = 0
    tx_bytes: float | None = None


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """Show one promise of the mesh: held, broken, or unknown because it could not be looked at."""

    name: str
    outcome: str
    detail: str


class PerTx(msgspec.Struct, frozen=True, kw_only=True):
    """Divide what a node used by the transactions that became final meanwhile."""

    cpu_ms: float
    bytes_in: float | None
    bytes_out: float | None
    disk_bytes: float


class NodeCost(msgspec.Struct, frozen=True, kw_only=True):
    """Show what one node used from before the first hand-in until all that was sent had ended.

    Units: `bytes_in` and `bytes_out` are those of its links to peers, `disk_bytes` what its data
    folder grew by, `memory_bytes` what it held at the end. `per_tx` is null where nothing was
    final. Of a node that nobody could read, or that was started anew, only `why` is told.
    """

    node: str
    cpu_ms: float | None = None
    bytes_in: float | None = None
    bytes_out: float | None = None
    disk_bytes: float | None = None
    memory_bytes: float | None = None
    memory_grown_bytes: float | None = None
    per_tx: PerTx | None = None
    why: str = ""


class NodeGrowth(msgspec.Struct, frozen=True, kw_only=True):
    """Show how one node's process and data folder grew while a run of five minutes or more lasted.

    Units: memory in percent an hour, without the first third; disk in bytes a final transaction,
    in the first half and in the second: alike where it grows with the chain only. Of one that was
    not seen for long enough only `why` is told.
    """

    node: str
    for_s: float
    memory_bytes: int | None = None
    memory_percent_h: float | None = None
    disk_bytes: int | None = None
    disk_per_tx_early: float | None = None
    disk_per_tx_late: float | None = None
    why: str = ""


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """Show what came before, during or after all faults. Units: transactions; until final."""

    name: str
    accepted: int
    final: int
    refused: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """Show what faults did; `back_s` after the last one p95 was at 1.2 times that of before.

    It is null where p95 did not come back, or nobody knows what it was before.
    """

    periods: list[Period]
    back_s: float | None


class PhaseView(msgspec.Struct, frozen=True, kw_only=True):
    """Show one phase, by what was due in it; `is_attacked` also where bots use the mesh badly.

    Units: seconds since the beginning; transactions.
    """

    name: str
    from_s: float
    for_s: float
    is_attacked: bool
    asked: int
    offered: int
    to_final: Latency


class RoleView(msgspec.Struct, frozen=True, kw_only=True):
    """Show what one role did beside the honest transfers.

    Shape: `model` is open (comes when it comes) or closed (waits for each answer); `family` is
    legitimate, adversarial, or anti-pattern (keeps the rules and uses the mesh badly). An
    attacker's `refusals` are as they must be; its `breaches` never may be. Of closed bots `sent`
    counts acts and `taken` those that were done, `acts` by what they were; `failures` counts the
    others by the class of their error, and `lives` in which states the bots ended.
    """

    role: str
    model: str
    is_adversarial: bool
    family: str = "legitimate"
    sent: int
    taken: int
    in_blocks: int
    dropped: int = 0
    silent: int = 0
    refusals: dict[str, int] = {}
    breaches: int = 0
    acts: dict[str, int] = {}
    failures: dict[str, int] = {}
    lives: dict[str, int] = {}
    answers: Latency
    """How long each hand-in, or each act, took."""


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """Show one of several workers; of a `lost` one nobody knows what it sent.

    Shape: `host` is empty where it was a process beside its coordinator.
    Units: `clock_offset_ms` of its clock against the coordinator's, known to `clock_error_ms`; null
    where nobody knows it.
    """

    number: int
    host: str = ""
    verdict: str
    sent: int | None
    lost: str
    clock_offset_ms: float | None
    clock_error_ms: float | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a whole run. Units: heights are those that were read for the checks."""

    schema: int = SCHEMA
    scenario: str
    seed: int
    verdict: str
    why: list[str]
    model: str = "open"
    for_s: float
    took_s: float
    batch: int
    rates: Rates
    books: Books
    to_final: Latency
    """From the intended start until the swarm heard that it is final."""
    submit: Latency
    """From the intended start to the answer."""
    service: Latency
    """From the first byte sent to the answer."""
    send_lag: Latency
    """From the intended start to the first byte sent."""
    phases: list[PhaseView] = []
    """Empty where the file has none."""
    harm_p99: float | None = None
    """How many times as long p99 to final was in phases with attackers as in those without."""
    roles: list[RoleView] = []
    checks: list[Checked]
    heights: tuple[int, int]
    generator: Generator
    workers: list[WorkerView] = []
    """Empty where one did everything."""
    costs: list[NodeCost] = []
    """What each node used; the command line reads it on the hosts and writes it here."""
    broken: Broken | None = None
    """What faults did to transactions, written likewise; null where nothing was broken."""
    growth: list[NodeGrowth] = []
    """How each node grew, written likewise; empty for runs of less than five minutes."""
    ended: str = ""
    """How the whole run ended, with its objectives and steps; `verdict` is the swarm's own."""
    circumstances: dict[str, Any] = {}
    """The environment, its nodes, the machine, versions, commit and the hash of what was asked."""


def latency(counted: Latencies) -> Latency:
    """Write one histogram."""
    return Latency(
        count=counted.count,
        mean_ms=counted.mean_ms,
        percentiles_ms=counted.percentiles_ms(),
        histogram=dict(counted.to_wire()),
    )


def document() -> Mapping[str, Any]:
    """Describe `result.json` as JSON Schema."""
    return msgspec.json.schema(Result)
