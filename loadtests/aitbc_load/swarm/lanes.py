"""How do many requests wait for their answers at once? Each on a connection, none on a greenlet.

A greenlet for each of them, its time-outs and its way there and back through the event loop cost
several times what the system takes to send and to receive: here the loop calls when an answer is
there. So whatever is called from here must not wait. As in `wire.py` a connection holds one request
at a time, and what went out on one that had waited and broke goes out again on another one. Do not
add what an answer means.
"""

import errno
import socket
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any, Protocol

import gevent
from gevent.monkey import get_original

from aitbc_load.orders import Place
from aitbc_load.replies import Head, NotHttpError, head
from aitbc_load.swarm.wire import POOL_MAX, TIMEOUT_S, Answer, Silent, Wires

_PIECE = 16 * 1024
_LOOK_S = 1.0
_READ, _WRITE = 1, 2
_BEGUN = frozenset({0, errno.EINPROGRESS})
_socket = get_original("socket", "socket")


class Errand(Protocol):
    """Be a request to a node; one of the last two is called, once, and may not wait."""

    node: Place
    request: memoryview

    def answered(self, answer: Answer) -> None:
        """Take the answer."""

    def unanswered(self, silent: Silent) -> None:
        """Hear that none comes."""


class Lanes:
    """Keep the connections; `ask` returns at once."""

    def __init__(self, wires: Wires) -> None:
        assert not wires.source, "connections of these lanes come from anywhere"
        self._wires = wires
        self._idle: dict[str, dict[_Lane, None]] = defaultdict(dict)
        """Those that wait at each node; the last that came is the first to go."""
        self._open: set[_Lane] = set()
        self._known: dict[Place, tuple[int, Any]] = {}
        """In which family, and where there, each node is that was reached the last time."""

    def ask(self, errand: Errand) -> None:
        """Send a request over a connection that waits, or as soon as a new one is there."""
        idle = self._idle[errand.node.name]
        while idle:
            lane, _ = idle.popitem()
            if lane.send(errand):
                return
        known = self._known.get(errand.node)
        wire = _begun(*known) if known else None
        if wire is None:
            gevent.spawn(self._ask_anew, errand)
        else:
            self._send(wire, errand)

    def mind_the_time(self) -> None:
        """Give up for ever what is not answered in time."""
        while True:
            gevent.sleep(_LOOK_S)
            late = time.monotonic() - TIMEOUT_S
            for lane in [each for each in self._open if each.errand and each.asked_at < late]:
                lane.fail("timed out")

    def _ask_anew(self, errand: Errand) -> None:
        """Find out where a node is, which may take its time, and tell why it is not reached."""
        try:
            connection = self._wires.open(errand.node)
        except Silent as silent:
            errand.unanswered(silent)
            return
        wire = _socket(fileno=connection.detach())
        wire.settimeout(0)
        with suppress(OSError):  # it may be gone already
            self._known[errand.node] = (wire.family, wire.getpeername())
        self._send(wire, errand)

    def _send(self, wire: socket.socket, errand: Errand) -> None:
        lane = _Lane(self, wire, self._idle[errand.node.name])
        self._open.add(lane)
        lane.send(errand)

    def lost(self, lane: "_Lane") -> None:
        """Hear that a connection is closed; a node that never answered on it may have moved."""
        self._open.discard(lane)
        if lane.errand is not None and not lane.is_used:
            self._known.pop(lane.errand.node, None)


def _begun(family: int, address: Any) -> socket.socket | None:
    """Begin a connection without waiting for it, in a sixth of the time that a greenlet takes.

    One that could not be begun is for somebody who tells why: None.
    """
    try:
        wire: socket.socket = _socket(family)
    except OSError:
        return None
    wire.settimeout(0)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if wire.connect_ex(address) not in _BEGUN:
        wire.close()
        return None
    return wire


class _Lane:
    """Be one open connection."""

    def __init__(self, owner: Lanes, wire: socket.socket, idle: "dict[_Lane, None]") -> None:
        self.errand: Errand | None = None
        self.asked_at = 0.0
        self.is_used = False
        self._owner = owner
        self._idle = idle
        self._data = b""
        self._head: Head | None = None
        self._rest = memoryview(b"")
        self._socket = wire
        loop = gevent.get_hub().loop
        self._writer = loop.io(wire.fileno(), _WRITE)
        # Never stopped while it is open: to begin and to end waiting costs more than to read.
        self._reader = loop.io(wire.fileno(), _READ)
        self._reader.start(self._on_readable)

    def send(self, errand: Errand) -> bool:
        """Send a request, or as much of it as there is room for; False where it was too old.

        There is room for nothing while the connection is not there yet.
        """
        self.errand = errand
        self.asked_at = time.monotonic()
        self._data, self._head = b"", None
        try:
            sent = self._socket.send(errand.request)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            if self._is_stale(error):
                self._close()
                return False
            self.fail(str(error))
            return True
        if sent < len(errand.request):
            self._rest = errand.request[sent:]
            self._writer.start(self._on_writable)
        return True

    def fail(self, why: str) -> None:
        """Close it; who waited for an answer hears that none comes."""
        self._close()
        errand, self.errand = self.errand, None
        if errand is not None:
            errand.unanswered(Silent(f"no answer: {why}"))

    def _break(self, error: OSError) -> None:
        """Close it; what waited for an answer goes out again where only its connection was old."""
        errand = self.errand
        if errand is None or not self._is_stale(error):
            self.fail(str(error))
            return
        self._close()
        self._owner.ask(errand)

    def _is_stale(self, error: OSError) -> bool:
        return self.is_used and isinstance(error, ConnectionError)

    def _on_writable(self) -> None:
        try:
            self._rest = self._rest[self._socket.send(self._rest) :]
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)
            return
        if not self._rest:
            self._writer.stop()

    def _on_readable(self) -> None:
        try:
            piece = self._socket.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)
            return
        if not piece:
            self._break(ConnectionResetError("the node closed the connection"))
            return
        self._data = data = self._data + piece if self._data else piece
        try:
            found = self._head = self._head or head(data)
        except NotHttpError as wrong:
            self.fail(str(wrong))
            return
        if found is not None and len(data) >= found.begins + found.length:
            self._end(found, data)

    def _end(self, found: Head, data: bytes) -> None:
        """Pass a whole answer on, and wait for the next request."""
        errand, self.errand = self.errand, None
        is_odd = errand is None or self._rest  # nobody asked, or it did not hear us out
        if found.is_last or is_odd or len(self._idle) >= POOL_MAX:
            self._close()
        else:
            self.is_used = True
            self._idle[self] = None
        if errand is not None:
            errand.answered(Answer(found.status, data[found.begins :]))

    def _close(self) -> None:
        self._reader.close()
        self._writer.close()
        self._socket.close()
        self._idle.pop(self, None)
        self._owner.lost(self)
