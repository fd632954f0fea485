"""How is a swarm started, followed and stopped? As a child process that speaks JSON lines.

Locust patches the process that imports it, so it is never imported here, and what is said has the
shapes of `aitbc_load.orders`. A child that ends without a result makes a run that says nothing. Do
not add what a run means.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from aitbc_toolkit.errors import AitbcError

Document = dict[str, Any]
_END_S = 10.0
_SHOWN = 80


class Swarm:
    """Run one order in `run`; `stop` makes it end early, and in good order."""

    def __init__(
        self,
        order: Document,
        *,
        money: Callable[[Mapping[str, int]], Document],
        tell: Callable[[str, Document], None],
    ) -> None:
        self._order = order
        self._money = money
        self._tell = tell
        self._child: subprocess.Popen[bytes] | None = None
        self.is_interrupted = False
        """Somebody pressed Ctrl-C, so that it ended early and in good order."""

    def run(self) -> Document:
        """Run to the end and return the result; Ctrl-C ends it early, a second one at once.

        Raises: AitbcError when it could not begin.
        """
        with self._started() as child:
            self._say(self._order)
            for line in self._lines(child):
                heard = _understood(line)
                if "funds" in heard:
                    self._say({"terms": self._money(heard["funds"]["amounts"])})
                elif "result" in heard:
                    return dict(heard["result"])
                elif "error" in heard:
                    raise AitbcError(heard["error"], hint="aitbc network status")
                else:
                    ((what, told),) = heard.items()
                    self._tell(what, told)
        raise LostError(f"the worker ended with status {child.returncode} and no result")

    def stop(self) -> None:
        """Begin nothing more; what has begun is brought to its end."""
        child = self._child
        assert child is not None, "it runs"
        with suppress(BrokenPipeError):
            self._write(child, b"stop\n")

    def _lines(self, child: subprocess.Popen[bytes]) -> Iterator[bytes]:
        """Read what the child says; the first Ctrl-C only makes it stop."""
        assert child.stdout is not None
        while True:
            try:
                line = child.stdout.readline()
            except KeyboardInterrupt:
                if self.is_interrupted:
                    raise
                self.is_interrupted = True
                self.stop()
                continue
            if not line.endswith(b"\n"):  # also half a line: who wrote it was killed meanwhile
                return
            yield line

    @contextmanager
    def _started(self) -> Iterator[subprocess.Popen[bytes]]:
        self._child = child = subprocess.Popen(
            [sys.executable, "-P", "-m", "aitbc_load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C reaches the whole foreground group: the swarm has to account for what it sent.
            process_group=0,
        )
        try:
            yield child
        finally:
            _end(child)

    def _say(self, document: Document) -> None:
        assert self._child is not None
        with suppress(BrokenPipeError):  # that it has ended is noticed when its answer is read
            self._write(self._child, json.dumps(document).encode() + b"\n")

    def _write(self, child: subprocess.Popen[bytes], line: bytes) -> None:
        assert child.stdin is not None
        child.stdin.write(line)
        child.stdin.flush()


def _understood(line: bytes) -> Document:
    """Read one line. Raises: LostError where a worker said what no worker says."""
    try:
        heard = json.loads(line)
    except ValueError:
        heard = None
    if not isinstance(heard, dict) or len(heard) != 1:
        said = line[:_SHOWN].decode(errors="replace").strip()
        raise LostError(f"the worker said what nobody understands: {said}")
    return heard


class LostError(AitbcError):
    """A worker is gone, and with it what it knew."""


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let go of the child; one that does not end by itself is killed."""
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(OSError):
        child.stdin.close()
    child.stdout.close()
    try:
        child.wait(_END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
