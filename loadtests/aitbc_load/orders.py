"""What is said between the command line and the swarm? One JSON object a line, each way.

Down: `Order`, then `Funded` once the money is there, then at any time a line that says to stop; the
end of the pipe says so, too. Up: `Funds`, `Second` after `Second`, at last the result, each in an
object of one key that names it. Do not add what a result holds: `results.py` does.
"""

from typing import Any

import msgspec


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Name a node, where its RPC is, and what its vote weighs; 0 is a full node."""

    name: str
    host: str
    port: int
    power: int


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a transaction has to say to be good on this chain from now on.

    Units: prices as the ledger writes them; `interval_ms` is the least time between two blocks.
    """

    chain_id: str
    hrp: str
    height: int
    ttl_blocks: int
    interval_ms: int
    gas_price_max: int
    tip_price: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Say what is to be done; the same seed makes the same accounts.

    Units: `rate` in transactions a second, of which `batch` are handed in at once.
    """

    scenario: str
    seed: int
    rate: float
    for_s: float
    batch: int = 1
    in_flight_max: int = 2_000
    drain_s: float = 60.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Tell the swarm everything that it must know; `folder` is where its files go."""

    plan: Plan
    terms: Terms
    nodes: tuple[Place, ...]
    folder: str
    circumstances: dict[str, Any]
    """What the command line knows and the result repeats: environment, machine, versions."""


class Funds(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for money. Shape: addresses in hexadecimal. Units: base units of the native asset."""

    amounts: dict[str, int]


class Funded(msgspec.Struct, frozen=True, kw_only=True):
    """Say that it is there, and how far the chain is by now."""

    terms: Terms


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """Count what happened in one second, and what is under way at its end.

    Units: latencies from the intended start to final, of what became final in this second.
    """

    at_s: float
    offered: int
    accepted: int
    final: int
    refused: int
    pending: int
    height: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    lag_p99_ms: float | None
    verdict: str
