"""How are the records of a long verb drawn: as plain lines, live on a terminal, or as JSON lines?

Narration goes to stderr, the result block to stdout; with JSON, records go to stdout and nothing
else does. Do not decide anything here.
"""

import json
import sys
from collections.abc import Callable, Mapping

import click

from aitbc_toolkit.cli import failures
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import SCHEMA, Tell, duration

_NAME_WIDTH = 13


class Plain:
    """Draw one line per finished step; on a terminal, the step at work stands below them."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def tell(self, record: Mapping[str, object]) -> None:
        """Draw one record."""
        match record:
            case {"type": "step", "state": "begin", "step": name, "text": text}:
                self._working(f"  {name:<{_NAME_WIDTH}} {text} ...")
            case {"type": "step", "state": state, "step": name, "text": text, "took_s": took}:
                mark = "failed: " if state == "failed" else ""
                self._line(f"  {name:<{_NAME_WIDTH}} {mark}{text}", took)
            case {"type": "wave", "state": "begin", "text": text}:
                self._working(f"  {text} ...")
            case {"type": "wave", "text": text, "took_s": took}:
                self._line(f"  {text}", took)
            case {"type": "note", "text": text}:
                self._line(str(text), None)

    def _working(self, text: str) -> None:
        if self._live:
            click.echo(f"\r\x1b[2K{text}", err=True, nl=False)

    def _line(self, text: str, took: object) -> None:
        clear = "\r\x1b[2K" if self._live else ""
        end = f"{duration(took):>9}" if isinstance(took, float) else ""
        click.echo(f"{clear}{text:<70}{end}".rstrip(), err=True)


class RunError(AitbcError):
    """Carry a run that did not end well to the one place where failures are put into words."""

    def __init__(self, outcome: Outcome) -> None:
        block = "\n".join([outcome.error, *outcome.lines])
        super().__init__(block, hint=outcome.hint, exit_status=outcome.exit)


def narrate(command: str, work: Callable[[Tell], Outcome], *, as_json: bool) -> Exit:
    """Do the work of a verb and draw what it tells; return the exit status.

    Raises: what the work raises, and RunError when it ended badly; with JSON, none of these.
    """
    if as_json:
        return _as_json(command, work)
    outcome = work(Plain().tell)
    if outcome.error:
        raise RunError(outcome)
    for line in ["", *outcome.lines]:
        click.echo(line)
    return outcome.exit


def _as_json(command: str, work: Callable[[Tell], Outcome]) -> Exit:
    """Write one record a line on stdout: the first is `start`, the last `result`, always."""

    def tell(record: Mapping[str, object]) -> None:
        click.echo(json.dumps(record))

    tell({"type": "start", "schema": SCHEMA, "command": command})
    try:
        outcome = work(tell)
    except AitbcError as failure:
        outcome = _ended_by(failure)
    except KeyboardInterrupt as failure:
        tell(_ended_by(failure).to_record())
        raise
    tell(outcome.to_record())
    return outcome.exit


def _ended_by(failure: AitbcError | KeyboardInterrupt) -> Outcome:
    """Tell programs what people would be told on stderr."""
    report = failures.report() or failures.Report(click.Group("aitbc"))
    message, hint, status = report.words_for(failure)
    return Outcome(Exit(status), error=message, hint=hint)
