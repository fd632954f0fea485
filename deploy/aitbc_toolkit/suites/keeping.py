"""How is a run kept, however it ends? Its results so far, its record, its page.

A run that was ended by hand leaves what it knows: what was being played is INCONCLUSIVE, and what
was not reached is left out by name. Do not play anything here.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import msgspec

from aitbc_toolkit.suites import evidence, showing
from aitbc_toolkit.suites.catalogue import Part
from aitbc_toolkit.suites.report import writing
from aitbc_toolkit.suites.scenario import figures
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.verdicts import Verdict, worst


@dataclass(slots=True)
class Run:
    """Collect what a run of a suite has shown; `record` is there once it has ended."""

    suite: str
    where: str
    seed: int
    folder: Path
    parts: Sequence[Part]
    left_out: Sequence[evidence.LeftOut] = ()
    tier: str = ""
    configuration: str = ""
    begun: dict[str, None] = field(default_factory=dict)
    """What is being played, or was."""
    results: list[Result] = field(default_factory=list)
    record: evidence.Record | None = None

    def heard(self, result: Result) -> None:
        """Take in how a part ended."""
        self.begun[result.name] = None
        self.results.append(result)

    @property
    def ended(self) -> set[str]:
        """Name what was played to its end."""
        return {result.name for result in self.results}


@contextmanager
def kept(run: Run) -> Iterator[Run]:
    """Keep a run until the block ends, by whatever: then its record and page are on the disk."""
    started, began = time.time(), time.monotonic()
    try:
        yield run
        ended = ""
    except BaseException as failure:
        ended = "by hand" if isinstance(failure, KeyboardInterrupt) else f"by {failure!r}"
        raise
    finally:
        order = {part.name: place for place, part in enumerate(run.parts)}
        results = sorted(run.results, key=lambda each: order[each.name])
        results += (_ended_early(run, ended) if ended else []) or _growths(run)
        known = {*run.begun, *(each.name for each in results)}
        missing = [name for name in order if name not in known]
        unreached = [evidence.LeftOut(name, "the run was ended before it") for name in missing]
        run.record = evidence.Record(
            suite=run.suite,
            environment=run.where,
            seed=run.seed,
            started=started,
            took_s=round(time.monotonic() - began, 1),
            verdict=worst(each.verdict for each in results),
            results=tuple(results),
            left_out=tuple(msgspec.structs.asdict(row) for row in (*run.left_out, *unreached)),
            tier=run.tier,
            configuration=run.configuration,
            proves={part.name: part.proves for part in run.parts if part.proves},
        )
        try:
            evidence.write(run.folder, run.record)
        finally:
            writing.attempt(run.folder, showing.narrate)


def _ended_early(run: Run, how: str) -> list[Result]:
    """Say of what was being played that it showed nothing; between two parts, of the next one."""
    why = f"the run was ended {how}"
    open_ = [name for name in run.begun if name not in run.ended]
    if not open_:
        open_ = [part.name for part in run.parts if part.name not in run.ended][:1]
    return [Result(name, Verdict.INCONCLUSIVE, why, 0.0) for name in open_]


def _growths(run: Run) -> list[Result]:
    """Judge what is compared between the cases of one scenario."""
    ends = {result.name: result for result in run.results}
    played = [part for part in run.parts if part.case and part.name in ends]
    found = []
    for _title, group in groupby(played, key=lambda part: part.name.partition("[")[0]):
        rows = [
            (part.case, result.records)
            for part in group
            if (result := ends[part.name]).verdict in {Verdict.PASS, Verdict.OBJECTIVE}
            and part.case is not None
        ]
        judged = list(figures.growth(rows))
        if judged:
            found.append(_growth(rows[0][0].written.scenario, judged))
    return found


def _growth(scenario: str, judged: Sequence[figures.Figure]) -> Result:
    missed = [figure for figure in judged if not figure.met]
    line = "; ".join(figure.told for figure in missed or judged)
    verdict = Verdict.OBJECTIVE if missed else Verdict.PASS
    told: tuple[Mapping[str, object], ...] = tuple(map(msgspec.structs.asdict, judged))
    return Result(scenario + evidence.GROWTH, verdict, line, 0.0, objectives=told)
