"""What the node counts, and how Prometheus reads it.

Counting is adding to a plain integer; names and types are given only when somebody asks. Anything
that a test or a benchmark needs is here or in an RPC answer, never in a log line.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

Reading = Callable[[], float]

SERIOUS = frozenset(
    (
        "attack.gas-manipulation",
        "attack.long-range",
        "attack.nothing-at-stake",
        "attack.stake-grinding",
        "attack.sybil",
        "block.invalid",
        "block.pending_invalid",
        "chain.diverged",
        "consensus.equivocation",
        "disk.failed",
        "node.revoked",
        "peer.fault",
        "proposal.invalid_now",
        "validator.jailed",
        "validator.slashed",
        "vote.twin",
    )
)
"""Notes that people are woken for. Told from 0 on: a rise from nothing is none to a reader."""


class Counters:
    """Count what happened since the process began; `started_ms` is when, since 1970."""

    def __init__(self, *, started_ms: int = 0) -> None:
        self.started_ms = started_ms
        self.blocks_final = 0
        self.txs_final = 0
        self.txs_failed = 0
        self.txs_expired = 0
        self.rounds_wasted = 0
        self.notes: Counter[str] = Counter()


class NodeCollector(Collector):
    """Show counters and what others can tell right now.

    Shape: readings are name -> (help, get); `build` names what runs, as labels of `build_info`.
    """

    def __init__(
        self,
        counters: Counters,
        *,
        gauges: dict[str, tuple[str, Reading]],
        totals: dict[str, tuple[str, Reading]],
        build: Mapping[str, str] | None = None,
    ) -> None:
        self._counters = counters
        self._gauges = gauges
        self._totals = totals
        self._build = dict(build or {})
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Describe nothing in advance: whether names clash is seen when they are read."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its value now."""
        counted = self._counters
        for name, meaning, value in (
            ("blocks_final", "Blocks made final since the start", counted.blocks_final),
            ("txs_final", "Transactions in those blocks", counted.txs_final),
            ("txs_failed", "Of those, the ones whose body failed", counted.txs_failed),
            ("txs_expired", "Transactions that can never be final", counted.txs_expired),
            ("rounds_wasted", "Rounds above 0 that final blocks took", counted.rounds_wasted),
        ):
            yield CounterMetricFamily(f"aitbc_{name}", meaning, value=value)
        for name, (meaning, read) in self._totals.items():
            yield CounterMetricFamily(f"aitbc_{name}", meaning, value=read())
        for name, (meaning, read) in self._gauges.items():
            yield GaugeMetricFamily(f"aitbc_{name}", meaning, value=read())
        notes = CounterMetricFamily("aitbc_notes", "What the machine noted", labels=["name"])
        for name, count in sorted((dict.fromkeys(SERIOUS, 0) | counted.notes).items()):
            notes.add_metric([name], count)
        yield notes
        if self._build:
            yield InfoMetricFamily("aitbc_build", "What runs here", value=self._build)
