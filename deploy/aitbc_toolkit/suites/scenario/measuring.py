"""How evenly did blocks come, and how soon were they everywhere? Figures of what was seen.

Pure. Units: seconds of the mesh's clock.
"""

import statistics
from collections.abc import Mapping

MEASURES = ("arrival_p95", "interval_p95")
"""What an objective may bound though no step records it: how long after the first node the others
had a block, and how long after a block the next one came."""
_TWENTIETHS = 20


def measured(arrived: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Sum up when each node came to each height; nothing where there is too little to say."""
    firsts = {height: min(moments.values()) for height, moments in arrived.items() if moments}
    delays = [
        moment - firsts[height]
        for height, moments in arrived.items()
        for moment in sorted(moments.values())[1:]
    ]
    gaps = [at - firsts[height - 1] for height, at in firsts.items() if height - 1 in firsts]
    rows = {"arrival_p95": delays, "interval_p95": gaps}
    return {name: _p95(values) for name, values in rows.items() if len(values) > 1}


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=_TWENTIETHS, method="inclusive")[-1]
