"""Answers that nobody reads, over real connections."""

import asyncio

import pytest

from aitbc_node.rpc import app
from aitbc_node.rpc.app import App
from aitbc_node.rpc.bodies import PER_CLIENT_MAX
from aitbc_node.rpc.post import Post
from aitbc_node.rpc.server import Server
from aitbc_node.rpc.streams import Hub
from aitbc_node.rpc.throttle import Throttle
from aitbc_node.rpc.view import Response


class Port:
    """Be a driver that is asked for nothing."""

    facts = view = reader = None
    hub = Hub(boot="1")
    post = Post(boot="1", hrp="aitd")

    async def settled(self) -> None:
        """Have nothing to wait for."""


def test_an_answer_counts_until_its_client_has_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real connection: what waits in its buffer is held, however soon the writing returned."""
    page = Response(200, bytes(PER_CLIENT_MAX // 2 + 1))
    monkeypatch.setattr(app, "dispatch", lambda *_: page)
    asked = b"GET / HTTP/1.1\r\nhost: n\r\n\r\n"

    async def main() -> None:
        served = App(Port(), name="n", throttle=Throttle(rate=0))  # type: ignore[arg-type]  # asked for little
        server = Server(served, listen="127.0.0.1:0", key="rpc.listen")
        await server.start()
        host, _, number = server.url.removeprefix("http://").partition(":")
        (idle, writer), (second, other) = [
            await asyncio.open_connection(host, int(number)) for _ in range(2)
        ]
        async with asyncio.timeout(60):
            writer.write(asked)
            assert (await idle.readline()).startswith(b"HTTP/1.1 200 ")
            other.write(asked)
            assert (await second.readline()).startswith(b"HTTP/1.1 429 ")
            await idle.readuntil(b"\r\n\r\n")
            await idle.readexactly(len(page.body))
        for each in (writer, other):
            each.close()
        await server.stop()

    asyncio.run(main())
