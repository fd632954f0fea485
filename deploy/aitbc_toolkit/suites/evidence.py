"""What does a run of a suite leave behind? Verdicts for people and programs, and what was seen.

Written before anything is torn down; what happened when is in the files of `timeline`. Do not judge
here.
"""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from aitbc_toolkit import junit, measured, mistakes, paths
from aitbc_toolkit.junit import Case, Outcome
from aitbc_toolkit.suites.scenario import replaying
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.verdicts import Verdict, exit_of

SCHEMA = 1
GROWTH = " growth"
"""How the row is called, behind its scenario, that compares the cases of one."""
_PROVES = {
    "smoke/boot": ("M12",),
    "smoke/tx-lifecycle": ("A9", "M12"),
    "smoke/cold-join": ("M12",),
}


class LeftOut(msgspec.Struct, frozen=True):
    """Name what was asked for and not played."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one run of a suite."""

    suite: str
    environment: str
    seed: int
    started: float
    took_s: float
    verdict: Verdict
    results: tuple[Result, ...]
    left_out: tuple[Mapping[str, object], ...] = ()
    """What was asked for and cannot be played there: rows {name, why}."""
    proves: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Which features a scenario shows whole when it passes."""
    tier: str = ""
    """How much of the suite was played, where it was not what is usual."""
    command: str = ""
    """What runs it again, where `aitbc test` does not."""
    configuration: str = ""
    """What was asked and of which mesh, as one hash; empty where nobody looked."""

    def to_document(self, folder: Path) -> dict[str, object]:
        """Return what a program reads: verdicts, but not what was seen."""
        return {
            "schema": SCHEMA,
            "suite": self.suite,
            "scenario": self.results[0].name if len(self.results) == 1 else self.suite,
            "environment": self.environment,
            "seed": self.seed,
            "verdict": self.verdict,
            "exit": int(exit_of(self.verdict)),
            "repro": self.repro,
            "replay": self.replay(folder),
            "started": _moment(self.started),
            "took_s": self.took_s,
            "ended": _moment(self.started + self.took_s),
            "record": str(folder),
            **measured.circumstances(paths.project_root()),
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
            "checks": [row for each in self.results for row in _checks(each)],
            "objectives": [
                {"scenario": each.name, **row} for each in self.results for row in each.objectives
            ],
            "left_out": list(self.left_out),
            "faults": [
                {"scenario": each.name, **row} for each in self.results for row in each.faults
            ],
            "configuration": self.configuration,
            "residues": [
                {"scenario": each.name, "left": left}
                for each in self.results
                for left in each.residues
            ],
        }

    @property
    def repro(self) -> str:
        """Return the one line that runs the worst of it again."""
        if self.command:
            return self.command
        name = next((r.name for r in self.results if r.verdict == self.verdict), self.suite)
        if self.verdict is Verdict.PASS or self.suite.endswith(".yaml"):
            name = self.suite
        name = name.removesuffix(GROWTH)  # a growth is judged behind its cases
        single = any(result.name == name for result in self.results)
        tier = f" --tier {self.tier}" if self.tier and not single else ""
        return f"./aitbc test {shlex.quote(name)} -e {self.environment} --seed {self.seed}{tier}"

    def replay(self, folder: Path) -> str:
        """Return the line that plays what was broken in the simulator; empty where nothing was."""
        row = next((r for r in self.results if r.verdict is self.verdict and r.replay), None)
        if row is None:
            return ""
        path = mistakes.shown(replay_file(folder, row))
        return f"./aitbc test {shlex.quote(path)} -e sim --seed {self.seed}"


def replay_file(folder: Path, result: Result) -> Path:
    """Name the file that has what was broken."""
    return folder / replaying.FOLDER / f"{replaying.stem(result.name)}.yaml"


def write(folder: Path, record: Record) -> None:
    """Write verdict.json, junit.xml and one file of evidence for each scenario."""
    document = json.dumps(record.to_document(folder), indent=2)
    (folder / "verdict.json").write_text(document + "\n", encoding="utf-8")
    junit.write(
        folder / "junit.xml", record.suite, [_case(record, each) for each in record.results]
    )
    for each in record.results:
        path = folder / f"{each.name.replace('/', '-')}.json"
        path.write_text(json.dumps(each.evidence) + "\n", encoding="utf-8")
        if each.replay:
            again = replay_file(folder, each)
            again.parent.mkdir(exist_ok=True)
            again.write_text(each.replay, encoding="utf-8")


def _checks(result: Result) -> Iterator[dict[str, object]]:
    """List each judgement of a scenario: the invariants, and what else it required."""
    for name, word in result.invariants.items():
        outcome, _, detail = word.partition(": ")
        yield {"scenario": result.name, "name": name, "outcome": outcome, "detail": detail}
    for row in result.checks:
        yield {"scenario": result.name, **row}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _case(record: Record, result: Result) -> Case:
    name = result.name.partition("/")[2]
    proves = {**_PROVES, **record.proves}.get(result.name, ())
    if result.verdict is Verdict.PASS:
        return Case(name, Outcome.PASSED, "", proves)
    return Case(name, Outcome.FAILED, f"{result.verdict}: {result.line}")
