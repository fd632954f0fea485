"""What if standard output is closed, full, or read by nobody any more?

Closed from the start, it is as good as `/dev/null`; full, that is a failure of its own type, and
not our bug; without a reader, programs end quietly. Do not print here.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Tell = Callable[[Mapping[str, object]], None]

_STANDARD = (0, 1, 2)


def begin() -> None:
    """Take standard output over; put `/dev/null` where a standard stream was closed before.

    Else the next file or socket that is opened would take its number, and be written into.
    """
    spare = os.open(os.devnull, os.O_RDWR)
    while spare in _STANDARD:
        os.set_inheritable(spare, True)  # noqa: FBT003 - os has no keyword for it
        spare = os.open(os.devnull, os.O_RDWR)
    os.close(spare)
    ours = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    assert isinstance(ours, io.TextIOWrapper), "nobody has taken it over before"
    encoding, errors = ours.encoding, ours.errors
    by_line, at_once = ours.line_buffering, ours.write_through
    # Detached, or the stream would be closed with the wrapper that nobody holds any more.
    sys.stdout = Output(
        ours.detach(),
        encoding=encoding,
        errors=errors,
        line_buffering=by_line,
        write_through=at_once,
    )
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8")


def end() -> None:
    """Flush standard output; drop what cannot be written.

    Python would try once more while it shuts down, and print a complaint of its own.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class LostOutput(OSError):  # noqa: N818 - what it says, not what went wrong
    """Say that standard output takes nothing more: its disk is full."""


class Output(io.TextIOWrapper):
    """Be standard output; what it cannot write is no bug, and is told apart by its type."""

    def write(self, text: str) -> int:
        """Write as ever."""
        with _told():
            return super().write(text)

    def flush(self) -> None:
        """Flush as ever."""
        with _told():
            super().flush()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as failure:
        raise LostOutput(failure.errno, failure.strerror) from failure


class Steady:
    """Tell records until nobody can take them: a run that changes hosts outlives its reader."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.lost: OSError | None = None

    def tell(self, record: Mapping[str, object]) -> None:
        """Hand one record on, or drop it once one could not be written."""
        if self.lost is not None:
            return
        try:
            self._tell(record)
        except OSError as lost:
            self.lost = lost
