"""What does a run of a suite leave behind? Verdicts for people and programs, and what was seen.

Written before anything is torn down. Do not judge here.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from aitbc_toolkit import junit
from aitbc_toolkit.junit import Case, Outcome
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.verdicts import Verdict, exit_of

SCHEMA = 1
# Which features a scenario shows whole when it passes.
PROVES = {
    "smoke/boot": ("M12",),
    "smoke/tx-lifecycle": ("A9", "M12"),
    "smoke/cold-join": ("M12",),
}


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one run of a suite."""

    suite: str
    environment: str
    seed: int
    took_s: float
    verdict: Verdict
    results: tuple[Result, ...]

    def to_document(self, folder: Path) -> dict[str, object]:
        """Return what a program reads: verdicts, but not what was seen."""
        return {
            "schema": SCHEMA,
            "suite": self.suite,
            "environment": self.environment,
            "seed": self.seed,
            "verdict": self.verdict,
            "exit": int(exit_of(self.verdict)),
            "took_s": self.took_s,
            "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "record": str(folder),
            "scenarios": [
                {
                    "name": each.name,
                    "verdict": each.verdict,
                    "line": each.line,
                    "took_s": round(each.took_s, 1),
                    "invariants": dict(each.invariants),
                }
                for each in self.results
            ],
        }


def write(folder: Path, record: Record) -> None:
    """Write verdict.json, junit.xml and one file of evidence for each scenario."""
    document = json.dumps(record.to_document(folder), indent=2)
    (folder / "verdict.json").write_text(document + "\n", encoding="utf-8")
    junit.write(folder / "junit.xml", record.suite, [_case(each) for each in record.results])
    for each in record.results:
        path = folder / f"{each.name.replace('/', '-')}.json"
        path.write_text(json.dumps(each.evidence) + "\n", encoding="utf-8")


def _case(result: Result) -> Case:
    name = result.name.partition("/")[2]
    if result.verdict is Verdict.PASS:
        return Case(name, Outcome.PASSED, "", PROVES.get(result.name, ()))
    return Case(name, Outcome.FAILED, f"{result.verdict}: {result.line}")
