"""What does a load run look like at one moment on a terminal? Records and the time in, lines out.

Pure: it has no clock and no terminal, no line is wider than asked for, and a word stands beside
every colour. Plain lines, and the end of a run: `swarm_picture`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from aitbc_toolkit.cli.picture import clean, clock
from aitbc_toolkit.cli.swarm_picture import latency
from aitbc_toolkit.suites.verdicts import Verdict

_COUNTS = ("offered", "accepted", "final", "refused")
_RECENT = 40
_BARS = "\N{LOWER ONE EIGHTH BLOCK}\N{LOWER ONE QUARTER BLOCK}\N{LOWER THREE EIGHTHS BLOCK}"
_BARS += "\N{LOWER HALF BLOCK}\N{LOWER FIVE EIGHTHS BLOCK}\N{LOWER THREE QUARTERS BLOCK}"
_BARS += "\N{LOWER SEVEN EIGHTHS BLOCK}\N{FULL BLOCK}"
_NODES_MAX = 12


class Frame:
    """Keep what a swarm has said, and draw it."""

    def __init__(self, title: str, for_s: float) -> None:
        self._title = title
        self._for_s = for_s
        self._doing = "accounts and their money are made"
        self._sums = dict.fromkeys(_COUNTS, 0)
        self._finals: list[int] = []
        self._second: Mapping[str, Any] = {}

    def take(self, record: Mapping[str, Any], *, now_s: float) -> None:  # noqa: ARG002 - of every picture
        """Take what the swarm says; other records change nothing."""
        match record:
            case {"type": "signed", "count": count}:
                self._doing = f"{count:,} transfers are signed"
            case {"type": "second"}:
                self._second = record
                for name in _COUNTS:
                    self._sums[name] += record[name]
                self._finals = [*self._finals, record["final"]][-_RECENT:]
            case {"type": "drained"}:
                self._doing = "blocks are read from every node, and compared"

    def lines(self, width: int, *, now_s: float, rows: int, is_ended: bool = False) -> list[Text]:  # noqa: ARG002 - of every picture
        """Draw all of it."""
        drawn = [*self._lines(is_ended=is_ended)]
        for line in drawn:
            line.truncate(width, overflow="ellipsis")
        return drawn[:rows]

    def _lines(self, *, is_ended: bool) -> Iterator[Text]:
        yield Text(clean(self._title), "bold")
        row = self._second
        if row:
            yield from self._counted(row)
            yield Text(
                f"  to final   p50 {latency(row['p50_ms'])}  p95 {latency(row['p95_ms'])}"
                f"  p99 {latency(row['p99_ms'])}   of this second"
            )
            lag = row["lag_p99_ms"]
            yield Text(f"  pending    {row['pending']:,}   send lag p99 {latency(lag)}")
            yield Text(f"  heights    {_heights(row.get('heights', {}))}")
            good = row["verdict"] == Verdict.PASS
            yield Text(f"  so far     {clean(row['verdict'])}", "green" if good else "bold red")
        if not is_ended:
            yield Text(f"  now        {self._now()}", "yellow")
            yield Text("  Ctrl-C ends it early, and accounts for what is under way", "dim")

    def _counted(self, row: Mapping[str, Any]) -> Iterator[Text]:
        yield Text(f"  {'':<10} {'now':>8} {'mean':>10}", "dim")
        for name in _COUNTS:
            mean = self._sums[name] / max(row["at_s"], 1.0)
            bars = f"   {_bars(self._finals)}" if name == "final" else ""
            yield Text(f"  {name:<10} {row[name]:>6,}/s {mean:>8,.1f}/s{bars}")

    def _now(self) -> str:
        at_s = self._second.get("at_s", 0.0) if self._second else 0.0
        if not at_s or self._doing.startswith("blocks"):
            return self._doing
        if at_s < self._for_s:
            return f"{clock(at_s)} of {clock(self._for_s)}"
        return f"{clock(at_s)}, all is sent: waiting for the rest to become final"


def _bars(counts: list[int]) -> str:
    """Draw the last seconds as bars; a second without any is a gap."""
    most = max(counts, default=0) or 1
    return "".join(_BARS[(len(_BARS) - 1) * each // most] if each else " " for each in counts)


def _heights(told: Mapping[str, int | None]) -> str:
    """Name each node's height; of many nodes the lowest, the highest and who is silent."""
    if len(told) <= _NODES_MAX:
        return "  ".join(f"{clean(n)} {'-' if h is None else f'{h:,}'}" for n, h in told.items())
    known = [height for height in told.values() if height is not None]
    silent = len(told) - len(known)
    span = f"{min(known):,} to {max(known):,}" if known else "not told"
    return f"{len(told)} nodes at {span}, {silent} silent"
