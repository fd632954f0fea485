"""What does the server make of any bytes on a connection?

The HTTP parser and the application are those that listen on a host; there is no socket. Whatever
comes, each answer begins as HTTP does, none is 500, and nothing goes on when the client has gone.
Do not add what a request means: `clients.py`.
"""

import asyncio
import functools
from collections.abc import Iterator, Sequence
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from aitbc_node.rpc.app import App
from aitbc_node.rpc.connections import BoundedProtocol, Crowd
from aitbc_node.rpc.dispatch import ROUTES
from aitbc_node.rpc.throttle import Throttle
from aitbc_toolkit.suites.fuzz.clients import paths, the_node
from aitbc_toolkit.suites.fuzz.decoder import Decoder


def decoders() -> tuple[Decoder, ...]:
    """List them: one."""
    return (Decoder("http", http, _streams, is_packed=False),)


class Wire(asyncio.Transport):
    """Be the socket that there is not: keep what is written, forget it when told."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 2)})
        self.written = bytearray()
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take an answer."""
        self.written += data

    def close(self) -> None:
        """Close."""
        self._is_closing = True

    def is_closing(self) -> bool:
        """Tell whether it is closed."""
        return self._is_closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have one protocol for good."""

    def pause_reading(self) -> None:
        """Read nothing anyway."""

    def resume_reading(self) -> None:
        """Read nothing anyway."""


class Site:
    """Be a server without a port."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        node = cast("Any", the_node())
        self.app = App(node, name="v1", throttle=Throttle(rate=0))
        self.config = uvicorn.Config(
            self.app, http=BoundedProtocol, ws="none", lifespan="off", log_config=None,
            log_level="error", access_log=False, server_header=False, proxy_headers=False,
        )  # fmt: skip
        self.config.load()

    async def serve(self, pieces: Sequence[bytes]) -> bytes:
        """Answer one connection that says this, piece by piece, and hangs up."""
        state, wire = ServerState(), Wire()
        protocol = BoundedProtocol(
            config=self.config, server_state=state, app_state={}, _loop=self.loop, crowd=Crowd()
        )
        protocol.connection_made(wire)
        for piece in pieces:
            if not wire.is_closing():
                protocol.data_received(piece)
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        if state.tasks:
            await asyncio.wait(set(state.tasks), timeout=5)
        assert not state.tasks, "a request that goes on when the client is gone"
        return bytes(wire.written)


@functools.cache
def _site() -> Site:
    return Site()


def http(data: bytes) -> bool:
    """Answer any bytes on a connection, in one piece or in several."""
    if not data:
        return False
    stream, cut = data[1:], 1 + data[0] * 3
    pieces = [stream[at : at + cut] for at in range(0, len(stream), cut)]
    site = _site()
    written = site.loop.run_until_complete(site.serve(pieces))
    if not written:
        return False
    status = written[9:12]
    assert written.startswith(b"HTTP/1.1 "), written[:80]
    assert status.isdigit(), written[:80]
    assert b"HTTP/1.1 500" not in written, written[:400]
    return status == b"200"


# Good examples to begin with.


def _streams() -> Iterator[bytes]:
    body = b'{"raw":"YQ=="}'
    for route, path in zip(ROUTES, paths(), strict=True):
        head = f"{route.method} {path} HTTP/1.1\r\nhost: n\r\n"
        if route.method == "POST":
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        yield b"\xff" + head.encode() + b"\r\n" + (body if route.method == "POST" else b"")
    chunked = b"POST /tx HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n"
    yield b"\x05" + chunked + b"e\r\n" + body + b"\r\n0\r\n\r\n"
    yield b"\x00GET /status HTTP/1.0\r\n\r\nGET /health HTTP/1.1\r\n\r\n"
