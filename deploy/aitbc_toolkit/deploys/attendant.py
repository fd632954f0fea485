"""How does a host get its steps? Through one channel of its connection, to a program that waits.

The program is started with the first step and lives as long as the connection
(`hostside/attending`). One that does not say that its step has ended is given no other: what it
still says would be taken for the answer to that one.
"""

import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, NamedTuple

from paramiko import SSHException
from pyinfra.connectors.base import BaseConnector

from aitbc_toolkit.deploys import bundle
from aitbc_toolkit.deploys.hostside.attending import END, IDLE_S

_OPEN_S = 10
# Before the host gives up waiting.
_FRESH_S = IDLE_S / 2


class _Link(NamedTuple):
    """Hold both ends of a program on a host, and how to see and to make that it has ended."""

    send: Callable[[bytes], Any]
    said: IO[bytes]
    is_open: Callable[[], bool]
    close: Callable[[], Any]


class Attendant:
    """Be the program on one host that makes the steps of this connection."""

    def __init__(self, connector: BaseConnector, python: str) -> None:
        self.connector = connector
        self._argv = bundle.attendant(python)
        self._link: _Link | None = None
        # The modules that the program has; None is *it has not even itself yet*.
        self._known: set[str] | None = None
        self._used_s = 0.0

    def make(
        self, step: str, params: Mapping[str, Any], said: list[str], *, deadline_s: int
    ) -> bool:
        """Let the host make a step; add what it says to `said`, and tell whether it says an end."""
        try:
            link = self._opened()
        except (OSError, SSHException, EOFError) as why:  # pyinfra would keep it to itself
            said.append(str(why) or type(why).__name__)
            return False
        has_ended = False
        try:
            self._tell(link, step, params, deadline_s=deadline_s)
            while not has_ended and (line := _line(link.said)):
                has_ended = line.startswith(END)
                said += [line.rstrip("\n")] if line.strip() else []
        finally:
            self._used_s = time.monotonic()
            if not has_ended:
                self.close()
        return has_ended

    def close(self) -> None:
        """Let go of the program: it ends after the step that it makes, at its deadline at last."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _opened(self) -> _Link:
        stale = time.monotonic() - self._used_s > _FRESH_S
        if self._link is not None and (stale or not self._link.is_open()):
            self.close()
        if self._link is None:
            client = getattr(self.connector, "client", None)
            self._link = _over_ssh(client, self._argv) if client else _here(self._argv)
            self._known = None
        return self._link

    def _tell(self, link: _Link, step: str, params: Mapping[str, Any], *, deadline_s: int) -> None:
        opening = bundle.opening() if self._known is None else b""
        known = self._known or set()
        job = bundle.job(step, params, deadline_s=deadline_s, known=known)
        with suppress(OSError):  # why a program has ended is in what it still says
            link.send(opening + job)
        self._known = known.union(bundle.modules(step))


def _line(said: IO[bytes]) -> str:
    """Read a line; a library may have written bytes there that are no text."""
    return said.readline().decode("utf-8", errors="replace")


def _over_ssh(client: Any, argv: Sequence[str]) -> _Link:
    channel = client.get_transport().open_session(timeout=_OPEN_S)
    channel.set_combine_stderr(True)
    channel.exec_command(f"exec {shlex.join(argv)}")
    said = channel.makefile("rb")
    return _Link(
        channel.sendall, said, lambda: not (channel.closed or channel.eof_received), channel.close
    )


def _here(argv: Sequence[str]) -> _Link:
    process = subprocess.Popen(  # noqa: S603 - argv never passes through a shell
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    steps, said = process.stdin, process.stdout

    def send(what: bytes) -> None:
        steps.write(what)
        steps.flush()

    def close() -> None:
        with suppress(BrokenPipeError):  # of what it did not read any more
            steps.close()
        said.close()

    return _Link(send, said, lambda: process.poll() is None, close)
