"""What is said between the command line and the swarm? One JSON object a line, each way.

Down: `Order`, then `Funded` once the money is there, then at any time a line that says to stop; the
end of the pipe says so, too. Up: `Funds`, `Second` after `Second`, at last the result, each in an
object of one key that names it. Do not add what a result holds: `results.py` does.
"""

from typing import Any, Literal, get_args

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


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Say what one role does beside the honest transfers, while a phase lasts.

    Open ones come `rate` a second, closed ones are so many `bots` that wait for each answer.
    """

    role: str
    rate: float = 0.0
    bots: int = 0
    all_bots: int = 0
    """Those of all workers, where this is the part of one."""
    pause_s: float = 1.0
    mix: dict[str, int] = {}


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """Say what happens for a while. Units: `rate` in honest transactions a second.

    For the first `ramp_s` the rate goes evenly from that of the phase before to this one.
    """

    name: str
    for_s: float
    rate: float
    ramp_s: float = 0.0
    parts: tuple[Part, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Say what is to be done; the same seed makes the same accounts.

    Units: `rate` in transactions a second, of which `batch` are handed in at once; with phases it
    is the highest of theirs, and `for_s` all of them.
    """

    scenario: str
    seed: int
    rate: float
    for_s: float
    batch: int = 1
    in_flight_max: int = 2_000
    drain_s: float = 60.0
    phases: tuple[Phase, ...] = ()
    """Those of the file; a file without any is one even phase."""
    workers: int = 1
    worker: int = 0
    """How many share the plan, and which of them this one is."""

    @property
    def losses_max(self) -> int:
        """Count the workers whose share the others can take over; it is signed beforehand."""
        return self.workers // 5

    def with_cover(self, hand_ins: int) -> int:
        """Count the hand-ins of one worker with the most that it may have to take over."""
        return hand_ins + self.losses_max * -(-hand_ins // (self.workers - self.losses_max))


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """Name the command that is one worker, which speaks on its standard input and output."""

    host: str
    argv: tuple[str, ...]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Tell the swarm everything that it must know; `folder` is where its files go."""

    plan: Plan
    terms: Terms
    nodes: tuple[Place, ...]
    folder: str
    circumstances: dict[str, Any]
    """What the command line knows and the result repeats: environment, machine, versions."""
    ways: tuple[Way, ...] = ()
    """One for each worker; without any they are processes beside their coordinator."""
    is_part: bool = False
    """Somebody coordinates this worker: it begins when it is told to, and ends with them."""


class Funds(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for money. Shape: addresses in hexadecimal. Units: base units of the native asset."""

    amounts: dict[str, int]


class Funded(msgspec.Struct, frozen=True, kw_only=True):
    """Say that it is there, and how far the chain is by now."""

    terms: Terms


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """Tell the wall clock of a worker. Units: seconds since 1970."""

    wall_s: float


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """Say when a worker begins, by its own wall clock. Units: seconds since 1970."""

    begin: float


KeptName = Literal["latencies.hlog", "swarm.log"]
KEPT: tuple[KeptName, ...] = get_args(KeptName)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Hand over a file of a worker whose folder is gone when it ends."""

    name: KeptName
    text: str


class Cover(msgspec.Struct, frozen=True, kw_only=True):
    """Tell a worker which part of the shares of lost ones is its own from now on.

    Shape: the shares of the workers `lost` are dealt out to `among`, of which it is at `place`.
    """

    lost: tuple[int, ...]
    place: int
    among: int


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
    phase: str = ""
    endpoints: dict[str, int] = {}
    """How many transactions were handed in at which node, the repeated ones, too."""
