"""How much of all bodies is held at once."""

import asyncio
from typing import Any

import pytest

from aitbc_node.codes import Code
from aitbc_node.rpc import app
from aitbc_node.rpc.app import App
from aitbc_node.rpc.bodies import BYTES_MAX, PER_CLIENT_MAX, Bodies
from aitbc_node.rpc.connections import WIRE
from aitbc_node.rpc.post import Post
from aitbc_node.rpc.streams import Hub
from aitbc_node.rpc.throttle import Throttle
from aitbc_node.rpc.view import RequestFault, Response


def test_one_client_holds_so_much_and_another_may_go_on() -> None:
    """Over its bound a client is refused as one that asks too much; what ended is free again."""
    bodies = Bodies(bytes_max=100, per_client_max=10)

    with bodies.of("10.0.0.1") as first, bodies.of("10.0.0.1") as second:
        first(6)
        with pytest.raises(RequestFault) as caught:
            second(5)
        with bodies.of("10.0.0.2") as other:
            other(10)

    assert (caught.value.status, caught.value.code) == (429, Code.E_RATE)
    assert dict(caught.value.headers)["retry-after"] == "2"
    assert bodies.byte_count == 0
    with bodies.of("10.0.0.1") as again:
        again(10)


def test_all_together_hold_so_much() -> None:
    """Many clients that are within their bounds do not fill the memory either."""
    bodies = Bodies(bytes_max=15, per_client_max=10)

    with bodies.of("10.0.0.1") as first, bodies.of("10.0.0.2") as second:
        first(10)
        with pytest.raises(RequestFault) as caught:
            second(6)

    assert (caught.value.status, caught.value.code) == (503, Code.E_UNAVAILABLE)


def test_one_body_alone_is_never_too_much() -> None:
    """It has a bound of its own; refused for ever it could not be had at all."""
    bodies = Bodies(bytes_max=15, per_client_max=10)

    with bodies.of("10.0.0.1") as only:
        only(20)
        with pytest.raises(RequestFault), bodies.of("10.0.0.1") as second:
            second(1)


class Port:
    """Be a driver that is asked for nothing."""

    facts = view = reader = None
    hub = Hub(boot="1")
    post = Post(boot="1", hrp="aitd")

    async def settled(self) -> None:
        """Have nothing to wait for."""


class Reader:
    """Be a client that reads nothing until it is told to; `statuses` are what it was answered."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.waits = asyncio.Event()
        self.reads = asyncio.Event()

    async def send(self, message: dict[str, Any]) -> None:
        """Take what the server writes."""
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])
        elif len(message["body"]) > PER_CLIENT_MAX // 8:
            self.waits.set()
            await self.reads.wait()


class Wire:
    """Be a connection that has let go of all that was written."""

    def __init__(self) -> None:
        self.flow = self

    async def drain(self) -> None:
        """Have nothing to wait for."""


async def receive() -> dict[str, Any]:
    """Send no body."""
    return {"type": "http.request"}


def a_scope(client: str) -> dict[str, Any]:
    """Ask for something."""
    head = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    return {**head, "client": (client, 1), "state": {WIRE: Wire()}}


def test_answers_that_nobody_reads_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for much and reads slowly is told to come back; all such clients together are."""
    page = Response(200, bytes(PER_CLIENT_MAX // 2))
    monkeypatch.setattr(app, "dispatch", lambda *_: page)

    async def main() -> None:
        served = App(Port(), name="n", throttle=Throttle(rate=0))  # type: ignore[arg-type]  # asked for little
        crowd = [Reader() for _ in range(BYTES_MAX // len(page.body))]
        tasks = []
        for number, reader in enumerate(crowd):
            scope = a_scope(f"10.0.{number // 2}.1")
            tasks.append(asyncio.create_task(served(scope, receive, reader.send)))
        await asyncio.gather(*(reader.waits.wait() for reader in crowd))
        greedy, late = Reader(), Reader()
        async with asyncio.timeout(60):
            await served(a_scope("10.0.0.1"), receive, greedy.send)
            await served(a_scope("10.9.9.9"), receive, late.send)

        assert [reader.statuses for reader in crowd] == [[200]] * len(crowd)
        assert (greedy.statuses, late.statuses) == ([429], [503])
        for reader in crowd:
            reader.reads.set()
        await asyncio.gather(*tasks)
        late.reads.set()
        await served(a_scope("10.9.9.9"), receive, late.send)
        assert late.statuses == [503, 200]

    asyncio.run(main())
