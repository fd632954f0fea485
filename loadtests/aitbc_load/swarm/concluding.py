"""What did a run show? The blocks are read from every node, the books compared, the run judged."""

import time

import gevent

from aitbc_load.books import EXPIRED, PENDING, REJECTED
from aitbc_load.chainwatch import Check, Seen, agreed, checks, rate
from aitbc_load.histograms import Latencies
from aitbc_load.judging import Facts, judge
from aitbc_load.results import Books, Checked, Generator, Rates, Result, latency
from aitbc_load.swarm.dispatching import Dispatcher
from aitbc_load.swarm.running import Ready, Run
from aitbc_load.swarm.wallets import Wallets

_AGREE_S = 20.0
_PAUSE_S = 0.5
_LAG_PERCENT = 99.0


def facts_of(run: Run, dispatcher: Dispatcher, *, checked: tuple[Check, ...] = ()) -> Facts:
    """Put together what the run is judged by, as of now; `checked` is known at the end only."""
    taken, spent = dispatcher.taken, run.spent
    is_over = spent.took_s > 0
    sums = run.books.sums()
    errors = {REJECTED: sums.rejected, EXPIRED: sums.expired, PENDING: sums.pending}
    lag_us = taken.lag.percentile_us(_LAG_PERCENT)
    due = run.arrivals.asked
    if not is_over:
        due = min(due, int(dispatcher.now_s() * run.order.plan.rate))
    return Facts(
        asked=max(1, due),
        offered=taken.offered,
        final=run.books.to_final.count,
        promised=run.books.promised if is_over else 0,
        lag_p99_ms=None if lag_us is None else lag_us / 1000,
        cpu_share=spent.sending_cpu_s / spent.sending_s if spent.sending_s else 0.0,
        drain_s=run.order.plan.drain_s,
        sent=sums.sent,
        errors=errors if is_over else {},
        out_of_files=run.wires.out_of_files,
        engine_faults=run.engine_faults,
        is_stopped=spent.is_stopped,
        checks=checked,
    )


def conclude(run: Run, ready: Ready, dispatcher: Dispatcher) -> Result:
    """Look at the chain and say how the run ended."""
    spent, plan = run.spent, run.order.plan
    wallets = Wallets(run, ready)
    powers = {node.name: node.power for node in run.order.nodes}
    last = max(spent.last_height, *map(run.reader.height_of, run.order.nodes))
    heights = range(spent.first_height, last + 1)
    seen = _blocks(run, powers, heights)
    blocks = agreed(seen, powers)
    found = [
        *checks(seen, powers, heights, run.books.ended, run.books.contradictions),
        *wallets.compare({name for block in blocks.values() for name in block.tx_ids}),
    ]
    judgement = judge(facts_of(run, dispatcher, checked=tuple(found)))
    return Result(
        scenario=plan.scenario,
        seed=plan.seed,
        verdict=judgement.verdict,
        why=list(judgement.why),
        for_s=plan.for_s,
        took_s=round(spent.took_s, 3),
        batch=plan.batch,
        rates=_rates(run, dispatcher, rate(blocks, run.books.ended)),
        books=_books(run, dispatcher),
        to_final=latency(run.books.to_final),
        submit=latency(dispatcher.taken.submit),
        service=latency(dispatcher.taken.service),
        send_lag=latency(dispatcher.taken.lag),
        checks=[Checked(name=c.name, outcome=c.outcome, detail=c.detail) for c in found],
        heights=(spent.first_height, last),
        generator=_generator(run, ready, dispatcher),
        circumstances=run.order.circumstances,
    )


def _blocks(run: Run, powers: dict[str, int], heights: range) -> Seen:
    """Read the run's blocks from every node; a quorum may need a moment for the newest."""
    until = time.monotonic() + _AGREE_S
    while True:
        seen = run.reader.all_blocks(heights.start, heights.stop - 1)
        if len(agreed(seen, powers)) == len(heights) or time.monotonic() > until:
            return seen
        gevent.sleep(_PAUSE_S)


def _rates(run: Run, dispatcher: Dispatcher, committed: float | None) -> Rates:
    sending_s = max(run.spent.sending_s, 1 / run.order.plan.rate)
    sums = run.books.sums()
    return Rates(
        asked=run.order.plan.rate,
        offered=round(dispatcher.taken.offered / sending_s, 3),
        accepted=round(sums.accepted / sending_s, 3),
        committed=None if committed is None else round(committed, 3),
    )


def _books(run: Run, dispatcher: Dispatcher) -> Books:
    sums = run.books.sums()
    return Books(
        sent=sums.sent,
        accepted=sums.accepted,
        final=sums.final,
        rejected=sums.rejected,
        expired=sums.expired,
        pending=sums.pending,
        dropped=dispatcher.taken.dropped,
        refusals=dict(run.books.refusals.most_common()),
        rejects=dict(run.books.rejects.most_common()),
    )


def _generator(run: Run, ready: Ready, dispatcher: Dispatcher) -> Generator:
    spent, sent = run.spent, dispatcher.taken.offered
    return Generator(
        engine="locust",
        workers=1,
        cpu_s=round(spent.sending_cpu_s, 3),
        cpu_share=round(spent.sending_cpu_s / spent.sending_s, 4) if spent.sending_s else 0.0,
        cpu_us_per_tx=round(1_000_000 * spent.sending_cpu_s / sent, 1) if sent else None,
        in_flight_max=dispatcher.taken.in_flight_max,
        signing_s=round(ready.signing_s, 3),
    )


def recent_ms(counted: Latencies) -> tuple[float | None, float | None, float | None]:
    """Return p50, p95 and p99 of one second."""
    told = counted.percentiles_ms((50, 95, 99))
    return told["p50"], told["p95"], told["p99"]
