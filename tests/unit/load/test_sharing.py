"""A plan is divided over workers, and what they say is added up; the worst of them counts."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitbc_load import sharing
from aitbc_load.histograms import Latencies
from aitbc_load.mustering import course_of, recruits_of
from aitbc_load.orders import Cover, Order, Part, Phase, Plan, Second, Terms
from aitbc_load.results import Books, Checked, Generator, Rates, Result, latency

TERMS = Terms(chain_id="c", hrp="aitd", height=1, ttl_blocks=9, interval_ms=500, gas_price_max=10)


def an_order(workers: int, *, bots: int = 0) -> Order:
    """Order a run of several workers."""
    parts = (Part(role="observer", bots=bots), Part(role="spammer", rate=30.0))
    phases = (Phase(name="day", for_s=10, rate=60, parts=parts),)
    plan = Plan(scenario="load/x", seed=7, rate=60, for_s=10, phases=phases, workers=workers)
    return Order(plan=plan, terms=TERMS, nodes=(), folder="", circumstances={})


def a_result(*latencies_us: int, **changed: Any) -> Result:
    """Make what one worker says."""
    counted = Latencies()
    for each in latencies_us:
        counted.record_us(each)
    counts = dict.fromkeys(("rejected", "expired", "pending", "promised", "dropped"), 0)
    sent = len(latencies_us)
    usual = {
        "scenario": "load/x",
        "seed": 7,
        "verdict": "PASS",
        "why": [],
        "for_s": 10.0,
        "took_s": 11.0,
        "batch": 1,
        "rates": Rates(asked=30.0, offered=30.0, accepted=29.0, committed=28.0),
        "books": Books(
            sent=sent, accepted=sent, final=sent, refusals={"nonce": 1}, rejects={}, **counts
        ),
        "to_final": latency(counted),
        "submit": latency(counted),
        "service": latency(counted),
        "send_lag": latency(counted),
        "checks": [Checked(name="agreement", outcome="held", detail="")],
        "heights": (3, 9),
        "generator": Generator(
            engine="locust",
            workers=1,
            cpu_s=1.0,
            cpu_share=0.1,
            cpu_us_per_tx=100.0,
            in_flight_max=4,
            signing_s=0.5,
            tx_bytes=193.0,
        ),
    }
    return Result(**{**usual, **changed})


def together(
    results: Mapping[int, Result],
    losses: Mapping[int, str] | None = None,
    clocks_ms: Mapping[int, tuple[float, float]] | None = None,
    letters_lost: Mapping[int, int] | None = None,
) -> Result:
    """Add up."""
    order = an_order(len(results) + len(losses or {}))
    offsets = {
        number: sharing.Offset(ahead / 1000, within / 1000)
        for number, (ahead, within) in (clocks_ms or {}).items()
    }
    return sharing.together(order, results, losses or {}, offsets, letters_lost or {})


@pytest.mark.proves("B14")
@given(workers=st.integers(2, 12), bots=st.integers(0, 100))
def test_bots_are_spread_evenly_and_none_is_left_out(workers: int, bots: int) -> None:
    """No worker has two more than another, and every rate is divided evenly."""
    order = an_order(workers, bots=bots)

    plans = [sharing.share(order, number, "").plan for number in range(workers)]

    recruits = [recruits_of(plan, plan.worker, TERMS) for plan in plans]
    counts = [sum(not each.spare for each in row) for row in recruits]
    assert sum(counts) == bots
    assert max(counts) - min(counts) <= 1
    assert sum(course_of(plan).asked for plan in plans) == pytest.approx(600, abs=workers)
    assert {plan.phases[0].parts[-1].rate for plan in plans} == {30.0 / workers}


@given(workers=st.integers(5, 30), bots=st.integers(0, 100), data=st.data())
def test_the_shares_of_lost_workers_are_taken_over_once(
    workers: int, bots: int, data: st.DataObject
) -> None:
    """Each hand-in and each bot by one of the others, who have signed and recruited enough."""
    order = an_order(workers, bots=bots)
    most = st.integers(1, order.plan.losses_max)
    lost = tuple(data.draw(st.permutations(range(workers)))[: data.draw(most)])
    living = [number for number in range(workers) if number not in lost]
    plans = {number: sharing.share(order, number, "").plan for number in range(workers)}
    count = course_of(plans[0]).count

    covers = [Cover(lost=lost, place=n, among=len(living)) for n in range(len(living))]

    for turn in range(len(lost)):
        taken = [n for cover in covers for n in sharing.hand_ins(cover, count)[turn]]
        assert sorted(taken) == list(range(count))
    recruits = {n: recruits_of(plan, n, TERMS) for n, plan in plans.items()}
    for number, cover in zip(living, covers, strict=True):
        own = sum(map(len, sharing.hand_ins(cover, count)))
        assert count + own <= plans[number].with_cover(count)
    if bots:
        parts = [plans[number].phases[0].parts[0] for number in living]
        rows = zip(living, parts, covers, strict=True)
        begun = {n: sharing.bots(cover, part, workers) for n, part, cover in rows}
        assert sum(begun.values()) == sum(plans[n].phases[0].parts[0].bots for n in lost)
        assert all(n <= sum(each.spare > 0 for each in recruits[w]) for w, n in begun.items())


def test_books_and_histograms_add_up() -> None:
    """Counts exactly; percentiles are those of all, not of percentiles."""
    owed = msgspec.structs.replace(a_result().books, promised=4)

    told = together({0: a_result(1_000, 2_000, books=owed), 1: a_result(9_000)})

    assert told.verdict == "PASS"
    assert (told.books.sent, told.books.refusals) == (1, {"nonce": 2})
    assert told.books.promised == 4
    assert Latencies.from_wire(told.to_final.histogram).count == 3
    assert told.to_final.percentiles_ms["p99"] == pytest.approx(9, rel=0.002)
    assert told.rates.committed == 56.0
    assert (told.generator.workers, told.generator.cpu_s) == (2, 2.0)
    assert told.generator.tx_bytes == 193.0


def test_a_lost_worker_makes_the_run_invalid() -> None:
    """Whatever the others saw; what it sent is not made up."""
    told = together({0: a_result(1_000)}, {1: "it ended with status -9 and no result"})

    assert told.verdict == "INVALID"
    assert told.why == ["worker 1 was lost: it ended with status -9 and no result"]
    assert (told.workers[1].sent, told.workers[1].verdict) == (None, "INVALID")


def test_a_clock_that_is_off_makes_the_run_invalid() -> None:
    """More than 5 ms to either side, or nobody knows by how much to 5 ms: a slow way there."""
    results = {0: a_result(1_000), 1: a_result(1_000)}

    assert together(results, clocks_ms={0: (-4.9, 4.9), 1: (4.9, 0.1)}).verdict == "PASS"
    told = together(results, clocks_ms={0: (0.1, 50.0), 1: (-5.1, 0.1)})
    assert (told.verdict, told.why) == (
        "INVALID",
        [
            "the clock of worker 0 is known to 50.0 ms only, at most 5 are good",
            "the clock of worker 1 is -5.1 ms off, at most 5 are good",
        ],
    )
    assert [row.clock_error_ms for row in told.workers] == [50.0, 0.1]


def test_a_letter_that_was_lost_makes_the_run_invalid() -> None:
    """Whatever bots that waited for it made of the mesh; both ways of losing one are added up."""
    generator = msgspec.structs.replace(a_result(1).generator, letters_lost=4)
    results = {0: a_result(1, generator=generator, verdict="LIVENESS"), 1: a_result(1)}

    told = together(results, letters_lost={0: 0, 1: 3})

    assert told.verdict == "INVALID"
    assert told.why == ["3 letters between workers lost: too many came for worker 1"]
    assert told.generator.letters_lost == 7
    assert together({0: a_result(1)}, letters_lost={0: 0}).verdict == "PASS"


@pytest.mark.parametrize(
    ("one", "other", "worst"),
    [
        ("PASS", "LIVENESS", "LIVENESS"),
        ("LIVENESS", "INVALID", "INVALID"),
        ("INVALID", "SAFETY", "SAFETY"),
    ],
)
def test_the_worst_verdict_counts(one: str, other: str, worst: str) -> None:
    """With the reasons of those who gave it."""
    results = {
        0: a_result(1, verdict=one, why=["of one"]),
        1: a_result(1, verdict=other, why=["of other"]),
    }

    told = together(results)

    assert (told.verdict, told.why) == (worst, ["of other"])


def test_what_must_never_happen_outranks_a_lost_worker() -> None:
    """No loss of ours makes two blocks of one height."""
    broken = [Checked(name="agreement", outcome="broken", detail="a fork")]
    result = a_result(1, verdict="SAFETY", why=["agreement: a fork"], checks=broken)

    told = together({0: a_result(1), 1: result}, {2: "gone"})

    assert told.verdict == "SAFETY"
    assert told.why[0] == "agreement: a fork"
    assert told.checks == broken


def test_a_second_of_all_is_as_slow_as_the_slowest() -> None:
    """Counts add up; a latency that nobody has is none."""
    one = Second(
        at_s=1.0,
        offered=5,
        accepted=4,
        final=3,
        refused=0,
        pending=1,
        height=7,
        p50_ms=None,
        p95_ms=None,
        p99_ms=None,
        lag_p99_ms=1.0,
        verdict="PASS",
        phase="day",
        endpoints={"v1": 2, "v2": 3},
    )
    other = msgspec.structs.replace(one, height=8, p50_ms=9.0, verdict="late")

    told = sharing.second([one, other])

    assert (told.offered, told.height, told.p50_ms, told.p99_ms) == (10, 8, 9.0, None)
    assert told.verdict == "late"
    assert (told.phase, told.endpoints) == ("day", {"v1": 4, "v2": 6})
