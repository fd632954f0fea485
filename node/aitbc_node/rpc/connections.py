"""What may one connection, one client, and all of them together cost?

uvicorn's HTTP protocol with bounds: heads in size, count and time; answers in the time that they
wait to be read; connections of a client and of all, with places that only this machine gets. Bodies
are bounded in `exchange.py`. A stream of events is written to from outside, by `fanout.py`. Do not
add routes here.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aitbc_node import limits
from aitbc_node.rpc.throttle import client_of

HEAD_BYTES_MAX = 16 * limits.KIB
HEADERS_MAX = 64
SENT_BYTES_MAX = 2 * limits.RPC_BODY_BYTES_MAX
"""What one request is on the wire, with the sizes of its chunks; what has no meaning counts too."""
HEAD_DEADLINE_S = 10.0
READ_DEADLINE_S = 30.0
LINGER_S = 5.0
CONNECTIONS_MAX = limits.EVENT_STREAMS_MAX + 1_000
CONNECTIONS_PER_CLIENT_MAX = 4_096
OWN_PLACES = 64
"""Connections that only clients on this machine get: whoever looks after a node gets in."""
STREAM_BUFFER_BYTES = 64 * limits.KIB

WIRE = "aitbc.wire"
"""Where the connection of a request is found in the state of its scope."""

_LOOPBACK = ("127.", "::1", "::ffff:127.")
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


def is_local(address: str) -> bool:
    """Tell whether a client is on this machine."""
    return address.startswith(_LOOPBACK)


class Crowd:
    """Count connections, of each client and in all; one from elsewhere gets one of `shares`."""

    def __init__(
        self,
        *,
        connections_max: int = CONNECTIONS_MAX,
        per_client_max: int = CONNECTIONS_PER_CLIENT_MAX,
        shares: int = 4,
    ) -> None:
        self._connections_max = connections_max
        self._per_client_max = per_client_max
        self._per_stranger_max = max(1, min(per_client_max, connections_max // shares))
        self._of: Counter[str] = Counter()
        self.count = 0
        self.turned_away = 0

    def enter(self, address: str) -> bool:
        """Take a place, if there is one for this address."""
        client = client_of(address)
        is_own = is_local(address)
        places = self._connections_max - (0 if is_own else OWN_PLACES)
        of_one = self._per_client_max if is_own else self._per_stranger_max
        if self.count >= places or self._of[client] >= of_one:
            self.turned_away += 1
            return False
        self.count += 1
        self._of[client] += 1
        return True

    def leave(self, address: str) -> None:
        """Give the place back."""
        client = client_of(address)
        self.count -= 1
        self._of[client] -= 1
        if not self._of[client]:
            del self._of[client]


class BoundedProtocol(HttpToolsProtocol):
    """Speak HTTP, but wait only so long and read only so much for the head of a request."""

    def __init__(self, *args: Any, crowd: Crowd, **options: Any) -> None:
        super().__init__(*args, **options)
        self._crowd = crowd
        self._address: str | None = None
        self._head_bytes = 0
        self._sent_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None
        self.on_room: Callable[[], None] = _nothing
        self.on_lost: Callable[[], None] = _nothing

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Begin to wait for the first request, if there is a place."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self._crowd.enter(address):
            transport.write(_FULL)
            transport.close()
            return
        self._address = address
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline, and tell whoever writes."""
        self._head_is_here()
        self._is_read()
        if self._address is not None:
            self._crowd.leave(self._address)
        super().connection_lost(exc)
        self.on_lost()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head before parsing it."""
        if self._address is None:
            return  # it was turned away
        if self._head_timer is not None:
            self._head_bytes += len(data)
            # A body may begin in the same piece, so one piece above the bound is let through.
            if self._head_bytes - len(data) > HEAD_BYTES_MAX:
                self.send_400_response("The head of the request is too long.")
                return
        self._sent_bytes += len(data)
        if self._sent_bytes > SENT_BYTES_MAX:
            self.transport.abort()
            return
        super().data_received(data)

    def pause_writing(self) -> None:
        """Begin to wait for a client that reads too slowly; what waits for it costs memory."""
        super().pause_writing()
        self._expect_read()

    def resume_writing(self) -> None:
        """Go on where the client has read enough; of a last answer it has to read the rest, too."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._is_read()
        self.on_room()

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait only so long until a last answer is read."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_read()

    def send_400_response(self, msg: str) -> None:
        """Refuse, and do not wait for ever until somebody has read the rest."""
        super().send_400_response(msg)
        self._expect_read()

    def timeout_keep_alive_handler(self) -> None:
        """Close, and do not wait for ever until somebody has read the rest."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def on_message_begin(self) -> None:
        """Begin to wait for the end of a head."""
        super().on_message_begin()
        self._sent_bytes = 0
        self.scope["state"][WIRE] = self
        if self._head_timer is None:
            self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one more header. Raises: ValueError, which the parser makes a 400 of."""
        if len(self.headers) >= HEADERS_MAX or self._head_timer is None:
            raise ValueError("too many headers, or one behind the body")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop waiting: the head is here."""
        self._head_is_here()
        super().on_headers_complete()

    # What a stream of events is written with.

    def begin_stream(self, *, on_room: Callable[[], None], on_lost: Callable[[], None]) -> None:
        """Let the kernel keep little for this client: what it has not read yet is in the ring."""
        self.on_room, self.on_lost = on_room, on_lost
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER_BYTES)

    def end_stream(self) -> None:
        """Tell nobody any more."""
        self.on_room = self.on_lost = _nothing

    @property
    def is_full(self) -> bool:
        """Tell whether the client reads more slowly than it is written to."""
        return self.flow.write_paused

    def push(self, data: bytes) -> None:
        """Write, without waiting."""
        self.transport.write(data)

    def _expect_read(self) -> None:
        self._is_read()
        self._read_timer = self.loop.call_later(READ_DEADLINE_S, self.transport.abort)

    def _is_read(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_DEADLINE_S, self.timeout_keep_alive_handler)

    def _head_is_here(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _nothing() -> None:
    pass
