"""What does each of several workers do of one plan, and what did they do together?

Rates are divided, of the bots of each part no worker has two more than another, and no account is
shared: they follow from the worker's number. Pure. Do not add how workers are told.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from aitbc_load.chainwatch import BROKEN, HELD, UNKNOWN
from aitbc_load.histograms import Latencies
from aitbc_load.judging import INCONCLUSIVE, INVALID, LIVENESS, PASS, SAFETY
from aitbc_load.orders import Cover, Order, Part, Phase, Plan, Second
from aitbc_load.results import (
    Books,
    Checked,
    Generator,
    Latency,
    PhaseView,
    Rates,
    Result,
    RoleView,
    WorkerView,
    latency,
)

OFFSET_MAX_MS = 5.0
_MS = 1000
_WORST = (SAFETY, INVALID, INCONCLUSIVE, LIVENESS, PASS)
_OUTCOMES = (BROKEN, UNKNOWN, HELD)


class Offset(msgspec.Struct, frozen=True):
    """Say how far a worker's clock is ahead of the coordinator's, and how well that is known."""

    ahead_s: float
    within_s: float
    """Half of the way there and back: it may be so much more, or less."""


def share(order: Order, worker: int, folder: str) -> Order:
    """Return what one worker has to do."""
    plan, count = order.plan, order.plan.workers
    part = msgspec.structs.replace(
        plan,
        worker=worker,
        rate=plan.rate / count,
        in_flight_max=max(plan.batch, plan.in_flight_max // count),
        phases=tuple(_phase(phase, worker, count) for phase in plan.phases),
    )
    return msgspec.structs.replace(order, plan=part, folder=folder, ways=(), is_part=True)


def hand_ins(cover: Cover, count: int) -> list[range]:
    """Give the places that a worker takes over in the schedule of each lost one.

    All workers have the same schedule, of `count` hand-ins; together they take each place once.
    """
    starts = [(cover.place + turn) % cover.among for turn in range(len(cover.lost))]
    return [range(start, count, cover.among) for start in starts]


def bots(cover: Cover, part: Part, workers: int) -> int:
    """Count the bots of lost workers that a worker takes over."""
    lost = sum(_dealt(part.all_bots, worker, workers) for worker in cover.lost)
    return _dealt(lost, cover.place, cover.among)


def bots_most(part: Part, plan: Plan) -> int:
    """Count the bots that a worker may have to take over at most."""
    lost = tuple(range(plan.losses_max))
    cover = Cover(lost=lost, place=0, among=plan.workers - plan.losses_max)
    return bots(cover, part, plan.workers)


def second(told: Sequence[Second]) -> Second:
    """Add up one second of all workers; latencies are those of the slowest."""

    def most(values: Iterable[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    return Second(
        at_s=max(each.at_s for each in told),
        offered=sum(each.offered for each in told),
        accepted=sum(each.accepted for each in told),
        final=sum(each.final for each in told),
        refused=sum(each.refused for each in told),
        pending=sum(each.pending for each in told),
        height=max(each.height for each in told),
        p50_ms=most(each.p50_ms for each in told),
        p95_ms=most(each.p95_ms for each in told),
        p99_ms=most(each.p99_ms for each in told),
        lag_p99_ms=most(each.lag_p99_ms for each in told),
        verdict=next((each.verdict for each in told if each.verdict != PASS), PASS),
        phase=told[0].phase,
        endpoints=_sum(each.endpoints for each in told),
    )


def together(
    order: Order,
    results: Mapping[int, Result],
    losses: Mapping[int, str],
    offsets: Mapping[int, Offset],
    letters_lost: Mapping[int, int],
) -> Result:
    """Add up what the workers say; one that is lost makes it INVALID, and takes its books along.

    So does each letter to one of them that was lost on its way through the coordinator.
    """
    told = [results[number] for number in sorted(results)]
    assert told, "without any result there is nothing to add up"
    why = [f"{name(order, number)} was lost: {losses[number]}" for number in sorted(losses)]
    for number, offset in sorted(offsets.items()):
        why += [f"the clock of {name(order, number)} {line}" for line in _clock_faults(offset)]
    why += [
        f"{count:,} letters between workers lost: too many came for {name(order, number)}"
        for number, count in sorted(letters_lost.items())
        if count
    ]
    verdict = min((each.verdict for each in told), key=_WORST.index)
    if why and verdict != SAFETY:
        verdict = INVALID
    said = [line for each in told if each.verdict == verdict for line in each.why]
    phases = _phases([each.phases for each in told])
    first = told[0]
    return msgspec.structs.replace(
        first,
        verdict=verdict,
        why=list(dict.fromkeys((*why, *said) if verdict == INVALID else (*said, *why))),
        took_s=max(each.took_s for each in told),
        rates=_rates([each.rates for each in told]),
        books=_books([each.books for each in told]),
        to_final=_latency(each.to_final for each in told),
        submit=_latency(each.submit for each in told),
        service=_latency(each.service for each in told),
        send_lag=_latency(each.send_lag for each in told),
        phases=phases,
        harm_p99=_harm(phases),
        roles=_roles([role for each in told for role in each.roles]),
        checks=_checks([check for each in told for check in each.checks]),
        heights=(min(each.heights[0] for each in told), max(each.heights[1] for each in told)),
        generator=_generator([each.generator for each in told], sum(letters_lost.values())),
        workers=[
            WorkerView(
                number=number,
                host=host(order, number),
                verdict=results[number].verdict if number in results else INVALID,
                sent=results[number].books.sent if number in results else None,
                lost=losses.get(number, ""),
                clock_offset_ms=_ms(offsets[number].ahead_s) if number in offsets else None,
                clock_error_ms=_ms(offsets[number].within_s) if number in offsets else None,
            )
            for number in range(order.plan.workers)
        ],
    )


def _clock_faults(offset: Offset) -> Iterator[str]:
    """Say why a clock's times cannot be put beside ours."""
    good = f"at most {OFFSET_MAX_MS:.0f} are good"
    if abs(_ms(offset.ahead_s)) > OFFSET_MAX_MS:
        yield f"is {_ms(offset.ahead_s):.1f} ms off, {good}"
    if _ms(offset.within_s) > OFFSET_MAX_MS:
        yield f"is known to {_ms(offset.within_s):.1f} ms only, {good}"


def _ms(seconds: float) -> float:
    return round(_MS * seconds, 3)


def host(order: Order, number: int) -> str:
    """Tell where a worker is; nothing where it is beside its coordinator."""
    return order.ways[number].host if order.ways else ""


def name(order: Order, number: int) -> str:
    """Name a worker for people."""
    where = host(order, number)
    return f"worker {number} on {where}" if where else f"worker {number}"


def _phase(phase: Phase, worker: int, count: int) -> Phase:
    parts = tuple(_part(part, worker, count) for part in phase.parts)
    dealt = tuple(part for part in parts if part.rate or part.all_bots)
    return msgspec.structs.replace(phase, rate=phase.rate / count, parts=dealt)


def _part(part: Part, worker: int, count: int) -> Part:
    return msgspec.structs.replace(
        part,
        rate=part.rate / count,
        bots=_dealt(part.bots, worker, count),
        all_bots=part.bots,
    )


def _dealt(count: int, place: int, among: int) -> int:
    """Deal out evenly; what is left over goes to the first."""
    return count // among + (place < count % among)


def _latency(told: Iterable[Latency]) -> Latency:
    found = Latencies()
    for each in told:
        found.merge(Latencies.from_wire(each.histogram))
    return latency(found)


def _rates(told: Sequence[Rates]) -> Rates:
    committed = [each.committed for each in told if each.committed is not None]
    return Rates(
        asked=round(sum(each.asked for each in told), 3),
        offered=round(sum(each.offered for each in told), 3),
        accepted=round(sum(each.accepted for each in told), 3),
        committed=round(sum(committed), 3) if len(committed) == len(told) else None,
    )


def _books(told: Sequence[Books]) -> Books:
    counts = ("sent", "accepted", "final", "rejected", "expired", "pending", "promised", "dropped")
    return Books(
        **{name: sum(getattr(each, name) for each in told) for name in counts},
        refusals=_sum(each.refusals for each in told),
        rejects=_sum(each.rejects for each in told),
    )


def _phases(told: Sequence[Sequence[PhaseView]]) -> list[PhaseView]:
    return [
        msgspec.structs.replace(
            rows[0],
            asked=sum(row.asked for row in rows),
            offered=sum(row.offered for row in rows),
            to_final=_latency(row.to_final for row in rows),
        )
        for rows in zip(*told, strict=True)
    ]


def _harm(phases: Sequence[PhaseView]) -> float | None:
    found = []
    for is_attacked in (True, False):
        rows = [row.to_final for row in phases if row.is_attacked == is_attacked]
        found.append(_latency(rows).percentiles_ms["p99"])
    attacked, alone = found
    return round(attacked / alone, 3) if attacked and alone else None


def _roles(told: Sequence[RoleView]) -> list[RoleView]:
    kinds = dict.fromkeys((row.role, row.model) for row in told)
    found = []
    for kind in kinds:
        rows = [row for row in told if (row.role, row.model) == kind]
        counts = ("sent", "taken", "in_blocks", "dropped", "silent", "breaches")
        tables = ("refusals", "acts", "failures", "lives")
        found.append(
            msgspec.structs.replace(
                rows[0],
                **{name: sum(getattr(row, name) for row in rows) for name in counts},
                **{name: _sum(getattr(row, name) for row in rows) for name in tables},
                answers=_latency(row.answers for row in rows),
            )
        )
    return found


def _checks(told: Sequence[Checked]) -> list[Checked]:
    """Keep of each check what the worst worker says."""
    found: dict[str, Checked] = {}
    for check in told:
        before = found.get(check.name)
        if before is None or _OUTCOMES.index(check.outcome) < _OUTCOMES.index(before.outcome):
            found[check.name] = check
    return list(found.values())


def _generator(told: Sequence[Generator], letters_lost: int) -> Generator:
    costs = [each.cpu_us_per_tx for each in told if each.cpu_us_per_tx is not None]
    return msgspec.structs.replace(
        told[0],
        workers=len(told),
        cpu_s=round(sum(each.cpu_s for each in told), 3),
        tracked_cpu_s=round(sum(each.tracked_cpu_s for each in told), 3),
        cpu_share=max(each.cpu_share for each in told),
        cpu_us_per_tx=round(sum(costs) / len(costs), 1) if costs else None,
        in_flight_max=sum(each.in_flight_max for each in told),
        signing_s=max(each.signing_s for each in told),
        letters_lost=letters_lost + sum(each.letters_lost for each in told),
    )


def _sum(told: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for each in told:
        found.update(each)
    return dict(found.most_common())
