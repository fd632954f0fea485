"""How does a failure end a run: which lines on stderr, and which exit status?

Failures are told apart by type, and none ends without a hint. Do not add messages here: they sit
where they are raised.
"""

import difflib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import click

from aitbc_toolkit import paths
from aitbc_toolkit.cli import hints, streams
from aitbc_toolkit.errors import AitbcError, Exit, Interrupted


class Words(NamedTuple):
    """Hold what the operator is told about a failure."""

    message: str
    hint: str
    status: int


@dataclass(slots=True)
class Report:
    """Put the end of one run into words; `environment` is the one that the run is about.

    `program` is what the operator typed to start it: commands are shown by that name.
    """

    root: click.Group
    words: Sequence[str] = ()
    debug: bool = False
    environment: str = ""
    program: str = "aitbc"

    def named(self, text: str) -> str:
        """Write the commands in a text so that they can be pasted."""
        return hints.named(text, self.program, root=self.root)

    def tell(self, failure: BaseException) -> int:
        """Print what the operator needs to know about `failure`; return the exit status."""
        if self.debug and not isinstance(failure, SystemExit | click.exceptions.Exit):
            traceback.print_exception(failure)
        match failure:
            case SystemExit(code=int(status)) | click.exceptions.Exit(exit_code=status):
                return status
            case click.exceptions.NoArgsIsHelpError():
                click.echo(failure.format_message(), err=True)
                path = failure.ctx.command_path if failure.ctx else "aitbc"
                self._say(f"{path} was told nothing to do", f"{path} --help")
                return Exit.USAGE
            case AitbcError() | click.ClickException() | click.Abort() | KeyboardInterrupt():
                message, hint, status = self.words_for(failure)
                self._say(message, hint)
                return status
            case BrokenPipeError():
                return Exit.CLOSED  # the reader has seen enough; there is nobody to tell
            case streams.LostOutput():
                self._say(f"what was to be printed is lost: {failure.strerror}", "df -h")
                return Exit.FAILED
            case _:
                return _bug(failure)

    def words_for(
        self, failure: AitbcError | click.ClickException | click.Abort | KeyboardInterrupt
    ) -> Words:
        """Find the words for a failure: its own, a whole hint, and the status."""
        match failure:
            case AitbcError(message=message, hint=hint, exit_status=status):
                pass
            case click.ClickException():
                message, hint = _usage(failure)
                status = Exit.USAGE
            case click.Abort():
                message, status = "not confirmed: nothing was changed", Exit.INTERRUPTED
                hint = "to be asked nothing, add --yes"
            case Interrupted(hint=hint):
                message, status = "interrupted", Exit.INTERRUPTED
            case KeyboardInterrupt():
                message, status = "interrupted", Exit.INTERRUPTED
                hint = hints.after_interrupt(
                    root=self.root, words=self.words, environment=self.environment
                )
        hint = hint or hints.of_last_resort(status, root=self.root, words=self.words)
        return Words(
            message,
            hints.complete(hint, root=self.root, words=self.words, environment=self.environment),
            status,
        )

    def _say(self, message: str, hint: str) -> None:
        click.echo(f"error: {self.named(message)}", err=True)
        for line in self.named(hint).splitlines():
            click.echo(f"hint: {line}", err=True)


def report() -> Report | None:
    """Find the report of the run that is under way, if a command line is."""
    context = click.get_current_context(silent=True)
    return context.find_object(Report) if context else None


def _usage(failure: click.ClickException) -> tuple[str, str]:
    """Put a mistake that click found into the house's wording: message, then hint."""
    match failure:
        case click.exceptions.NoSuchCommand():
            path = failure.ctx.command_path if failure.ctx else "aitbc"
            hint = _nearest(path, failure.possibilities)
            return f"unknown command {failure.command_name!r}", hint
        case click.exceptions.NoSuchOption():
            path = failure.ctx.command_path if failure.ctx else "aitbc"
            hint = _nearest(path, _alike(failure.option_name, failure.possibilities))
            return f"unknown option {failure.option_name!r}", hint
        case click.UsageError(ctx=click.Context() as context):
            return _plain(failure.format_message()), f"{context.command_path} --help"
        case _:
            return _plain(failure.format_message()), ""  # click does not say which command


def _nearest(path: str, names: list[str] | None) -> str:
    lines = [f"{path} {name}" for name in (names or [])[:1]] + [f"{path} --help"]
    return "\n".join(dict.fromkeys(lines))


def _alike(name: str, found: Sequence[str] | None) -> list[str]:
    """Keep the options that are near without their dashes, which all of them have."""
    words = {each.lstrip("-"): each for each in found or []}
    return [words[near] for near in difflib.get_close_matches(name.lstrip("-"), words)]


def _plain(message: str) -> str:
    """Write click's sentence as ours: lower case, no full stop."""
    message = message.replace("is not a valid integer range", "is not a whole number")
    return (message[:1].lower() + message[1:]).removesuffix(".")


def _bug(failure: BaseException) -> int:
    """Keep the traceback in a file, so that the terminal shows one line and the finding is safe."""
    lines = "".join(traceback.format_exception(failure))
    what = (str(failure).splitlines() or [""])[0] or type(failure).__name__
    click.echo(f"error: this is a bug in aitbc: {what}", err=True)
    try:
        kept = _keep(lines)
    except OSError:
        click.echo(lines, err=True)  # nowhere to write: better a traceback than a lost finding
    else:
        click.echo(f"hint: the traceback to report is in {kept}", err=True)
    return Exit.BUG


def _keep(lines: str) -> Path:
    folder = paths.state_root() / "crashes"
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = folder / f"{stamp}-{os.getpid()}.log"
    path.write_text(f"{sys.argv}\n{lines}", encoding="utf-8")
    path.chmod(0o600)
    return path
