"""Did a load run meet what its file allows? A good run may still miss an objective.

Pure. What was not measured was not met. Do not add how a run judges itself: the swarm does.
"""

from collections.abc import Iterator, Mapping

from aitbc_toolkit.suites.scenario import load_files
from aitbc_toolkit.suites.scenario.quantities import number
from aitbc_toolkit.suites.scenario.schema import Objective
from aitbc_toolkit.suites.swarm import Document
from aitbc_toolkit.suites.verdicts import Verdict


def judged(objectives: Mapping[str, Objective], told: Document) -> tuple[Verdict, str]:
    """Take the swarm's verdict; a good run may still miss an objective."""
    verdict = Verdict(told["verdict"])
    missed = [row for row in rows(objectives, told) if not row["met"]]
    if verdict is Verdict.PASS and missed:
        first = missed[0]
        line = f"{first['name']} was {first['measured']}, allowed {first['allowed']}"
        return Verdict.OBJECTIVE, line
    books = told["books"]
    line = "; ".join(told["why"]) or f"{books['final']:,} of {books['sent']:,} final"
    return verdict, line


def rows(objectives: Mapping[str, Objective], told: Document) -> Iterator[dict[str, object]]:
    """Compare what was measured with what the file allows."""
    percentiles = told["to_final"]["percentiles_ms"]
    for name, objective in objectives.items():
        if name not in load_files.FIGURES:
            continue  # what is done to the mesh meanwhile records it, and is judged for itself
        if name == "committed":
            value = told["rates"]["committed"]
        elif name == "harm_p99":
            value = told["harm_p99"]
        else:
            found_ms = percentiles[name.removeprefix("final_")]
            value = None if found_ms is None else found_ms / 1000
        bounds = [
            (sign, bound)
            for sign, bound in (("<=", objective.max), (">=", objective.min))
            if bound is not None
        ]
        met = value is not None and all(
            value <= number(bound) if sign == "<=" else value >= number(bound)
            for sign, bound in bounds
        )
        allowed = " ".join(f"{sign} {bound}" for sign, bound in bounds)
        yield {"name": name, "measured": value, "allowed": allowed, "met": met}
