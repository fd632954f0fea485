"""What does a load run say to a Prometheus? One text, as a node exporter takes it from a file.

Figures that were not measured are left out: a zero would be a lie. Pure. Do not add how a run is
judged.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from aitbc_toolkit.suites.swarm import Document

NAME: Final = "metrics.prom"
_KINDS = ("to_final", "submit", "service", "send_lag")
_STATES = ("sent", "accepted", "final", "rejected", "expired", "pending", "promised", "dropped")
_MS = 1000


def text(told: Document) -> str:
    """Write what a swarm told; every row names the scenario and the environment."""
    registry = CollectorRegistry()
    whose = {
        "scenario": told["scenario"],
        "environment": str(told["circumstances"].get("environment", "")),
    }

    def put(name: str, about: str, rows: list[tuple[dict[str, str], float | None]]) -> None:
        labels = [*whose, *rows[0][0]] if rows else [*whose]
        gauge = Gauge(f"aitbc_load_{name}", about, labels, registry=registry)
        for more, value in rows:
            if value is not None:
                gauge.labels(**whose, **more).set(value)

    books, checks = told["books"], told["checks"]
    passed = float(told["ended"] == "PASS")
    put("passed", "1 where the run ended as PASS, its objectives and steps too.", [({}, passed)])
    put(
        "transactions",
        "Transactions by what became of them.",
        [({"state": state}, books[state]) for state in _STATES],
    )
    put(
        "rate",
        "Transactions a second; committed by the blocks of a quorum.",
        [({"kind": kind}, rate) for kind, rate in told["rates"].items()],
    )
    put(
        "latency_seconds",
        "Latency from the intended start; service from the first byte.",
        [
            ({"kind": kind, "quantile": f"{float(name[1:]) / 100:g}"}, ms and ms / _MS)
            for kind in _KINDS
            for name, ms in told[kind]["percentiles_ms"].items()
        ],
    )
    put(
        "latency_count",
        "How many latencies were counted.",
        [({"kind": kind}, told[kind]["count"]) for kind in _KINDS],
    )
    put(
        "check_held",
        "1 where a promise of the mesh held, 0 where it is broken or could not be looked at.",
        [({"check": row["name"]}, float(row["outcome"] == "held")) for row in checks],
    )
    put(
        "swarm_cpu_share",
        "What the swarm used of one core.",
        [({}, told["generator"]["cpu_share"])],
    )
    return generate_latest(registry).decode()
