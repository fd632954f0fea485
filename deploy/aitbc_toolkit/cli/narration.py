"""How are the records of a long verb drawn: as plain lines, live on a terminal, or as JSON lines?

Narration goes to stderr, the result block to stdout; with JSON, records go to stdout and nothing
else does. Do not decide anything here.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import click

from aitbc_toolkit.cli import failures, saying, streams
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import SCHEMA, Tell, duration

SILENCE_S = 15.0

_NAME_WIDTH = 13


class Plain:
    """Draw one line per finished step; on a terminal, the step at work stands below them."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._live = sys.stderr.isatty()
        self._now = now
        self._spoke_s = self._began_s = now()
        self._doing = ""
        # A run, what renews its lease, and the heart below tell from threads of their own.
        self._lock = threading.Lock()

    def tell(self, record: Mapping[str, object]) -> None:
        """Draw one record."""
        with self._lock:
            self._draw(record)

    def _draw(self, record: Mapping[str, object]) -> None:
        match record:
            case {"type": "step", "state": "begin", "step": name, "text": text}:
                self._working(f"  {name:<{_NAME_WIDTH}} {text}")
            case {"type": "step", "state": state, "step": name, "text": text, "took_s": took}:
                mark = "failed: " if state == "failed" else ""
                self._line(f"  {name:<{_NAME_WIDTH}} {mark}{text}", took)
            case {"type": "wave", "state": "begin", "text": text}:
                self._working(f"  {text}")
            case {"type": "wave", "text": text}:
                self._line(f"  {text}", record.get("took_s"))
            case {"type": "note", "text": text}:
                self._line(str(text), None)

    def beat(self) -> None:
        """Say what is at work when nothing was said for long; a log that is read live needs it."""
        with self._lock:
            if not self._live and self._now() - self._spoke_s >= SILENCE_S:
                so_far = duration(self._now() - self._began_s)
                self._line(f"{self._doing or '  at work'}, still at work after {so_far}", None)

    def _working(self, text: str) -> None:
        self._doing, self._began_s = text, self._now()
        if self._live:
            click.echo(f"\r\x1b[2K{text} ...", err=True, nl=False)

    def _line(self, text: str, took: object) -> None:
        self._spoke_s = self._now()
        clear = "\r\x1b[2K" if self._live else ""
        end = f"{duration(took):>9}" if isinstance(took, float) else ""
        click.echo(f"{clear}{text:<70}{end}".rstrip(), err=True)


class RunError(AitbcError):
    """Carry a run that did not end well to the one place where failures are put into words."""

    def __init__(self, outcome: Outcome) -> None:
        block = "\n".join([outcome.error, *outcome.lines])
        super().__init__(block, hint=outcome.hint, exit_status=outcome.exit)


def narrate(
    command: str, work: Callable[[Tell], Outcome], *, as_json: bool, waves: bool = False
) -> Exit:
    """Do the work of a verb and draw what it tells; return the exit status.

    The live region is for verbs that go through an environment in `waves`.
    Raises: what the work raises, and RunError when it ended badly; with JSON, none of these.
    """
    if as_json:
        return _as_json(command, work)
    with _renderer(command, waves=waves) as tell:
        outcome = work(streams.Steady(tell).tell)
    if outcome.error:
        raise RunError(outcome)
    for line in ["", *outcome.lines]:
        saying.say(line)
    return outcome.exit


@contextmanager
def _renderer(command: str, *, waves: bool) -> Iterator[Tell]:
    if waves and sys.stderr.isatty():
        from aitbc_toolkit.cli.live import Region  # noqa: PLC0415 - rich costs 0.1 s, logs need none
        from aitbc_toolkit.cli.picture import Picture  # noqa: PLC0415 - as above

        if Region.is_possible():
            with Region(Picture(command, time.monotonic())) as region:
                yield region.tell
            return
    plain, done = Plain(), threading.Event()
    heart = threading.Thread(target=_beat, args=(plain, done), name="heart", daemon=True)
    heart.start()
    try:
        yield plain.tell
    finally:
        done.set()
        heart.join()


def _beat(plain: Plain, done: threading.Event) -> None:
    while not done.wait(1.0):
        plain.beat()


class _Lines:
    """Write one record a line on stdout, from whatever thread, and keep what each step took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: list[dict[str, object]] = []

    def tell(self, record: Mapping[str, object]) -> None:
        """Write one record."""
        with self._lock:
            if "took_s" in record and record["type"] in {"step", "wave"}:
                name = record.get("step", record.get("place"))
                self._steps.append(
                    {"step": name, "state": record["state"], "took_s": record["took_s"]}
                )
            click.echo(json.dumps(record))

    def end(self, outcome: Outcome) -> None:
        """Write the last record: how it ended, with all steps."""
        facts = {**outcome.facts, "steps": self._steps}
        self.tell(replace(outcome, facts=facts).to_record())


def _as_json(command: str, work: Callable[[Tell], Outcome]) -> Exit:
    """Write one record a line on stdout: the first is `start`, the last `result`, always."""
    lines = _Lines()
    lines.tell({"type": "start", "schema": SCHEMA, "command": command})
    steady = streams.Steady(lines.tell)
    try:
        outcome = work(steady.tell)
    except AitbcError as failure:
        outcome = _ended_by(failure)
    except KeyboardInterrupt as failure:
        lines.end(_ended_by(failure))
        raise
    if steady.lost is not None:
        return _unheard(outcome, steady.lost)
    lines.end(outcome)
    return outcome.exit


def _unheard(outcome: Outcome, lost: OSError) -> Exit:
    """End as the run did, when that is not well; else what could not be written is the news."""
    if outcome.exit is Exit.OK:
        raise lost
    return outcome.exit


def _ended_by(failure: AitbcError | KeyboardInterrupt) -> Outcome:
    """Tell programs what people would be told on stderr."""
    report = failures.report() or failures.Report(click.Group("aitbc"))
    message, hint, status = report.words_for(failure)
    return Outcome(Exit(status), error=message, hint=hint)
