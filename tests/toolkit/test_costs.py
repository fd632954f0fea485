"""What a run cost each node: read on its host, divided by what became final, never made up."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aitbc_toolkit.cli import swarm_picture
from aitbc_toolkit.deploys.hostside import metering, services
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.suites import costs

METRICS = (
    "# TYPE aitbc_p2p_received_bytes counter\naitbc_p2p_received_bytes_total {}\n"
    "# TYPE aitbc_p2p_sent_bytes counter\naitbc_p2p_sent_bytes_total {}\n"
)


def used(cpu_s: float, *, disk: int = 0, began: int = 7) -> dict[str, float]:
    """Tell what a host says of one process."""
    return {"cpu_s": cpu_s, "began": began, "memory_bytes": 2**20, "disk_bytes": disk}


def a_meter(
    looks: list[Mapping[str, Any] | AitbcError], metrics: list[tuple[int, int]]
) -> costs.Meter:
    """Make one whose hosts and nodes say these things in turn."""
    said, sizes = iter(looks), iter(metrics)

    def meter() -> Mapping[str, Any]:
        found = next(said)
        if isinstance(found, AitbcError):
            raise found
        return found

    def ask_all(_ask: object) -> dict[str, str]:
        return {"v1": METRICS.format(*next(sizes))}

    environment: Any = SimpleNamespace(instances=[SimpleNamespace(name="v1")])
    mesh: Any = SimpleNamespace(ask_all=ask_all)
    made = costs.Meter(environment, mesh)
    made._crew = SimpleNamespace(meter=meter)  # type: ignore[assignment] - a stand-in
    return made


def test_a_process_and_its_folder_are_read(tmp_path: Path) -> None:
    """Of this very process: time, memory and disk are there, and when it began."""
    (tmp_path / "blocks.log").write_bytes(bytes(10_000))

    found = metering.used(os.getpid(), tmp_path)

    assert found["cpu_s"] > 0
    assert found["memory_max_bytes"] >= found["memory_bytes"] > 1_000_000
    assert found["disk_bytes"] >= 8_192
    assert found["began"] == metering.used(os.getpid(), tmp_path)["began"]


def test_a_process_that_has_ended_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that is down has the process id 0; that is no figure of 0."""
    manager = SimpleNamespace(state=lambda _instance: {"pid": 0})
    monkeypatch.setattr(services, "manager", lambda _params: manager)

    told = metering.meter({"instances": [{"name": "v1", "data": str(tmp_path)}]})

    assert told == {"instances": {"v1": {}}}


def test_what_happened_between_two_looks_is_divided_by_what_became_final() -> None:
    """Only what came after the swarm was ready counts, and only until all had ended."""
    meter = a_meter(
        [{"v1": used(1.0, disk=100)}, {"v1": used(3.0, disk=700)}], [(10, 20), (60, 40)]
    )

    for what in ("signed", "second", "drained"):
        meter.hear(what)

    (row,) = meter.costs(final=100)
    assert (row["cpu_ms"], row["bytes_in"], row["bytes_out"], row["disk_bytes"]) == (
        2_000.0,
        50,
        20,
        600,
    )
    per_tx = {"cpu_ms": 20.0, "bytes_in": 0.5, "bytes_out": 0.2, "disk_bytes": 6.0}
    assert row["per_tx"] == per_tx
    assert meter.costs(final=0)[0]["per_tx"] is None


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ({"v1": used(0.1, began=9)}, "its process was started anew meanwhile"),
        ({"v1": {}}, "its process did not run, or may not be read"),
        ({}, "its host did not answer"),
        (AitbcError("outcome unknown: gone", hint="look"), "outcome unknown: gone"),
    ],
)
def test_a_node_that_cannot_be_compared_has_no_figures(
    after: Mapping[str, Any] | AitbcError, why: str
) -> None:
    """A restart counts from zero: its difference would be a lie. The run goes on without."""
    meter = a_meter([{"v1": used(1.0)}, after], [(0, 0), (0, 0)])

    meter.hear("signed")
    meter.hear("drained")

    assert meter.costs(final=5) == [{"node": "v1", "why": why}]


def test_a_run_that_was_not_looked_at_says_so() -> None:
    """No look, no figure."""
    assert a_meter([], []).costs(final=5) == [{"node": "v1", "why": "it was not looked at"}]


def test_people_read_what_a_transaction_costs_a_node() -> None:
    """The middle of the nodes, and how many of them could be read."""
    per_tx = {"cpu_ms": 0.0512, "bytes_in": 400.0, "bytes_out": None, "disk_bytes": 512.0}
    rows = [
        {"node": "v1", "per_tx": per_tx, "memory_bytes": 2**27, "why": ""},
        {"node": "v2", "why": "x"},
    ]

    shown = list(swarm_picture._costs(rows))

    assert shown == [
        "  nodes      0.051 CPU-ms, 400 B in, 512 B on disk a transaction and node",
        "  memory     128 MiB at most, of 1 of 2 nodes",
    ]
    assert list(swarm_picture._costs(rows[1:])) == ["  nodes      their cost is not available: x"]
