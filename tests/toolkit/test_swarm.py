"""A swarm finds what a mesh does wrong, nothing where nothing is, and knows when it was late."""

import time
from pathlib import Path
from typing import Any

import pytest
from pretend_swarm import a_fake_mesh, a_swarm, an_order, is_believed

from aitbc_load.histograms import Latencies

_UNTIL_S = 600.0
CAUGHT_BY = {
    "loses": "nothing_lost",
    "forks": "agreement",
    "twice": "no_double_spend",
    "mints": "money_conserved",
    "skips": "nonces_in_step",
}


def run(folder: Path, ports: list[int], **plan: Any) -> dict[str, Any]:
    """Run once and return the result."""
    folder.mkdir()
    return a_swarm(an_order(folder, ports, **plan), []).run()


def balance(books: dict[str, int]) -> int:
    """Return what the columns do not explain."""
    return books["sent"] - sum(books[name] for name in ("final", "rejected", "expired", "pending"))


def test_a_run_accounts_for_all_that_it_sent(tmp_path: Path) -> None:
    """Every arrival is sent, final, in a block of all nodes and in the books; seconds are told."""
    seconds: list[dict[str, Any]] = []
    with a_fake_mesh() as ports:
        result = a_swarm(an_order(tmp_path, ports), seconds).run()

    books = result["books"]
    assert (books["sent"], books["final"], balance(books)) == (200, 200, 0)
    assert {each["outcome"] for each in result["checks"]} == {"held"}
    assert result["verdict"] == "PASS" or not is_believed(result), result["why"]
    assert Latencies.from_wire(result["to_final"]["histogram"]).count == 200
    assert sum(each["offered"] for each in seconds) <= 200
    assert seconds[-1]["height"] > 0


@pytest.mark.nightly
@pytest.mark.parametrize("bug", CAUGHT_BY)
def test_a_mesh_with_a_bug_is_caught(tmp_path: Path, bug: str) -> None:
    """Each of five bugs is a violation, found by the check that is meant for it."""
    with a_fake_mesh(bug=bug) as ports:
        result = run(tmp_path / bug, ports, drain_s=5.0)

    assert result["verdict"] == "SAFETY"
    assert any(why.startswith(CAUGHT_BY[bug]) for why in result["why"]), result["why"]


@pytest.mark.nightly
def test_clean_runs_give_no_alarm(tmp_path: Path) -> None:
    """Twenty runs one after the other, singly and in batches: none finds what is not there."""
    for number in range(20):
        batch = 1 if number % 2 else 5
        with a_fake_mesh() as ports:
            result = run(tmp_path / str(number), ports, seed=number, batch=batch)

        assert {each["outcome"] for each in result["checks"]} == {"held"}, number
        assert (result["books"]["pending"], balance(result["books"])) == (0, 0)
        assert result["verdict"] == "PASS" or not is_believed(result), result["why"]


@pytest.mark.nightly
def test_a_frozen_server_is_seen_as_its_clients_would(tmp_path: Path) -> None:
    """Frozen 1 s in 5 at 200/s: p90, p95, p99 are 500, 750 and 950 ms to 5 %.

    A run that judges itself late proves nothing, and is repeated.
    """
    until = time.monotonic() + _UNTIL_S
    number = 0
    while True:
        number += 1
        with a_fake_mesh(freeze=[1.0, 5.0, 1.0]) as ports:
            result = run(tmp_path / str(number), ports, rate=200.0, for_s=20.0, accounts=48)
        if is_believed(result):
            break
        assert time.monotonic() < until, "this machine was never quiet enough"

    told = result["submit"]["percentiles_ms"]
    assert result["books"]["sent"] == 4_000
    for percent, expected_ms in (("p90", 500), ("p95", 750), ("p99", 950)):
        assert told[percent] == pytest.approx(expected_ms, rel=0.05), told
