"""How is the search for a knee told, step by step, and in one sentence at its end?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aitbc_toolkit.cli.swarm_picture import latency
from aitbc_toolkit.suites.knee import Bounds, Outcome
from aitbc_toolkit.suites.report import reading
from aitbc_toolkit.suites.stepping import KNEE, Looked

_WIDTHS = (8, 9, 9, 10, 9, 9, 9)
_TITLES = ("asked/s", "offered", "accepted", "committed", "p50", "p95", "p99")


def title(environment: str, bounds: Bounds, seed: int) -> Iterator[str]:
    """Say what begins, and what the columns are."""
    start, most = f"{bounds.start:,g}", f"{bounds.most:,g}"
    yield f"load/knee on {environment}: from {start} a second to {most} at the most, seed {seed}"
    yield _line(_TITLES, "verdict")


def row(step: Mapping[str, Any]) -> str:
    """Write a step that has ended."""
    rates = [step["asked"], step["offered"], step["accepted"], step["committed"]]
    cells = ["-" if each is None else f"{each:,.0f}" for each in rates]
    cells += [latency(step[name]) for name in ("p50_ms", "p95_ms", "p99_ms")]
    why = f": {step['why']}" if step["why"] else ""
    return _line(cells, f"{step['outcome']}{why}")


def summary(looked: Looked, folder: Path) -> Iterator[str]:
    """Write how a search ended, the sentence first."""
    document, steps = looked.document, looked.found.steps
    yield document["sentence"]
    again = len(steps) - len({step.asked for step in steps})
    late = sum(bool(step.why) and step.outcome is Outcome.HOLDS for step in steps)
    more = f", {late} with a late swarm: their latencies are too long" if late else ""
    yield (
        f"  steps      {len(steps)} of {document['step_s']:g} s, {again} of them repeats{more};"
        f" took {document['took_s']:.0f} s"
    )
    if document["validators"]:
        yield (
            f"  of         {document['validators']} validators, {document['nodes']} nodes in all;"
            f" {document['tx_bytes']:.0f} bytes a transaction; {document['machine']['cores']} cores"
        )
    if document["busy"]:
        yield f"  perhaps    {document['busy']}; on a quiet one the knee may lie higher"
    yield f"  result     {folder / KNEE}"
    if (folder / reading.PAGE).exists():
        yield f"  report     {folder / reading.PAGE}"


def _line(cells: list[str] | tuple[str, ...], end: str) -> str:
    shown = " ".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
    return f"  {shown}  {end}"
