"""How is a run of a swarm told to people, while it works and when it is over?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from aitbc_toolkit.suites.loads import RESULT, Played, Wanted
from aitbc_toolkit.suites.repertoire import Seen
from aitbc_toolkit.suites.report import reading
from aitbc_toolkit.suites.verdicts import Verdict

_REJECTS_MAX = 4


class Seconds:
    """Print a line for each second of a run."""

    def __init__(self, asked: Wanted, environment: str) -> None:
        self._asked = asked
        self.say(
            f"{asked.scenario} on {environment}: {asked.rate:g} a second for {asked.for_s:g} s,"
            f" seed {asked.seed}"
        )

    def say(self, line: str) -> None:
        """Print a line of narration."""
        click.echo(line, err=True)

    def tell(self, what: str, told: Mapping[str, Any]) -> None:
        """Print what the swarm says."""
        if what == "signed":
            self.say(f"  signed     {told['count']:,} transfers, took {told['took_s']:.1f} s")
        elif what == "second":
            self.say(_second(told))


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
        f" (offered {offered:.1f} %, send lag p99 {_ms(lag)},"
        f" worker CPU {100 * made['cpu_share']:.0f} %)"
    )
    if record.verdict is not Verdict.PASS:
        yield from (f"  because    {line}" for line in told["why"] or [result.line])
    yield from _measured(told)
    yield f"  result     {folder / RESULT}"
    if (folder / reading.PAGE).exists():
        yield f"  report     {folder / reading.PAGE}"
    yield f"  took {record.took_s:.1f} s"


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


def _second(told: Mapping[str, Any]) -> str:
    verdict = "" if told["verdict"] == Verdict.PASS else f"  {told['verdict']}"
    return (
        f"  {told['at_s']:>6.1f} s  offered {told['offered']:>5,}  accepted {told['accepted']:>5,}"
        f"  final {told['final']:>5,}  p50 {_ms(told['p50_ms']):>8}  p99 {_ms(told['p99_ms']):>8}"
        f"  pending {told['pending']:>5,}  height {told['height']:,}{verdict}"
    )


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
        shown = ", ".join(f"{each} {_ms(found[each])}" for each in ("p50", "p95", "p99"))
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
    held = sum(row["outcome"] == "held" for row in told["checks"])
    yield f"  safety     {held} of {len(told['checks'])} checks held"
    each = made["cpu_us_per_tx"]
    cost = "not available" if each is None else f"{each / 1000:.2f} CPU-ms a transaction"
    yield f"  swarm      {cost}, {made['in_flight_max']:,} in flight at most"


def _ms(value: float | None) -> str:
    """Write a latency as people read it."""
    if value is None:
        return "-"
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.1f} ms"  # noqa: PLR2004 - a second
