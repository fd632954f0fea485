"""How does one event reach ten thousand listeners? It is written once, and each gets those bytes.

A listener is a place in the ring and a connection: it has no task and no queue. One whose
connection is full is passed over and goes on from its place when there is room; `connections.py`
cuts off who makes none. Do not add sockets or waiting here.
"""

from collections.abc import Callable
from typing import Protocol

from aitbc_node.rpc.streams import Hub
from aitbc_node.rpc.throttle import BYTES_PER_TOKEN, Throttle

SLICE = 250
"""Listeners served at once, so that whatever else the node does waits for milliseconds only."""

PAID_BYTES = 16 * BYTES_PER_TOKEN

_ALIVE = b": still here\n\n"
_LAST = b"event: closing\ndata: {}\n\n"
_TOO_SLOW = b'event: closing\ndata: {"reason":"too slow: %d messages behind","lost":%d}\n\n'

_NOWHERE = 2**63
"""A place that no event ever has."""

_Told = dict[tuple[int, frozenset[str], bool], tuple[int, bytes]]


class Wire(Protocol):
    """Be the connection of one listener."""

    @property
    def is_full(self) -> bool:
        """Tell whether the client reads more slowly than it is written to."""

    def push(self, data: bytes) -> None:
        """Write, without waiting."""


class PaidWire:
    """Be a connection whose client pays for what it is written; who is in debt has no room."""

    def __init__(
        self, wire: Wire, *, client: str, throttle: Throttle, now_ms: Callable[[], int]
    ) -> None:
        self._wire = wire
        self._client = client
        self._throttle = throttle
        self._now_ms = now_ms
        self._unpaid = 0

    @property
    def is_full(self) -> bool:
        """Tell whether the client reads, or earns, more slowly than it is written to."""
        is_in_debt = self._throttle.wait_s(self._client, now_ms=self._now_ms()) > 0
        return is_in_debt or self._wire.is_full

    def push(self, data: bytes) -> None:
        """Write, without waiting, and pay now and then: most events are less than a token."""
        self._wire.push(data)
        self._unpaid += len(data)
        if self._unpaid >= PAID_BYTES:
            self.pay()

    def pay(self) -> None:
        """Pay for what was written since the last time."""
        if self._unpaid:
            self._throttle.pay(self._client, byte_count=self._unpaid, now_ms=self._now_ms())
            self._unpaid = 0


class Listener:
    """Be who hears some topics, from a place of the ring on."""

    __slots__ = ("is_brief", "is_quiet", "on_behind", "place", "topics", "wire")

    def __init__(
        self,
        wire: Wire,
        *,
        place: int,
        topics: frozenset[str],
        is_brief: bool = False,
        on_behind: Callable[[], None] | None = None,
    ) -> None:
        """Be one; with `on_behind`, who falls behind the ring is told so and heard no more."""
        self.wire = wire
        self.place = place
        self.topics = topics
        self.is_brief = is_brief
        self.on_behind = on_behind
        self.is_quiet = False


class Fan:
    """Serve the listeners of a hub; `soon` has `deliver` called once the present work is done."""

    def __init__(self, hub: Hub, *, soon: Callable[[Callable[[], None]], object]) -> None:
        self._hub = hub
        self._soon = soon
        self._listeners: dict[Listener, None] = {}
        self._due: list[Listener] = []
        self._to_look_at: list[Listener] = []
        self._is_called = False
        self._is_behind = False
        hub.on_publish = self.announce

    def __len__(self) -> int:
        return len(self._listeners)

    def join(self, listener: Listener) -> None:
        """Serve a new one, with what it has missed first."""
        self._listeners[listener] = None
        self._hub.listeners += 1
        self.serve(listener)

    def leave(self, listener: Listener) -> None:
        """Serve one no more."""
        del self._listeners[listener]
        self._hub.listeners -= 1

    def announce(self) -> None:
        """Take note that there is something new."""
        self._is_behind = True  # some were served before this one, where a round is under way
        if not self._is_called and self._listeners:
            self._is_called = True
            self._soon(self._deliver)

    def serve(self, listener: Listener) -> None:
        """Give one listener what it has room for."""
        self._serve(listener, {})

    def show_life(self) -> None:
        """Write something where nothing was since the last time, to a slice at once as well."""
        if not self._to_look_at:
            self._to_look_at = list(self._listeners)
            self._look()

    def close(self) -> None:
        """Give each what there is, and a last event that says that no more will come."""
        self._to_look_at.clear()
        for listener in self._listeners:
            self.serve(listener)
            if not listener.wire.is_full:
                listener.wire.push(framed(_LAST))

    def _look(self) -> None:
        for listener in self._to_look_at[-SLICE:]:
            if listener not in self._listeners:
                continue
            self.serve(listener)  # one that was in debt has nobody else to tell it to go on
            if listener.is_quiet and not listener.wire.is_full:
                listener.wire.push(framed(_ALIVE))
            listener.is_quiet = True
        del self._to_look_at[-SLICE:]
        if self._to_look_at:
            self._soon(self._look)

    def _deliver(self) -> None:
        """Serve a slice of the listeners, and the next one when it is due again."""
        if not self._due:
            self._due, self._is_behind = list(self._listeners), False
        told: _Told = {}
        for listener in self._due[-SLICE:]:
            if listener in self._listeners:
                self._serve(listener, told)
        del self._due[-SLICE:]
        self._is_called = bool(self._due) or self._is_behind
        if self._is_called:
            self._soon(self._deliver)

    def _serve(self, listener: Listener, told: _Told) -> None:
        """Write what is new to a listener; those at one place share the very same bytes."""
        hub, wire = self._hub, listener.wire
        if listener.on_behind is not None and listener.place < hub.oldest and not wire.is_full:
            self._drop(listener, hub.oldest - listener.place)
        while hub.has_news(listener.place) and not wire.is_full:
            key = listener.place, listener.topics, listener.is_brief
            piece = told.get(key)
            if piece is None:
                place, text = hub.read(key[0], key[1], is_brief=key[2])
                piece = told[key] = place, framed(text) if text else b""
            listener.place = piece[0]
            if piece[1]:
                listener.is_quiet = False
                wire.push(piece[1])

    def _drop(self, listener: Listener, lost: int) -> None:
        """Tell one that is too slow that it is, and nothing after that."""
        self._hub.dropped += 1
        listener.wire.push(framed(_TOO_SLOW % (lost, lost)))
        listener.place = _NOWHERE
        assert listener.on_behind is not None, "only these are dropped"
        listener.on_behind()


def framed(text: bytes) -> bytes:
    """Write a piece of a body whose length nobody knows yet, as HTTP/1.1 does."""
    return b"%x\r\n%b\r\n" % (len(text), text)
