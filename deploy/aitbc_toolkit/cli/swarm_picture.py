"""How is a run of a swarm told to people when it is over, or when somebody asks how far it is?

While it works: `swarm_view`.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aitbc_toolkit.suites import busyness
from aitbc_toolkit.suites.loads import RESULT, Played
from aitbc_toolkit.suites.repertoire import Offer, Seen
from aitbc_toolkit.suites.report import reading
from aitbc_toolkit.suites.verdicts import Verdict

_REJECTS_MAX = 4


def summary(played: Played, folder: Path) -> Iterator[str]:
    """Write how a run ended."""
    record, told = played.record, played.told
    (result,) = record.results
    if told is None:
        yield f"{record.suite} on {record.environment}: {record.verdict}, {result.line}"
        return
    rates, made = told["rates"], told["generator"]
    offered = 100 * min(1.0, told["books"]["sent"] / max(1, round(rates["asked"] * told["for_s"])))
    lag = told["send_lag"]["percentiles_ms"]["p99"]
    yield (
        f"{record.suite} on {record.environment}: {record.verdict}"
        f" (offered {offered:.1f} %, send lag p99 {latency(lag)},"
        f" worker CPU {100 * made['cpu_share']:.0f} %)"
    )
    if record.verdict is not Verdict.PASS:
        # What the swarm found is why only where its verdict is the run's.
        own = told["why"] if told["verdict"] == record.verdict else []
        yield from (f"  because    {line}" for line in own or [result.line])
        busy = busyness.told(told.get("circumstances", {}))
        if busy and record.verdict is Verdict.INVALID:
            yield f"  perhaps    {busy}; a quiet machine or a lower rate may do"
    yield from _measured(told)
    yield f"  result     {folder / RESULT}"
    if (folder / reading.PAGE).exists():
        yield f"  report     {folder / reading.PAGE}"
    yield f"  took {record.took_s:.1f} s"


def offered(offer: Offer) -> Iterator[str]:
    """Write all that is known of a scenario before it is played."""
    yield f"{offer.name}: {offer.about}"
    yield f"  asks       {offer.arrivals}, {offer.lasts}"
    yield f"  who comes  {', '.join(offer.families)}"
    yield f"  breaks     {', '.join(dict.fromkeys(offer.faults)) or 'nothing'}"
    yield from (f"  must hold  {each}" for each in offer.objectives)


def standing(seen: Seen, folder: Path) -> Iterator[str]:
    """Write how far a run is, or how it ended."""
    plan = seen.order.get("plan", {})
    name = plan.get("scenario", "a swarm")
    yield f"run {folder.name}: {name}, {seen.verdict or 'not judged yet, or killed'}"
    if seen.result is not None:
        yield from _measured(seen.result)
    elif seen.second is not None:
        row = seen.second
        yield f"  last       accepted {row['accepted']}/s, final {row['final']}/s"
    yield f"  record     {folder}"


def _measured(told: Mapping[str, Any]) -> Iterator[str]:
    rates, books, made = told["rates"], told["books"], told["generator"]
    committed = rates["committed"]
    blocks = "not available" if committed is None else f"{committed:,.1f}"
    yield (
        f"  a second   asked {rates['asked']:,.1f}, offered {rates['offered']:,.1f},"
        f" accepted {rates['accepted']:,.1f}, committed {blocks}"
    )
    for label, name in (("to final", "to_final"), ("to answer", "submit")):
        found = told[name]["percentiles_ms"]
        shown = ", ".join(f"{each} {latency(found[each])}" for each in ("p50", "p95", "p99"))
        yield f"  {label:<10} {shown}"
    yield (
        f"  books      sent {books['sent']:,} = final {books['final']:,}"
        f" + rejected {books['rejected']:,} + expired {books['expired']:,}"
        f" + pending {books['pending']:,}"
    )
    for label, counts in (("rejected", books["rejects"]), ("sent again", books["refusals"])):
        if counts:
            rows = list(counts.items())[:_REJECTS_MAX]
            yield f"  {label:<10} " + ", ".join(f"{code} {count:,}" for code, count in rows)
    yield from _crowds(told)
    yield from _broken(told.get("broken"))
    held = sum(row["outcome"] == "held" for row in told["checks"])
    yield f"  safety     {held} of {len(told['checks'])} checks held"
    each = made["cpu_us_per_tx"]
    cost = "not available" if each is None else f"{each / 1000:.2f} CPU-ms a transaction"
    if size := made.get("tx_bytes"):  # older records have none
        cost += f" of {size:.0f} bytes"
    yield f"  swarm      {cost}, {made['in_flight_max']:,} in flight at most"
    yield from _workers(told.get("workers", ()))
    yield from _costs(told.get("costs", ()))
    yield from _growth(told.get("growth", ()))


def _workers(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Write who shared the run."""
    lost = [row for row in rows if row["lost"]]
    known = [abs(row["clock_offset_ms"]) for row in rows if row["clock_offset_ms"] is not None]
    clocks = f", clocks within {max(known):.1f} ms" if known else ""
    hosts = dict.fromkeys(row["host"] for row in rows if row.get("host"))
    where = f" on {', '.join(hosts)}" if hosts else ""
    if rows:
        yield f"  workers    {len(rows)}{where}, of which {len(lost)} were lost{clocks}"


def _crowds(told: Mapping[str, Any]) -> Iterator[str]:
    """Write what each phase was like, and what everybody beside the honest transfers came to."""
    for row in told.get("phases", ()):
        p99 = latency(row["to_final"]["percentiles_ms"]["p99"])
        attacked = ", disturbed" if row["is_attacked"] else ""
        yield (
            f"  phase      {row['name']}: {row['offered']:,} of {row['asked']:,} offered in"
            f" {row['for_s']:g} s, to final p99 {p99}{attacked}"
        )
    if told.get("harm_p99") is not None:
        yield f"  harm       p99 to final was {told['harm_p99']:.2f} times as long when disturbed"
    for row in told.get("roles", ()):
        yield f"  {row['role']:<15} {_did(row)}"


def _did(row: Mapping[str, Any]) -> str:
    """Write what one role came to."""
    if row["model"] == "closed":
        failed = ", ".join(f"{kind} {count:,}" for kind, count in row["failures"].items())
        acts = ", ".join(f"{act} {count:,}" for act, count in row["acts"].items())
        return (
            f"{sum(row['lives'].values())} bots, closed: {acts or 'nothing'}; failed {failed or 0}"
        )
    return (
        f"handed in {row['sent']:,}, taken {row['taken']:,},"
        f" in blocks {row['in_blocks']:,}, breaches {row['breaches']:,}"
    )


def _costs(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Write what a transaction cost a node, in the middle of all that could be read."""
    read = [row for row in rows if row.get("per_tx")]
    if not read:
        why = next((row["why"] for row in rows if row["why"]), "nothing was final")
        yield f"  nodes      their cost is not available: {why}"
        return

    def each(name: str) -> float | None:
        known = [row["per_tx"][name] for row in read if row["per_tx"][name] is not None]
        return statistics.median(known) if known else None

    sizes = [("bytes_in", "in"), ("bytes_out", "out"), ("disk_bytes", "on disk")]
    parts = [f"{size:,.0f} B {what}" for name, what in sizes if (size := each(name)) is not None]
    memory = max(row["memory_bytes"] for row in read) / 2**20
    yield f"  nodes      {each('cpu_ms'):.3f} CPU-ms, {', '.join(parts)} a transaction and node"
    yield f"  memory     {memory:,.0f} MiB at most, of {len(read)} of {len(rows)} nodes"


def _broken(told: Mapping[str, Any] | None) -> Iterator[str]:
    """Write what faults did to transactions."""
    if told is None:
        return
    parts = ", ".join(f"{row['name']} {latency(row['p95_ms'])}" for row in told["periods"])
    back = "not back" if told["back_s"] is None else f"back {told['back_s']:.1f} s after the last"
    yield f"  faults     p95 to final {parts}; {back}"


def _growth(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Write how nodes grew: the one whose memory grew most, and the middle of their folders."""
    seen = [row for row in rows if not row["why"]]
    if not seen:
        yield from (f"  growth     not available: {row['why']}" for row in rows[:1])
        return
    worst = max(seen, key=lambda row: row["memory_percent_h"])
    parts = [
        f"{statistics.median(known):,.0f} B {half}"
        for half in ("early", "late")
        if (known := [value for row in seen if (value := row[f"disk_per_tx_{half}"]) is not None])
    ]
    yield (
        f"  growth     memory {worst['memory_percent_h']:+.1f} % an hour at most ({worst['node']},"
        f" seen for {worst['for_s'] / 60:.0f} min); disk a transaction {', '.join(parts) or '-'}"
    )


def latency(value: float | None) -> str:
    """Write a latency as people read it."""
    if value is None:
        return "-"
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.1f} ms"  # noqa: PLR2004 - a second
