"""How evenly did blocks come, and how soon were they everywhere? Figures of what was seen.

Pure. Units: seconds of the mesh's clock.
"""

import statistics
from collections.abc import Mapping, Sequence

WEAR = ("memory_slope", "handles_growth")
"""What is read on hosts where an objective bounds it: see `wear`."""
MEASURES = ("arrival_p95", "interval_p95", "interval_max", "interval_growth", *WEAR)
"""What an objective may bound though no step records it: how long after the first node the others
had a block, how long after a block the next one came, mostly and at the most, and how many times as
long that was while faults lasted as before and behind them."""
COMPARED_MIN = 8
"""So many intervals are compared with as many, or none."""
_TWENTIETHS = 20

Window = tuple[float, float]
"""From when to when."""


def measured(
    arrived: Mapping[int, Mapping[str, float]], hit: Sequence[Window] = ()
) -> dict[str, float]:
    """Sum up when each node came to each height; nothing where there is too little to say."""
    firsts = {height: min(moments.values()) for height, moments in arrived.items() if moments}
    delays = [
        moment - firsts[height]
        for height, moments in arrived.items()
        for moment in sorted(moments.values())[1:]
    ]
    gaps = [at - firsts[height - 1] for height, at in firsts.items() if height - 1 in firsts]
    rows = {"arrival_p95": delays, "interval_p95": gaps}
    found = {name: _p95(values) for name, values in rows.items() if len(values) > 1}
    if gaps:
        found["interval_max"] = max(gaps)
    return found | _growth(firsts, hit)


def _growth(firsts: Mapping[int, float], hit: Sequence[Window]) -> dict[str, float]:
    """Compare intervals that lay in a window whole with those that lay in none at all."""
    spans = [(firsts[height - 1], at) for height, at in firsts.items() if height - 1 in firsts]
    inside = [b - a for a, b in spans if any(begin <= a and b <= end for begin, end in hit)]
    outside = [b - a for a, b in spans if all(b < begin or a > end for begin, end in hit)]
    if min(len(inside), len(outside)) < COMPARED_MIN:
        return {}
    return {"interval_growth": _p95(inside) / _p95(outside)}


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=_TWENTIETHS, method="inclusive")[-1]
