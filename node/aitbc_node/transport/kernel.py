"""What is the kernel told and asked about one connection: does the wire hold up what was sent?

The kernel knows when the peer's kernel has bytes, however busy the peer's process is. What is
still here after a while has stood before the wire; the time for which the peer's full buffer let
nothing leave is taken off, because then it is the process that does not read, or reads slowly. Nor
is it the wire that holds up what was merely lost, as long as nothing waits behind that. Do not add
what follows from it.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable

import msgspec

from aitbc_node.limits import DEAD_AFTER_MS

LOOK_MS = 250
FULL_MS = 150
"""Bytes that arrive so much later than the quickest ones have stood before the wire."""
INFO_BYTES = 192
UNKNOWN_US = 2**32 - 1


def tuned(sock: socket.socket) -> socket.socket:
    """Send at once what is small, and give up a peer whose host is silent."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER_MS)
    return sock


class Reading(msgspec.Struct, frozen=True):
    """Be what a kernel says of one connection, as totals since it began.

    `waiting` bytes have not arrived, of which `unsent` ones have not left either; `resent` segments
    were taken for lost. `shut_us`: so long the peer's full buffer was what let nothing leave.
    """

    arrived: int
    waiting: int
    shut_us: int
    quickest_ms: int
    unsent: int = 0
    resent: int = 0


def read(sock: socket.socket) -> Reading | None:
    """Ask the kernel; None where it cannot tell.

    Source: tcp(7), struct tcp_info of linux/tcp.h.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
        (waiting,) = struct.unpack("=i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
    except (AttributeError, OSError, ValueError):
        return None  # another system, or closed
    if len(info) < INFO_BYTES:
        return None
    (resent,) = struct.unpack_from("=I", info, 100)
    (arrived,) = struct.unpack_from("=Q", info, 120)
    unsent, quickest_us = struct.unpack_from("=II", info, 144)
    (shut_us,) = struct.unpack_from("=Q", info, 176)
    return Reading(
        arrived=arrived,
        waiting=waiting,
        unsent=unsent,
        resent=resent,
        shut_us=shut_us,
        quickest_ms=0 if quickest_us == UNKNOWN_US else quickest_us // 1_000,
    )


class Mark:
    """Mark the last byte that waits, and look later whether it has arrived."""

    def __init__(self) -> None:
        self._at: tuple[int, Reading] | None = None

    def is_full(self, reading: Reading, now_ms: int) -> bool:
        """Take a reading; tell whether bytes have stood before the wire."""
        if self._at is not None:
            at_ms, then = self._at
            if reading.arrived < then.arrived + then.waiting:
                open_ms = now_ms - at_ms - (reading.shut_us - then.shut_us) // 1_000
                is_loss = reading.resent > then.resent and not reading.unsent
                return open_ms - reading.quickest_ms >= FULL_MS and not is_loss
        self._at = (now_ms, reading) if reading.waiting else None
        return False


class Watch:
    """Watch one connection while something on it may be waiting."""

    def __init__(self, sock: socket.socket, on_full: Callable[[], None]) -> None:
        self._socket = sock
        self._on_full = on_full
        self._mark = Mark()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Look again and again from now on, because something was written."""
        if self._timer is None:
            self._look()

    def end(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        reading = read(self._socket)
        if reading is None:
            return
        loop = asyncio.get_running_loop()
        if self._mark.is_full(reading, round(1_000 * loop.time())):
            self._on_full()
        if reading.waiting:
            self._timer = loop.call_later(LOOK_MS / 1_000, self._look)
