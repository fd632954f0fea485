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

    `dropped` arrivals found too many in flight and were not sent; `refusals` counts answers, of
    which one transaction may have had several; `rejects` counts transactions, by code.
    """

    sent: int
    accepted: int
    final: int
    rejected: int
    expired: int
    pending: int
    dropped: int
    refusals: dict[str, int]
    rejects: dict[str, int]


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """Show what the swarm itself cost, which is no part of what the mesh costs.

    Units: `cpu_share` of one core while it was sending; `signing_s` before the run.
    """

    engine: str
    workers: int
    cpu_s: float
    cpu_share: float
    cpu_us_per_tx: float | None
    in_flight_max: int
    signing_s: float


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """Show one promise of the mesh: held, broken, or unknown because it could not be looked at."""

    name: str
    outcome: str
    detail: str


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
    checks: list[Checked]
    heights: tuple[int, int]
    generator: Generator
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
