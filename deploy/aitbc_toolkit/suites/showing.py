"""What does a run of a suite print? A row for each scenario, and at the end what became of it.

Do not judge here, and keep nothing: `keeping.py`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from aitbc_toolkit.suites import evidence
from aitbc_toolkit.suites.report import reading
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.verdicts import Verdict

SIMULATED = "sim"
"""The environment that is no mesh at all, but the simulator."""

_NAME_WIDTH = 28
_VERDICT_WIDTH = 13


def announce(
    suite: str, where: str, runs: int, left_out: Sequence[evidence.LeftOut], *, seed: int
) -> None:
    """Say what is going to be played, and what is not, and why."""
    narrate(f"{suite} on {where}: {_count(runs, 'run')}, seed {seed}")
    for each in left_out:
        not_run(each)


def not_run(each: evidence.LeftOut) -> None:
    """Say what was asked for and is not there."""
    narrate(f"  not run      {each.name:<{_NAME_WIDTH}} {each.why}")


def doing(scenario: str, what: str) -> None:
    """Say what a scenario is at."""
    narrate(f"  {'':<{_VERDICT_WIDTH}}{scenario:<{_NAME_WIDTH}} {what}")


def row(result: Result) -> str:
    """Write how one scenario ended."""
    line = result.line.partition("\n")[0]  # an error of many hosts goes on below
    return f"  {result.verdict:<{_VERDICT_WIDTH}}{result.name:<{_NAME_WIDTH}} {line}"


def tell(record: evidence.Record, folder: Path, *, as_json: bool) -> None:
    """Print how a whole run ended, the worst verdict last."""
    if as_json:
        click.echo(json.dumps(record.to_document(folder)))
    else:
        click.echo("\n".join(_summary(record, str(folder))))
    if record.verdict is Verdict.PASS:
        return
    bad = next(each.line for each in record.results if each.verdict is record.verdict)
    narrate(f"error: {record.suite} on {record.environment}: {record.verdict}, {bad}")
    again = record.environment == SIMULATED
    help_ = record.repro if again else f"./aitbc network health -e {record.environment}"
    narrate(f"hint: {help_}")


def narrate(line: str) -> None:
    """Say something that is no result."""
    click.echo(line, err=True)


def _summary(record: evidence.Record, folder: str) -> list[str]:
    words = [word for each in record.results for word in each.invariants.values()]
    held = sum(word == "held" for word in words)
    passed = sum(each.verdict is Verdict.PASS for each in record.results)
    total = len(record.results)
    lines = [f"  invariants held in {held} of {len(words)} judgements", ""]
    if passed == total:
        lines.append(f"{passed} of {total} passed.  took {record.took_s:.1f} s")
    else:
        lines.append(f"{total - passed} of {total} did not pass. Worst: {record.verdict}")
        lines.append(f"  repeat    {record.repro}")
        if again := record.replay(Path(folder)):
            lines.append(f"  replay    {again}")
    lines.append(f"  record    {folder}")
    if Path(folder, reading.PAGE).exists():
        lines.append(f"  report    {folder}/{reading.PAGE}")
    return lines


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
