"""What the node counts, and how Prometheus reads it.

Counting is adding to a plain integer; names and types are given only when somebody asks. Anything
that a test or a benchmark needs is here or in an RPC answer, never in a log line.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

Reading = Callable[[], float]


class Counters:
    """Count what happened since the process began."""

    def __init__(self) -> None:
        self.blocks_final = 0
        self.txs_final = 0
        self.txs_failed = 0
        self.txs_expired = 0
        self.rounds_wasted = 0
        self.notes: Counter[str] = Counter()


class NodeCollector(Collector):
    """Show counters and what others can tell right now. Shape: readings are name -> (help, get)."""

    def __init__(
        self,
        counters: Counters,
        *,
        gauges: dict[str, tuple[str, Reading]],
        totals: dict[str, tuple[str, Reading]],
    ) -> None:
        self._counters = counters
        self._gauges = gauges
        self._totals = totals
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
        for name, count in sorted(counted.notes.items()):
            notes.add_metric([name], count)
        yield notes
