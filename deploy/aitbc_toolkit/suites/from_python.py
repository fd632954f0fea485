"""How does a Python program let a swarm run? `run("load/steady")`, and read what came of it.

The swarm is a child process: importing this patches nothing. Do not add what a verdict means.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from aitbc_toolkit import paths
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.suites import foreseen, loads, repertoire, runs, stepping
from aitbc_toolkit.suites.report import writing
from aitbc_toolkit.suites.swarm import Document
from aitbc_toolkit.suites.verdicts import Verdict

SEED = 1
WORKERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold how a run ended; `told` is its result.json, None where no swarm could say anything."""

    verdict: Verdict
    why: str
    told: Document | None
    folder: Path

    @property
    def final(self) -> int:
        """Count what became final."""
        return int(self.told["books"]["final"]) if self.told else 0

    def percentile_ms(self, name: str) -> float | None:
        """Return a percentile from the intended start to final: `p50`, `p95`, `p99`, `p99.9`."""
        found = self.told["to_final"]["percentiles_ms"][name] if self.told else None
        return None if found is None else float(found)


def run(
    scenario: str | Path,
    environment: str | Environment = "dev",
    *,
    rate: float | None = None,
    for_s: float | None = None,
    seed: int = SEED,
    workers: int = 1,
) -> Outcome:
    """Play a load scenario, by its name or its file, on a live mesh.

    Raises: UsageError for a rate, a length or workers that cannot be, `nan` and `inf` too;
    AitbcError when there is no such scenario or environment, or no mesh answers.
    """
    if not 1 <= workers <= WORKERS_MAX:
        what = f"{workers} workers cannot share a run: 1 to {WORKERS_MAX} can"
        raise UsageError(what, hint="aitbc load run --help")
    case = repertoire.case(str(scenario))
    found = Inventory.load(environment) if isinstance(environment, str) else environment
    knee = stepping.known(found.name, paths.state_root())
    asked = loads.wanted(case.written, seed=seed, faster=rate, longer=for_s, knee=knee, case=case)
    foreseen.require_fit(found, asked)
    asked = replace(asked, workers=workers)
    folder = runs.begin(paths.state_root())
    played = loads.play(found, asked, folder, tell=lambda *_: None)
    writing.attempt(folder, lambda _: None)
    (result,) = played.record.results
    return Outcome(played.record.verdict, result.line, played.told, folder)
