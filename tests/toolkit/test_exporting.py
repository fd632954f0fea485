"""What a load run leaves for a Prometheus: every figure once, and none that was not measured."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aitbc_toolkit.suites import exporting

pytestmark = pytest.mark.unit

LATENCY: dict[str, Any] = {"count": 10, "percentiles_ms": {"p50": 812.4, "p99.9": None}}
TOLD: dict[str, Any] = {
    "scenario": "load/steady",
    "verdict": "PASS",
    "ended": "PASS",
    "circumstances": {"environment": "dev"},
    "books": dict.fromkeys(
        ("sent", "accepted", "final", "rejected", "expired", "pending", "promised", "dropped"), 10
    ),
    "rates": {"asked": 50.0, "offered": 50.0, "accepted": 49.9, "committed": None},
    "checks": [
        {"name": "agreement", "outcome": "held"},
        {"name": "nothing_lost", "outcome": "unknown"},
    ],
    "generator": {"cpu_share": 0.12},
    **dict.fromkeys(("to_final", "submit", "service", "send_lag"), LATENCY),
}


def samples(text: str) -> dict[tuple[str, str], float]:
    """Read a text as a Prometheus does: by name, and by the label that tells rows apart."""
    return {
        (sample.name, "/".join(v for k, v in sample.labels.items() if k not in WHOSE)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


WHOSE = {"scenario": "load/steady", "environment": "dev"}


def test_every_figure_is_there_once_with_its_labels() -> None:
    """Counts by state, rates by kind, latencies in seconds by quantile, checks by name."""
    text = exporting.text(TOLD)

    found = samples(text)
    assert found["aitbc_load_passed", ""] == 1
    assert found["aitbc_load_transactions", "final"] == 10
    assert found["aitbc_load_rate", "accepted"] == 49.9
    assert found["aitbc_load_latency_seconds", "to_final/0.5"] == pytest.approx(0.8124)
    assert found["aitbc_load_check_held", "agreement"] == 1
    assert found["aitbc_load_check_held", "nothing_lost"] == 0
    for family in text_string_to_metric_families(text):
        assert all(WHOSE.items() <= sample.labels.items() for sample in family.samples)


def test_what_was_not_measured_is_no_zero() -> None:
    """No two blocks, no rate of them; no latency, no quantile."""
    found = samples(exporting.text(TOLD))

    assert ("aitbc_load_rate", "committed") not in found
    assert ("aitbc_load_latency_seconds", "to_final/0.999") not in found


@pytest.mark.parametrize("ended", ["INVALID", "UNHEALED", "OBJECTIVE"])
def test_a_run_whose_swarm_is_content_has_passed_only_with_its_steps(ended: str) -> None:
    """A fault that was left behind, or a missed objective, is no pass on a dashboard either."""
    assert samples(exporting.text({**TOLD, "ended": ended}))["aitbc_load_passed", ""] == 0
