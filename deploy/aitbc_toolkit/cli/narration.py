"""How are the records of a long verb drawn: as plain lines, live on a terminal, or as JSON lines?

Narration goes to stderr, the result block to stdout; with JSON, records go to stdout and nothing
else does. Do not decide anything here.
"""

import json
import sys
from collections.abc import Mapping
from typing import Protocol

import click

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import SCHEMA, duration

_NAME_WIDTH = 13


class Narrator(Protocol):
    """Draw records as they come, and the result at the end."""

    def tell(self, record: Mapping[str, object]) -> None:
        """Draw one record."""

    def end(self, outcome: Outcome) -> Exit:
        """Draw how it ended; return the exit status."""


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

    def end(self, outcome: Outcome) -> Exit:
        """Print the result block, or the failure with what was undone."""
        if outcome.error:
            raise RunError(outcome)
        for line in ["", *outcome.lines]:
            click.echo(line)
        return outcome.exit

    def _working(self, text: str) -> None:
        if self._live:
            click.echo(f"\r\x1b[2K{text}", err=True, nl=False)

    def _line(self, text: str, took: object) -> None:
        clear = "\r\x1b[2K" if self._live else ""
        end = f"{duration(took):>9}" if isinstance(took, float) else ""
        click.echo(f"{clear}{text:<70}{end}".rstrip(), err=True)


class Json:
    """Write each record as one line of JSON on stdout; the first is `start`, the last `result`."""

    def __init__(self, command: str) -> None:
        self.tell({"type": "start", "schema": SCHEMA, "command": command})

    def tell(self, record: Mapping[str, object]) -> None:
        """Write one record."""
        click.echo(json.dumps(record))

    def end(self, outcome: Outcome) -> Exit:
        """Write the result."""
        self.tell(outcome.to_record())
        return outcome.exit


class RunError(AitbcError):
    """Carry a run that did not end well to the one place where failures are put into words."""

    def __init__(self, outcome: Outcome) -> None:
        block = "\n".join([outcome.error, *outcome.lines])
        super().__init__(block, hint=outcome.hint, exit_status=outcome.exit)


def narrator(command: str, *, as_json: bool) -> Narrator:
    """Choose how this run is drawn."""
    return Json(command) if as_json else Plain()
