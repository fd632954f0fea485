"""The node's HTTP server on a real socket: shapes, bounds, deadlines, streams."""

import asyncio
import contextlib
import importlib.util
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from posted import taken

from aitbc_node import limits
from aitbc_node.errors import ConfigError
from aitbc_node.events import Expired, TxOutcome
from aitbc_node.rpc import app, bodies, connections, server
from aitbc_node.rpc.post import Post
from aitbc_node.rpc.server import public_server
from aitbc_node.rpc.streams import Hub
from aitbc_node.types import TxId


def _builders() -> ModuleType:
    path = Path(__file__).parents[1] / "unit" / "rpc" / "conftest.py"
    spec = importlib.util.spec_from_file_location("rpc_builders", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_NODE = _builders()


class FakePort:
    """Be a driver with a machine made of plain values."""

    def __init__(self) -> None:
        state = _NODE.a_state()
        self.view = _NODE.FakeNode(state, [_NODE.a_final_block(state, height=1)])
        self.reader = self.view
        self.facts = self.view.facts
        self.hub = Hub(boot="b")
        self.post = Post(boot="b", hrp="aitd")
        self.submitted: list[bytes] = []

    async def settled(self) -> None:
        pass

    async def submit(self, raws: tuple[bytes, ...]) -> Sequence[TxOutcome]:
        self.submitted += raws
        return [TxOutcome(TxId(raw.ljust(32, b"."))[:32], "ok") for raw in raws]

    async def publish(self, raw: bytes) -> Sequence[TxOutcome]:
        return [taken(self.post, raw)]


@dataclass
class Site:
    """Where a server of its own listens for one test."""

    port: FakePort
    host: str
    number: int
    server: server.Server

    @property
    def app(self) -> app.App:
        """Return what answers."""
        served = self.server._app
        assert isinstance(served, app.App)
        return served

    def wires(self) -> Sequence[connections.BoundedProtocol]:
        """List the connections that stand."""
        return list(self.server._state.connections)


@contextlib.asynccontextmanager
async def serving(port: FakePort, *, crowd: connections.Crowd | None = None) -> AsyncIterator[Site]:
    """Serve on a free port of the loopback."""
    running = public_server(port, listen="127.0.0.1:0", crowd=crowd)
    await running.start()
    try:
        host, number = running.url.removeprefix("http://").split(":")
        yield Site(port, host, int(number), running)
    finally:
        await running.stop()


def live(test: Callable[[Site], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test against a server of its own."""

    def run() -> None:
        async def whole() -> None:
            port = FakePort()
            async with serving(port) as site, asyncio.timeout(60):
                await test(site)

        asyncio.run(whole())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


async def exchange(site: Site, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, read one whole response, close."""
    reader, writer = await asyncio.open_connection(site.host, site.number)
    writer.write(request)
    try:
        return await read_response(reader)
    finally:
        writer.close()


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read status and headers."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in head[1:] if line]
    return int(head[0].split()[1]), {name.lower(): value for name, value in pairs}


async def read_response(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Read one response with a content length."""
    status, headers = await read_head(reader)
    return status, headers, await reader.readexactly(int(headers["content-length"]))


def a_get(path: str, *headers: str) -> bytes:
    """Write a GET request."""
    lines = [f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]
    return "\r\n".join(lines).encode()


def a_post(body: bytes, *headers: str) -> bytes:
    """Write a `POST /tx` request."""
    lines = [
        "POST /tx HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


@live
async def test_a_read_over_http(site: Site) -> None:
    """A read is answered as JSON, with the client's own request id when it sent one."""
    status, headers, body = await exchange(site, a_get("/status", "X-Request-Id: mine-7"))

    assert (status, headers["content-type"]) == (200, "application/json")
    assert headers["x-request-id"] == "mine-7"
    assert json.loads(body)["height"] == 1


@live
async def test_a_strange_request_id_is_replaced(site: Site) -> None:
    """An id that could spoil logs or headers is not echoed."""
    _, headers, _ = await exchange(site, a_get("/status", "X-Request-Id: a b\t{c}"))

    assert headers["x-request-id"].startswith("v1-")


@live
async def test_a_transaction_over_http(site: Site) -> None:
    """A transaction reaches the machine as the very bytes, and the answer is 202."""
    status, _, body = await exchange(site, a_post(b'{"raw": "aGVsbG8="}'))

    assert (status, site.port.submitted) == (202, [b"hello"])
    assert json.loads(body)["status"] == "pending"


@live
async def test_one_connection_carries_many_requests(site: Site) -> None:
    """Requests one after the other, and several at once, are answered in order."""
    reader, writer = await asyncio.open_connection(site.host, site.number)

    writer.write(a_get("/blocks/1") + a_get("/nowhere") + a_get("/health"))

    assert [(await read_response(reader))[0] for _ in range(3)] == [200, 404, 200]
    writer.close()


@live
async def test_a_kept_connection_is_quick(site: Site) -> None:
    """Answers leave at once: without TCP_NODELAY every one of them would take 40 ms."""
    reader, writer = await asyncio.open_connection(site.host, site.number)
    took_s = []

    for _ in range(30):
        began = time.monotonic()
        writer.write(a_get("/health"))
        assert (await read_response(reader))[0] == 200
        took_s.append(time.monotonic() - began)

    assert min(took_s[10:]) < 0.03  # the first few are answered at once in either case
    writer.close()


@live
async def test_head_is_a_get_without_body(site: Site) -> None:
    """HEAD tells what GET would, without the body."""
    reader, writer = await asyncio.open_connection(site.host, site.number)

    writer.write(b"HEAD /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    status, headers = await read_head(reader)
    assert (status, int(headers["content-length"]) > 0) == (200, True)
    assert await reader.read() == b""
    writer.close()


def test_a_noisy_client_waits_and_another_does_not() -> None:
    """An address that asks too much gets 429 and when to come back; another address is served."""

    async def scene() -> None:
        running = public_server(FakePort(), listen="127.0.0.1:0", rate=1)
        await running.start()
        host, number = running.url.removeprefix("http://").split(":")
        asked = 0
        reader, writer = await asyncio.open_connection(host, int(number))
        while True:
            writer.write(a_get("/openapi.json"))
            status, headers, body = await read_response(reader)
            asked += 1
            if status != 200:
                break
        writer.close()
        assert (status, json.loads(body)["error"]["code"]) == (429, "rate-limited")
        assert int(headers["retry-after"]) >= 1
        assert 10 < asked < limits.RPC_BURST

        other = await asyncio.open_connection(host, int(number), local_addr=("127.0.0.9", 0))
        other[1].write(a_get("/health"))
        assert (await read_response(other[0]))[0] == 200
        other[1].close()
        await running.stop()

    asyncio.run(scene())


@live
async def test_an_announced_giant_is_refused_unread(site: Site) -> None:
    """A body that is announced as too large is refused before a byte of it is sent."""
    announced = limits.RPC_BODY_BYTES_MAX + 1
    head = f"POST /tx HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n".encode()

    status, headers, body = await exchange(site, head)

    assert (status, headers["connection"]) == (413, "close")
    assert json.loads(body)["error"]["field"] == "body"
    assert site.port.submitted == []


@live
async def test_a_giant_in_chunks_is_refused(site: Site) -> None:
    """A body of unknown length is cut off at the same bound."""
    reader, writer = await asyncio.open_connection(site.host, site.number)
    writer.write(b"POST /tx HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")

    with contextlib.suppress(ConnectionError):
        for _ in range(limits.RPC_BODY_BYTES_MAX // limits.MIB + 1):
            writer.write(b"100000\r\n" + bytes(limits.MIB) + b"\r\n")
            await writer.drain()

    assert (await read_response(reader))[0] == 413
    writer.close()


@live
async def test_an_endless_head_is_cut_off(site: Site) -> None:
    """A head that never ends is refused at its bound, not kept."""
    reader, writer = await asyncio.open_connection(site.host, site.number)

    with contextlib.suppress(ConnectionError):
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(100):
            writer.write(b"a" * limits.KIB)
            await writer.drain()

    with contextlib.suppress(ConnectionError):
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET /sta", b"GET /status HTTP/1.1\r\nHost:"])
def test_a_silent_client_is_hung_up_on(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never finishes its head loses the connection at the deadline."""
    monkeypatch.setattr(connections, "HEAD_DEADLINE_S", 0.2)

    @live
    async def scene(site: Site) -> None:
        reader, writer = await asyncio.open_connection(site.host, site.number)
        writer.write(sent)
        began = time.monotonic()
        assert await reader.read() == b""
        assert time.monotonic() - began < 5
        writer.close()

    scene()


def test_a_body_that_does_not_come_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that announces a body and sends nothing is answered and hung up on."""
    monkeypatch.setattr("aitbc_node.rpc.exchange.BODY_DEADLINE_S", 0.2)

    @live
    async def scene(site: Site) -> None:
        head = b"POST /tx HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"
        status, headers, body = await exchange(site, head)
        assert (status, headers["connection"]) == (408, "close")
        assert json.loads(body)["error"]["field"] == "body"

    scene()


def test_a_machine_that_does_not_answer_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the machine is silent the client learns that the outcome is unknown, and what to do."""
    monkeypatch.setattr(app, "SUBMIT_DEADLINE_S", 0.1)

    @live
    async def scene(site: Site) -> None:
        site.port.submit = lambda _raws: asyncio.Event().wait()  # type: ignore[assignment,method-assign,return-value]
        status, _, body = await exchange(site, a_post(b'{"raw": "aGVsbG8="}'))
        assert (status, json.loads(body)["error"]["code"]) == (503, "unavailable")
        assert "same bytes" in json.loads(body)["error"]["hint"]

    scene()


@live
async def test_a_stream_delivers_and_resumes(site: Site) -> None:
    """A stream delivers events as they come; a new one resumes behind the last id."""
    reader, writer = await asyncio.open_connection(site.host, site.number)
    writer.write(a_get("/events?topic=block,peer"))
    status, headers = await read_head(reader)
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    await reader.readuntil(b": hello\n\n")

    site.port.hub.publish("block", {"height": 2})
    site.port.hub.publish("tx", {"height": 2})
    site.port.hub.publish("peer", {"id": "x"})

    assert b"id: b-1\n" in await reader.readuntil(b'data: {"height":2}\n\n')
    assert b"id: b-3\n" in await reader.readuntil(b'data: {"id":"x"}\n\n')
    writer.close()
    reader, writer = await asyncio.open_connection(site.host, site.number)
    writer.write(a_get("/events?topic=block,peer", "Last-Event-ID: b-1"))
    assert b"id: b-3\n" in await reader.readuntil(b'data: {"id":"x"}\n\n')
    writer.close()


@live
async def test_who_prefers_the_least_is_told_the_least(site: Site) -> None:
    """Fates in runs, beside one who hears them in full; a batch in numbers."""
    told: list[bytes] = []
    for wanted in ("return=representation", "return=minimal"):
        reader, writer = await asyncio.open_connection(site.host, site.number)
        writer.write(a_get("/events?topic=tx", f"Prefer: {wanted}"))
        _, headers = await read_head(reader)
        assert headers.get("preference-applied") == (wanted if "minimal" in wanted else None)
        await reader.readuntil(b": hello\n\n")
        site.port.hub.expired(Expired((TxId(b"x" * 32), TxId(b"y" * 32))))
        told.append(await reader.readuntil(b"}\n\n"))
        writer.close()
    body = json.dumps({"txs": ["b25l", "dHdv"]}).encode()
    _, headers, answer = await exchange(site, a_post(body, "Prefer: return=minimal"))

    names = f"{'78' * 32}{'79' * 32}"
    assert b'"txs":[' in told[0]
    assert f'"runs":[{{"status":"expired","code":"","ids":"{names}"}}]'.encode() in told[1]
    assert headers["preference-applied"] == "return=minimal"
    assert json.loads(answer) == {"taken": 2, "refused": []}


@live
async def test_a_closed_stream_is_forgotten(site: Site) -> None:
    """A listener that goes away frees its place at once."""
    reader, writer = await asyncio.open_connection(site.host, site.number)
    writer.write(a_get("/events"))
    await reader.readuntil(b": hello\n\n")
    assert site.port.hub.listeners == 1

    writer.close()

    while site.port.hub.listeners:  # the test's own time limit ends this
        await exchange(site, a_get("/health"))


@live
async def test_an_idle_stream_shows_life(site: Site) -> None:
    """A stream without events says now and then that it is alive, so that nobody cuts it."""
    before, app.KEEP_ALIVE_S = app.KEEP_ALIVE_S, 0.05
    try:
        reader, writer = await asyncio.open_connection(site.host, site.number)
        writer.write(a_get("/events"))
        await reader.readuntil(b": still here\n\n")
        site.port.hub.publish("block", {"height": 9})
        await reader.readuntil(b'data: {"height":9}\n\n')
        writer.close()
    finally:
        app.KEEP_ALIVE_S = before


@live
async def test_too_many_streams_are_refused(site: Site) -> None:
    """The number of streams is bounded, and the next client is told so."""
    places = site.app._places
    while places.enter("127.0.0.9"):
        pass
    assert places.count == limits.EVENT_STREAMS_MAX

    status, _, body = await exchange(site, a_get("/events"))
    assert (status, json.loads(body)["error"]["code"]) == (503, "unavailable")

    places.leave("127.0.0.9")
    reader, writer = await asyncio.open_connection(site.host, site.number)
    writer.write(a_get("/events"))
    await reader.readuntil(b": hello\n\n")
    writer.close()
    while places.count == limits.EVENT_STREAMS_MAX:  # the test's own time limit ends this
        await exchange(site, a_get("/health"))


@live
async def test_one_stranger_has_a_share_of_the_streams(site: Site) -> None:
    """An address elsewhere gets a tenth; the next one gets in, and this machine gets them all."""
    places = site.app._places

    of_one = sum(places.enter("10.0.0.1") for _ in range(limits.EVENT_STREAMS_MAX))

    assert of_one == limits.EVENT_STREAMS_MAX // app.STREAM_SHARES
    assert places.enter("10.0.0.2")
    rest = limits.EVENT_STREAMS_MAX - places.count
    assert sum(places.enter("127.0.0.1") for _ in range(limits.EVENT_STREAMS_MAX)) == rest


@live
async def test_a_reader_that_does_not_read_holds_little(site: Site) -> None:
    """What is kept for it is bounded however much is published; the others get every event."""
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    stuck.setblocking(False)  # noqa: FBT003 - the name of the setting
    loop = asyncio.get_running_loop()
    await loop.sock_connect(stuck, (site.host, site.number))
    await loop.sock_sendall(stuck, a_get("/events?topic=tx"))
    reader, writer = await asyncio.open_connection(site.host, site.number, limit=2**24)
    writer.write(a_get("/events?topic=tx"))
    await reader.readuntil(b": hello\n\n")
    while site.port.hub.listeners < 2:
        await exchange(site, a_get("/health"))
    (wire,) = (each for each in site.wires() if each.client == stuck.getsockname())

    for number in range(200):
        site.port.hub.publish("tx", {"number": number, "much": "x" * 20_000})
        await reader.readuntil(b'{"number":%d,' % number)

    assert wire.is_full
    assert wire.transport.get_write_buffer_size() < 4 * connections.STREAM_BUFFER_BYTES
    stuck.close()
    writer.close()


@pytest.mark.parametrize("path", ["/metrics", "/events?topic=tx"])
def test_who_does_not_read_its_answer_is_cut_off(
    path: str, monkeypatch: pytest.MonkeyPatch, eventually_async: Callable[..., Awaitable[None]]
) -> None:
    """A client that asks and never reads loses the connection, and what waited for it is gone."""
    monkeypatch.setattr(connections, "READ_DEADLINE_S", 0.2)

    @live
    async def scene(site: Site) -> None:
        much = "x" * 2**24
        monkeypatch.setattr(site.port.view, "metrics", much.encode)
        stuck = socket.socket()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        stuck.setblocking(False)  # noqa: FBT003 - the name of the setting
        loop = asyncio.get_running_loop()
        await loop.sock_connect(stuck, (site.host, site.number))
        await loop.sock_sendall(stuck, a_get(path))
        await eventually_async("the connection", site.wires)
        (wire,) = site.wires()
        if path != "/metrics":
            await eventually_async("the stream", lambda: site.port.hub.listeners)
            site.port.hub.publish("tx", {"much": much})

        await eventually_async("its end", lambda: not site.wires())

        assert wire.transport.get_write_buffer_size() == 0
        assert site.server.crowd.count == 0
        await eventually_async("the end of its stream", lambda: not site.port.hub.listeners)
        stuck.close()

    scene()


def test_the_unread_rest_of_a_last_answer_keeps_no_place(
    monkeypatch: pytest.MonkeyPatch, eventually_async: Callable[..., Awaitable[None]]
) -> None:
    """Who asks for the last answer and leaves a little of it unread loses the connection, too."""
    monkeypatch.setattr(connections, "READ_DEADLINE_S", 0.2)

    @live
    async def scene(site: Site) -> None:
        monkeypatch.setattr(site.port.view, "metrics", lambda: b"x" * 2**24)
        stuck = socket.socket()
        stuck.setblocking(False)  # noqa: FBT003 - the name of the setting
        loop = asyncio.get_running_loop()
        await loop.sock_connect(stuck, (site.host, site.number))
        await eventually_async("the connection", site.wires)
        (wire,) = site.wires()
        wire.transport.set_write_buffer_limits(high=2**25)  # so that it is never full
        await loop.sock_sendall(stuck, a_get("/metrics", "Connection: close"))

        await eventually_async("its end", lambda: not site.wires())

        assert wire.transport.get_write_buffer_size() == site.server.crowd.count == 0
        stuck.close()

    scene()


@live
async def test_an_idle_client_with_unread_answers_is_hung_up_on(site: Site) -> None:
    """The rest of an answer that nobody reads keeps no connection open behind its deadline."""
    reader, writer = await asyncio.open_connection(site.host, site.number)
    writer.write(a_get("/health"))
    await read_response(reader)
    (wire,) = site.wires()

    before, connections.LINGER_S = connections.LINGER_S, 0.01
    wire.timeout_keep_alive_handler()
    assert await reader.read() == b""
    connections.LINGER_S = before

    assert site.server.crowd.count == len(site.wires()) == 0
    writer.close()


def test_a_request_under_way_is_answered_when_the_server_stops(
    monkeypatch: pytest.MonkeyPatch, eventually_async: Callable[..., Awaitable[None]]
) -> None:
    """What was begun is finished; what would begin later finds nobody."""
    monkeypatch.setattr(server, "STOP_DEADLINE_S", 50.0)

    async def scene() -> None:
        port, asked, go = FakePort(), asyncio.Event(), asyncio.Event()

        async def submit(raws: tuple[bytes, ...]) -> Sequence[TxOutcome]:
            asked.set()
            await go.wait()
            return [TxOutcome(TxId(raw.ljust(32, b".")), "ok") for raw in raws]

        port.submit = submit  # type: ignore[method-assign]
        async with serving(port) as site, asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(site.host, site.number)
            writer.write(a_post(b'{"raw": "aGVsbG8="}'))
            await asked.wait()
            stopping = asyncio.ensure_future(site.server.stop())
            await eventually_async("no listening", lambda: not site.server.is_listening)
            go.set()
            status, headers, _ = await read_response(reader)
            await stopping
            assert (status, headers["connection"]) == (202, "close")
            writer.close()

    asyncio.run(scene())


@live
async def test_a_trailer_without_end_is_cut_off(site: Site) -> None:
    """What comes behind a body is counted, and refused when it is whole."""
    good = b'{"raw": "aGVsbG8="}'
    begin = b"POST /tx HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    begin += b"%x\r\n%b\r\n0\r\n" % (len(good), good)
    reader, writer = await asyncio.open_connection(site.host, site.number)
    writer.write(begin + b"x: 1\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()

    reader, writer = await asyncio.open_connection(site.host, site.number)
    writer.write(begin + b"x: ")
    with contextlib.suppress(ConnectionError):
        for _ in range(2 * connections.SENT_BYTES_MAX // limits.MIB):
            writer.write(b"x" * limits.MIB)
            await writer.drain()
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


def test_bodies_that_arrive_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that begins many large requests is refused one, and free again when they end."""
    monkeypatch.setattr("aitbc_node.rpc.exchange.BODY_DEADLINE_S", 50.0)

    @live
    async def scene(site: Site) -> None:
        held: list[asyncio.StreamWriter] = []
        piece = bytes(limits.RPC_BODY_BYTES_MAX - 1)
        head = f"POST /tx HTTP/1.1\r\nHost: x\r\nContent-Length: {len(piece) + 1}\r\n\r\n".encode()
        replies = []
        for _ in range(bodies.PER_CLIENT_MAX // len(piece) + 1):
            reader, writer = await asyncio.open_connection(site.host, site.number)
            held.append(writer)
            replies.append(asyncio.ensure_future(read_response(reader)))
            with contextlib.suppress(ConnectionError):
                writer.write(head + piece)
                await writer.drain()

        done, _ = await asyncio.wait(replies, return_when=asyncio.FIRST_COMPLETED)

        status, headers, body = done.pop().result()
        assert (status, headers["connection"]) == (429, "close")
        assert json.loads(body)["error"]["code"] == "rate-limited"
        for reply in replies:
            reply.cancel()
        for writer in held:
            writer.close()
        await asyncio.gather(*replies, return_exceptions=True)

    scene()


@live
async def test_too_many_headers_are_400(site: Site) -> None:
    """So many small headers that each costs more to keep than to send are refused."""
    many = [f"x-{number}: 1" for number in range(connections.HEADERS_MAX)]

    reader, writer = await asyncio.open_connection(site.host, site.number)
    writer.write(a_get("/health", *many))

    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()


@live
async def test_head_of_a_stream_ends_at_once(site: Site) -> None:
    """HEAD tells what a stream is, and opens none."""
    reader, writer = await asyncio.open_connection(site.host, site.number)

    writer.write(b"HEAD /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert (await read_head(reader))[1]["content-type"] == "text/event-stream"
    assert await reader.read() == b""
    writer.close()


def test_one_client_gets_so_many_connections(
    eventually_async: Callable[..., Awaitable[None]],
) -> None:
    """One more is turned away with 503 and a time; another client gets in, and so does the next."""

    async def status_of(site: Site, address: str) -> tuple[int, dict[str, str]]:
        reader, writer = await asyncio.open_connection(
            site.host, site.number, local_addr=(address, 0)
        )
        writer.write(a_get("/health"))
        status, headers, _ = await read_response(reader)
        writer.close()
        return status, headers

    async def scene() -> None:
        crowd = connections.Crowd(per_client_max=3)
        async with serving(FakePort(), crowd=crowd) as site, asyncio.timeout(60):
            held = [await asyncio.open_connection(site.host, site.number) for _ in range(3)]
            await eventually_async("three connections", lambda: crowd.count == 3)

            status, headers = await status_of(site, "127.0.0.1")
            assert (status, headers["retry-after"]) == (503, "5")
            assert (await status_of(site, "127.0.0.9"))[0] == 200

            held.pop()[1].close()
            await eventually_async("a place", lambda: crowd.count < 3)
            assert (await status_of(site, "127.0.0.1"))[0] == 200
            for _, writer in held:
                writer.close()

    asyncio.run(scene())


def test_this_machine_has_places_of_its_own() -> None:
    """Strangers that take every other place leave those to whoever looks after the node."""
    crowd = connections.Crowd(connections_max=connections.OWN_PLACES + 2)

    strangers = [crowd.enter(f"10.0.0.{number}") for number in range(3)]
    own = [crowd.enter("127.0.0.1") for _ in range(connections.OWN_PLACES + 1)]

    assert strangers == [True, True, False]
    assert own == [True] * connections.OWN_PLACES + [False]
    assert crowd.turned_away == 2
    crowd.leave("10.0.0.0")
    assert crowd.enter("::1")
    assert not crowd.enter("10.0.0.7")


def test_no_stranger_has_more_than_a_share_of_the_connections() -> None:
    """Where there are few places in all, one address elsewhere still leaves most of them."""
    crowd = connections.Crowd(connections_max=512)

    taken = sum(crowd.enter("10.0.0.1") for _ in range(512))

    assert taken == 512 // 4
    assert sum(crowd.enter("127.0.0.1") for _ in range(512)) == 512 - taken


@pytest.mark.parametrize(
    "bytes_sent", [b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 64, b"GET\r\n\r\n"]
)
def test_garbage_is_400_and_the_server_goes_on(bytes_sent: bytes) -> None:
    """Bytes that are no HTTP end that connection only."""

    @live
    async def scene(site: Site) -> None:
        reader, writer = await asyncio.open_connection(site.host, site.number)
        writer.write(bytes_sent)
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()
        assert (await exchange(site, a_get("/health")))[0] == 200

    scene()


def test_stopping_ends_open_streams(caplog: pytest.LogCaptureFixture) -> None:
    """A server that stops ends its streams in good order, says no error, and frees the port."""

    async def scene() -> None:
        port = FakePort()
        async with serving(port) as site:
            reader, writer = await asyncio.open_connection(site.host, site.number)
            writer.write(a_get("/events"))
            await reader.readuntil(b": hello\n\n")
            began = time.monotonic()
        assert time.monotonic() - began < 5
        assert (await reader.read()).endswith(b"event: closing\ndata: {}\n\n\r\n0\r\n\r\n")
        assert port.hub.listeners == 0
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind((site.host, site.number))
        writer.close()

    asyncio.run(scene())
    assert caplog.records == []


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:x", ":80", "127.0.0.1:99999"])
def test_a_malformed_address_is_a_configuration_error(listen: str) -> None:
    """An address that cannot be listened on is refused with the key that names it."""
    with pytest.raises(ConfigError, match=r"rpc\.listen"):
        asyncio.run(public_server(FakePort(), listen=listen).start())


def test_a_taken_port_is_one_clear_line() -> None:
    """A port in use is named, with the command that shows who has it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]

        with pytest.raises(
            ConfigError, match=f"127.0.0.1:{taken}: the address is in use"
        ) as caught:
            asyncio.run(public_server(FakePort(), listen=f"127.0.0.1:{taken}").start())

    assert f"sport = :{taken}" in caught.value.hint
