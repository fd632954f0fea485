"""What did a run show? The blocks are read from every node, the books compared, the run judged."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import gevent

from aitbc_load import supplies
from aitbc_load.arrivals import Arrivals
from aitbc_load.assaults import Assault
from aitbc_load.assaults import check as assaulted
from aitbc_load.books import EXPIRED, PENDING, REJECTED
from aitbc_load.chainwatch import Block, Check, Seen, agreed, checks, rate, witnessed
from aitbc_load.histograms import Latencies
from aitbc_load.judging import Facts, judge
from aitbc_load.mustering import family_of, is_attacked
from aitbc_load.results import (
    Books,
    Checked,
    Generator,
    PhaseView,
    Rates,
    Result,
    RoleView,
    latency,
)
from aitbc_load.swarm.bots import Crowd
from aitbc_load.swarm.dispatching import Dispatcher
from aitbc_load.swarm.paying import Payer
from aitbc_load.swarm.running import Ready, Run
from aitbc_load.swarm.wallets import Wallets
from aitbc_node.ledger.objects import NATIVE

_AGREE_S = 20.0
_PAUSE_S = 0.5
_P99 = 99.0


def facts_of(
    run: Run,
    dispatcher: Dispatcher,
    *,
    crowds: Sequence[Crowd] = (),
    idle: Sequence[str] = (),
    checked: tuple[Check, ...] = (),
) -> Facts:
    """Put together what the run is judged by, as of now; `checked` is known at the end only."""
    taken, spent = dispatcher.taken, run.spent
    is_over = spent.took_s > 0
    sums = run.books.sums()
    errors = {REJECTED: sums.rejected, EXPIRED: sums.expired, PENDING: sums.pending}
    lag_us = taken.lag.percentile_us(_P99)
    due = run.arrivals.asked + sum(taken.covered)
    if not is_over:
        due = run.arrivals.due_by(dispatcher.now_s()) + sum(taken.covered)
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
        out_of_files=run.wires.out_of_files + spent.out_of_files,
        engine_faults=run.engine_faults,
        letters_lost=run.post.lost,
        phases=tuple(_phases_asked(run, dispatcher)) if is_over else (),
        acts=sum(each.begun for each in crowds),
        failures=sum((each.failures for each in crowds), Counter()),
        idle=idle,
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
    seen = whole(run.reader.all_blocks, powers, heights)
    blocks = agreed(seen, powers)
    at = {name: height for height, block in blocks.items() for name in block.tx_ids}
    unseen = [height for height in heights if height not in blocks]
    found = [
        *checks(seen, powers, heights, run.books.ended, run.books.contradictions),
        *wallets.compare(at, is_partial=bool(unseen)),
        supplies.check(ready.minted, NATIVE, run.reader.all_supplies()),
    ]
    assaults = [squad.assault for squad in ready.squads]
    places = Counter(name for block in blocks.values() for name in block.tx_ids)
    if attacked := assaulted(assaults, places, unseen):
        found.append(attacked)
    phases = list(_phases(run, dispatcher))
    crowds = tuple(ready.crowds.crowds.values())
    breaches = {name: how for each in crowds for name, how in each.breaches.items()}
    found = witnessed(found, breaches)
    idle = _idle(run, assaults, crowds)
    judgement = judge(facts_of(run, dispatcher, crowds=crowds, idle=idle, checked=tuple(found)))
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
        phases=phases,
        harm_p99=_harm(run),
        roles=[
            *(_attack(each, places) for each in assaults),
            *(_crowd(each, ready.crowds.payers, places) for each in crowds),
        ],
        checks=[Checked(name=c.name, outcome=c.outcome, detail=c.detail) for c in found],
        heights=(spent.first_height, last),
        generator=_generator(run, ready, dispatcher),
        circumstances=run.order.circumstances,
    )


def _idle(run: Run, assaults: Sequence[Assault], crowds: Sequence[Crowd]) -> list[str]:
    """Name the roles that were to do something, of which no node has judged anything.

    The share of one of many workers may be too small for a single strike.
    """
    due = {
        part.role
        for phase in run.phases
        for part in phase.parts
        if part.rate and (Arrivals(part.rate, phase.for_s).count or not run.order.is_part)
    }
    found = [each.role for each in assaults if each.is_idle and each.role in due]
    # Bots that only the loss of others would have begun were not to do anything.
    begun = [each for each in crowds if each.lives or not run.order.is_part]
    return found + [each.role for each in begun if each.is_idle]


def whole(
    read: Callable[[int, int], Seen],
    powers: Mapping[str, int],
    heights: Sequence[int],
    *,
    within_s: float = _AGREE_S,
) -> Seen:
    """Read the run's blocks from every node, and again those heights that no quorum told.

    A busy node may tell some now and others later: what was told once is kept.
    """
    until = time.monotonic() + within_s
    seen: dict[int, Mapping[str, Block]] = {}
    missing = list(heights)
    while missing:
        for height, told in read(missing[0], missing[-1]).items():
            seen[height] = {**told, **seen.get(height, {})}
        known = agreed(seen, powers)
        missing = [height for height in heights if height not in known]
        if time.monotonic() > until:
            break
        if missing:
            gevent.sleep(_PAUSE_S)
    return seen


def _phases_asked(run: Run, dispatcher: Dispatcher) -> Iterator[tuple[str, int, int]]:
    """Tell what each phase asked for, and what was offered in it; nothing of a single one."""
    if run.books.by_phase:
        taken = dispatcher.taken
        rows = zip(run.phases, run.arrivals.phases, taken.by_phase, taken.covered, strict=True)
        for phase, arrivals, offered, covered in rows:
            yield phase.name, arrivals.asked + covered, offered


def _phases(run: Run, dispatcher: Dispatcher) -> Iterator[PhaseView]:
    for place, (name, asked, offered) in enumerate(_phases_asked(run, dispatcher)):
        phase = run.phases[place]
        yield PhaseView(
            name=name,
            from_s=run.arrivals.begins_s(place),
            for_s=phase.for_s,
            is_attacked=is_attacked(phase),
            asked=asked,
            offered=offered,
            to_final=latency(run.books.by_phase[place]),
        )


def _harm(run: Run) -> float | None:
    """Compare honest p99 in phases with attackers with that in phases without."""
    sums = {True: Latencies(), False: Latencies()}
    for phase, counted in zip(run.phases, run.books.by_phase, strict=False):
        sums[is_attacked(phase)].merge(counted)
    attacked_us, alone_us = (sums[key].percentile_us(_P99) for key in (True, False))
    return round(attacked_us / alone_us, 3) if attacked_us and alone_us else None


def _attack(assault: Assault, places: Mapping[str, int]) -> RoleView:
    return RoleView(
        role=assault.role,
        model="open",
        is_adversarial=True,
        family=family_of(assault.role),
        sent=assault.sent,
        taken=assault.taken,
        in_blocks=assault.found(places),
        dropped=assault.dropped,
        silent=assault.silent,
        refusals=dict(assault.refusals.most_common()),
        breaches=len(assault.breaches(places)),
        answers=latency(assault.answers),
    )


def _crowd(crowd: Crowd, payers: Sequence[Payer], places: Mapping[str, int]) -> RoleView:
    mine = [payer for payer in payers if payer.role == crowd.role]
    return RoleView(
        role=crowd.role,
        model="closed",
        is_adversarial=False,
        family=family_of(crowd.role),
        sent=crowd.begun,
        taken=crowd.acts.total(),
        in_blocks=sum(name in places for payer in mine for name in payer.ids),
        acts=dict(crowd.acts.most_common()),
        failures=dict(crowd.failures.most_common()),
        lives=dict(Counter(str(life.state) for life in crowd.lives)),
        answers=latency(crowd.took),
    )


def _rates(run: Run, dispatcher: Dispatcher, committed: float | None) -> Rates:
    sending_s = max(run.spent.sending_s, 1 / run.order.plan.rate)
    sums = run.books.sums()
    asked = run.arrivals.asked + sum(dispatcher.taken.covered)
    return Rates(
        asked=round(asked / run.order.plan.for_s, 3),
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
        promised=run.books.promised,
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
        tracked_cpu_s=round(spent.tracked_cpu_s, 3),
        cpu_share=round(spent.sending_cpu_s / spent.sending_s, 4) if spent.sending_s else 0.0,
        cpu_us_per_tx=round(1_000_000 * spent.sending_cpu_s / sent, 1) if sent else None,
        in_flight_max=dispatcher.taken.in_flight_max,
        signing_s=round(ready.signing_s, 3),
        letters_lost=run.post.lost,
        tx_bytes=round(ready.store.bytes_mean, 1),
    )


def recent_ms(counted: Latencies) -> tuple[float | None, float | None, float | None]:
    """Return p50, p95 and p99 of one second."""
    told = counted.percentiles_ms((50, 95, 99))
    return told["p50"], told["p95"], told["p99"]
