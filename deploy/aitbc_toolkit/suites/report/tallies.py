"""What does the page say of a swarm's result? Rates, books, latencies and costs, as tables.

Pure. A drawing shows how the times until final are spread. Do not judge here.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aitbc_toolkit.suites.report import hdr_text
from aitbc_toolkit.suites.report.recorded import Kind, Swarm
from aitbc_toolkit.suites.report.words import clean, number, span

BARS = 60
BAR_WIDTH, BAR_HEIGHT = 12, 120
_PERCENTS = ("p50", "p90", "p95", "p99", "p99.9")
_COSTS_MAX = 60


class Bar(NamedTuple):
    """Be one column of the drawing, from the ground up."""

    x: int
    y: int
    height: int
    told: str


class Spread(NamedTuple):
    """Be the drawing of a kind of latency: its columns, and what its end stands for."""

    bars: Sequence[Bar]
    end: str
    width: int = BARS * BAR_WIDTH
    height: int = BAR_HEIGHT


class Tallies(NamedTuple):
    """Be the tables of a load run; each row begins with its name."""

    rates: Sequence[tuple[str, str]]
    books: str
    rejects: str
    kinds: Sequence[Sequence[str]]
    costs: Sequence[Sequence[str]]
    more_costs: int
    growth: Sequence[Sequence[str]]
    spread: Spread | None


def tallies(told: Swarm) -> Tallies:
    """Write what a swarm told."""
    books = told.books
    named = (("to final", told.to_final), ("to answer", told.submit), ("service", told.service))
    kinds = [_kind(name, kind) for name, kind in (*named, ("send lag", told.send_lag)) if kind]
    lost = {**books.rejects, **{f"{code} (sent again)": n for code, n in books.refusals.items()}}
    return Tallies(
        rates=[(clean(name), number(value)) for name, value in told.rates.items()],
        books=(
            f"sent {books.sent:,} = final {books.final:,} + rejected {books.rejected:,}"
            f" + expired {books.expired:,} + pending {books.pending:,}"
        ),
        rejects=clean(", ".join(f"{code} {count:,}" for code, count in lost.items())),
        kinds=kinds,
        costs=[_cost(row) for row in told.costs[:_COSTS_MAX]],
        more_costs=len(told.costs) - _COSTS_MAX,
        growth=[_growth(row) for row in told.growth[:_COSTS_MAX]],
        spread=_spread(told.to_final),
    )


def _kind(name: str, kind: Kind) -> list[str]:
    shown = [_ms(kind.percentiles_ms.get(percent)) for percent in _PERCENTS]
    return [name, f"{kind.count:,}", *shown]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms"


def _cost(row: Mapping[str, object]) -> list[str]:
    """Write what one final transaction took of a node, or why nobody knows."""
    each = row.get("per_tx")
    name = clean(str(row.get("node", "")))
    if not isinstance(each, Mapping):
        return [name, "-", "-", "-", "-", clean(str(row.get("why", "")) or "not known")]
    shown = [
        f"{value:,.2f}" if isinstance(value := each.get(key), int | float) else "-"
        for key in ("cpu_ms", "bytes_in", "bytes_out", "disk_bytes")
    ]
    return [name, *shown, ""]


def _growth(row: Mapping[str, object]) -> list[str]:
    """Write how one node grew, or why nobody knows."""
    name = clean(str(row.get("node", "")))
    if why := clean(str(row.get("why", ""))):
        return [name, "-", "-", "-", "-", why]
    shown = [
        f"{value:,.2f}" if isinstance(value := row.get(key), int | float) else "-"
        for key in ("for_s", "memory_percent_h", "disk_per_tx_early", "disk_per_tx_late")
    ]
    return [name, *shown, ""]


def _spread(kind: Kind | None) -> Spread | None:
    """Draw how often which latency was met, up to the thousandth that took longest."""
    written = kind.histogram.get("hdr") if kind else None
    if kind is None or not kind.count or not isinstance(written, str):
        return None
    counted = hdr_text.decode(written)
    if counted is None:
        return None
    last_us = max(1, counted.get_value_at_percentile(99.9))
    counts = [0] * BARS
    for item in counted.get_recorded_iterator():
        place = min(BARS - 1, int(item.value_iterated_to * BARS / last_us))
        counts[place] += item.count_added_in_this_iter_step
    most = max(counts)
    bars = [
        Bar(
            x=place * BAR_WIDTH,
            y=BAR_HEIGHT - (tall := max(1, round(BAR_HEIGHT * count / most))),
            height=tall,
            told=f"{count:,} up to {(place + 1) * last_us / BARS / 1000:,.0f} ms",
        )
        for place, count in enumerate(counts)
        if count
    ]
    return Spread(bars, span(last_us / 1_000_000))
