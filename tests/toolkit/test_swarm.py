"""A swarm finds what a mesh does wrong, nothing where nothing is, and knows when it was late."""

import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fake_mesh import DEAF
from pretend_swarm import TERMS, a_fake_mesh, a_swarm, an_order, asked, is_believed

from aitbc_load.histograms import Latencies
from aitbc_load.identities import identities
from aitbc_load.orders import Terms
from aitbc_load.signing import signed
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Amount
from aitbc_toolkit.suites.swarm import Swarm

_UNTIL_S = 600.0
CAUGHT_BY = {
    "loses": "nothing_lost",
    "forks": "agreement",
    "twice": "no_double_spend",
    "mints": "money_conserved",
    "skips": "nonces_in_step",
    "prints": "supply_conserved",
    "makes": "supply_conserved",
}
A_LISTENER = """
from locust.event import Events
before = Events.__init__
def after(self):
    before(self)
    self.request.add_listener(lambda **told: 1 / 0)
Events.__init__ = after
"""
A_SCHEDULE = """
from aitbc_load.swarm.dispatching import Dispatcher
run = Dispatcher.run
def once(self, *rest):
    Dispatcher.run = run
    raise ZeroDivisionError
Dispatcher.run = once
"""
IN_CI = "loses"
"""It takes seconds, and shows that violations are told; the others are for the nightly tier."""


def run(folder: Path, ports: list[int], **plan: Any) -> dict[str, Any]:
    """Run once and return the result."""
    folder.mkdir()
    return a_swarm(an_order(folder, ports, **plan), []).run()


def hand_in_behind_a_gap(port: int) -> None:
    """Leave what the first run of a seed has signed, but for one nonce, as a refusal does."""
    ours, payee = identities(7, 0, 2)
    nonce = asked(port, "GET", f"/state/accounts/{ours.address(TERMS['hrp'])}")["nonce"]
    terms = msgspec.convert(TERMS, Terms)
    body = Transfer((Output(payee.account, NATIVE, Amount(1)),))
    raws = [signed(ours, terms, body, nonce=nonce + ahead, tip=Amount(9)) for ahead in range(1, 6)]
    asked(port, "POST", "/tx/batch", msgspec.msgpack.encode(raws))


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


@pytest.mark.parametrize("brief", [False, True])
def test_batches_are_followed_with_short_answers_and_with_long_ones(
    tmp_path: Path, *, brief: bool
) -> None:
    """An older node knows no short ones: the books are the same, and every latency is counted."""
    with a_fake_mesh(brief=brief) as ports:
        result = a_swarm(an_order(tmp_path, ports, batch=50, rate=400.0), []).run()

    books = result["books"]
    assert (books["final"], balance(books)) == (books["sent"], 0)
    assert books["sent"] > 200
    assert {each["outcome"] for each in result["checks"]} == {"held"}
    assert Latencies.from_wire(result["to_final"]["histogram"]).count == books["sent"]


def test_what_an_earlier_run_of_the_seed_left_is_not_taken_for_its_own(tmp_path: Path) -> None:
    """Five wait behind a nonce that never came; the books of the next run of the seed balance."""
    with a_fake_mesh() as ports:
        assert run(tmp_path / "one", ports, rate=40.0, for_s=0.5)["books"]["final"] == 20
        hand_in_behind_a_gap(ports[0])
        result = run(tmp_path / "two", ports, rate=40.0, for_s=0.5, drain_s=10.0)

    assert {each["outcome"] for each in result["checks"]} == {"held"}, result["checks"]
    assert result["books"]["final"] == 20


def test_what_a_mesh_took_and_did_not_make_final_is_in_the_books(tmp_path: Path) -> None:
    """Whatever the verdict: a late swarm names its lateness, and this stands beside it."""
    with a_fake_mesh(capacity=2, interval_ms=50) as ports:
        result = run(tmp_path / "one", ports, rate=50.0, for_s=1.0, drain_s=0.5)

    books = result["books"]
    assert books["accepted"] > books["final"]
    assert books["promised"] == books["accepted"] - books["final"]
    assert (result["verdict"], balance(books)) in {("LIVENESS", 0), ("INVALID", 0)}


@pytest.mark.nightly
@pytest.mark.proves("B5")
def test_a_run_that_is_stopped_accounts_for_what_it_sent(tmp_path: Path) -> None:
    """Told to stop, it begins nothing more, drains, and says that it shows nothing."""
    with a_fake_mesh() as ports:
        order = an_order(tmp_path, ports, for_s=600.0)
        result = a_swarm(order, [], each_second=Swarm.stop).run()

    assert result["verdict"] == "INVALID"
    assert "it was stopped before its time" in result["why"]
    assert 0 < result["books"]["sent"] < 60_000
    assert result["books"]["pending"] == balance(result["books"]) == 0


@pytest.mark.parametrize("bug", [A_LISTENER, A_SCHEDULE], ids=["a listener", "the schedule, once"])
def test_what_fails_inside_locust_makes_the_run_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: str
) -> None:
    """Locust goes on, and ends well, where what it calls raises; the run does not."""
    planted = tmp_path / "planted.py"
    planted.write_text(bug + "from aitbc_load.__main__ import main\nmain()\n")
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -P {planted}\n")
    program.chmod(0o755)

    with a_fake_mesh() as ports:
        monkeypatch.setattr(sys, "executable", str(program))
        result = run(tmp_path / "run", ports)

    assert result["verdict"] == "INVALID"
    assert any("exceptions inside the swarm" in why for why in result["why"])


def test_a_node_that_is_cut_off_is_left_although_its_stream_stays_open(tmp_path: Path) -> None:
    """Its blocks are others' by then: what the swarm sent is final, and nothing else is wrong."""
    with a_fake_mesh(bug=DEAF) as ports:
        result = run(tmp_path / "run", ports, drain_s=60.0)

    assert (result["books"]["pending"], balance(result["books"])) == (0, 0)
    assert result["took_s"] < 30, "only the drain's end told it"
    assert {each["outcome"] for each in result["checks"]} == {"held"}


@pytest.mark.parametrize(
    "bug",
    [
        pytest.param(bug, marks=() if bug == IN_CI else pytest.mark.nightly, id=bug)
        for bug in CAUGHT_BY
    ],
)
def test_a_mesh_with_a_bug_is_caught(tmp_path: Path, bug: str) -> None:
    """Each of these bugs is a violation, found by the check that is meant for it."""
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
            result = run(tmp_path / str(number), ports, rate=200.0, for_s=20.0)
        if is_believed(result):
            break
        assert time.monotonic() < until, "this machine was never quiet enough"

    told = result["submit"]["percentiles_ms"]
    assert result["books"]["sent"] == 4_000
    for percent, expected_ms in (("p90", 500), ("p95", 750), ("p99", 950)):
        assert told[percent] == pytest.approx(expected_ms, rel=0.05), told
