"""How does an HTTP request reach the pure dispatch, and its answer the client?

Raw ASGI: each client pays for what it moves out of a bucket of its own; a stream of events is left
to `fanout.py` once its head is written. Do not add routes or answers here.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from aitbc_node import limits
from aitbc_node.codes import Code
from aitbc_node.events import TxOutcome
from aitbc_node.rpc.bodies import Bodies
from aitbc_node.rpc.connections import WIRE, BoundedProtocol, Crowd, is_local
from aitbc_node.rpc.dispatch import answer_submission, dispatch
from aitbc_node.rpc.exchange import (
    ANSWER_DEADLINE_S,
    ClientGoneError,
    Meter,
    Receive,
    RequestIds,
    Scope,
    Send,
    read_request,
    send_end,
    send_head,
    send_part,
    send_whole,
)
from aitbc_node.rpc.fanout import Fan, Listener, PaidWire
from aitbc_node.rpc.response import identity, refuse
from aitbc_node.rpc.route import Subscription
from aitbc_node.rpc.streams import Hub
from aitbc_node.rpc.submission import Submission
from aitbc_node.rpc.throttle import Throttle
from aitbc_node.rpc.view import Facts, NodeView, Reader, Request, RequestFault, Response

SUBMIT_DEADLINE_S = 10.0
KEEP_ALIVE_S = 15.0
STREAM_SHARES = 10
"""Ten clients from elsewhere could have all streams; one on this machine may have every one."""
HTTP_OK = 200

_SSE_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))


class Port(Protocol):
    """Be what the server needs of the driver."""

    @property
    def facts(self) -> Facts:
        """Return what does not change."""

    @property
    def view(self) -> NodeView:
        """Return the machine, to be read between two of its steps."""

    @property
    def reader(self) -> Reader:
        """Return log, index and metrics."""

    @property
    def hub(self) -> Hub:
        """Return where events are published."""

    async def submit(self, raws: tuple[bytes, ...]) -> Sequence[TxOutcome]:
        """Hand transactions to the machine; return its outcomes in their order."""

    async def settled(self) -> None:
        """Wait until what the machine calls final is written; never for long."""


class App:
    """Answer HTTP requests for one node."""

    def __init__(self, port: Port, *, name: str, throttle: Throttle) -> None:
        self._port = port
        self._throttle = throttle
        self._bodies = Bodies()
        self._answers = Bodies("unread answers")
        self._places = Crowd(
            connections_max=limits.EVENT_STREAMS_MAX,
            per_client_max=limits.EVENT_STREAMS_MAX,
            shares=STREAM_SHARES,
        )
        self._ids = RequestIds(name)
        self._is_closing = False
        self._fan = Fan(port.hub, soon=lambda work: asyncio.get_running_loop().call_soon(work))
        self._streams: dict[Listener, asyncio.Future[None]] = {}
        self._looking: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        assert scope["type"] == "http", scope["type"]
        headers = dict(scope["headers"])
        request = Request(method="", path="", request_id=self._ids.of(headers))
        client = _client(scope)
        moved = Meter(send)
        try:
            self._admit(client)
            with self._bodies.of(client) as count:
                request = await read_request(
                    scope, headers, receive, request_id=request.request_id, count=count
                )
                await self._answer(request, scope, headers, moved.send)
        except RequestFault as fault:
            await send_whole(moved.send, refuse(fault, request))
        except (ClientGoneError, TimeoutError):
            return  # a client that is gone, or too slow to read its answer, gets no more of us
        finally:
            cost = len(request.body) + moved.byte_count
            self._throttle.pay(client, byte_count=cost, now_ms=_now_ms())

    def _admit(self, client: str) -> None:
        wait_s = self._throttle.wait_s(client, now_ms=_now_ms())
        if wait_s:
            message = "this address asks for more than its share"
            again = (("retry-after", str(wait_s)), ("connection", "close"))
            hint = "ask less often, for smaller pages, or keep an event stream open"
            raise RequestFault(429, Code.E_RATE, message, hint=hint, headers=again)

    async def _answer(
        self, request: Request, scope: Scope, headers: Mapping[bytes, bytes], send: Send
    ) -> None:
        # So that height, blocks and fates in one answer, and across answers, never disagree.
        await self._port.settled()
        port = self._port
        match dispatch(request, port.facts, port.view, port.reader):
            case Response() as response:
                await self._give(scope, response, send)
            case Submission() as asked:
                await send_whole(send, await self._submit(asked, request))
            case Subscription(topics=topics, last_id=last_id):
                resumed = headers.get(b"last-event-id", last_id.encode()).decode("latin-1")
                head = (*_SSE_HEADERS, *identity(request))
                client = _client(scope)
                with self._place_of(client):
                    place, first = port.hub.begin(resumed)
                    opened = Response(200, b"", "text/event-stream", head)
                    await send_head(send, opened, length=None)
                    if scope["method"] != "HEAD":
                        await send_part(send, first or b": hello\n\n")
                        await self._listen(scope["state"][WIRE], client, place, topics)
                    await send_end(send)

    async def _give(self, scope: Scope, response: Response, send: Send) -> None:
        """Write an answer, and wait until most of it has left.

        Raises: RequestFault while too much of earlier ones is not read, TimeoutError of this one.
        """
        with self._answers.of(_client(scope)) as count:
            count(len(response.body))
            await send_whole(send, response)
            # All of it is in the buffer of the connection by now, read or not.
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                await scope["state"][WIRE].flow.drain()

    async def _submit(self, asked: Submission, request: Request) -> Response:
        port = self._port
        try:
            async with asyncio.timeout(SUBMIT_DEADLINE_S):
                outcomes = await port.submit(asked.raws)
        except TimeoutError:
            message = f"no answer within {SUBMIT_DEADLINE_S:.0f} s; the outcome is unknown"
            hint = "hand in the same bytes again: a transaction is final at most once"
            fault = RequestFault(503, Code.E_UNAVAILABLE, message, hint=hint)
            return refuse(fault, request)
        return answer_submission(asked, outcomes, request, view=port.view, reader=port.reader)

    @contextmanager
    def _place_of(self, client: str) -> Iterator[None]:
        """Keep the place of one stream while it is open; there are so many, for each and for all.

        Raises: RequestFault where none is left.
        """
        if not self._places.enter(client):
            message = f"no stream is left for this address; {self._places.count} are open"
            raise RequestFault(503, Code.E_UNAVAILABLE, message)
        try:
            yield
        finally:
            self._places.leave(client)

    async def _listen(
        self, wire: BoundedProtocol, client: str, place: int, topics: frozenset[str]
    ) -> None:
        """Leave the connection to the fan until the client is gone or the node stops."""
        # What is heard on this machine is free: whoever looks after a node hears all of it.
        paid = PaidWire(wire, client=client, throttle=self._throttle, now_ms=_now_ms)
        heard = wire if is_local(client) else paid
        listener = Listener(heard, place=place, topics=topics)
        over = self._streams[listener] = asyncio.get_running_loop().create_future()
        wire.begin_stream(on_room=lambda: self._fan.serve(listener), on_lost=lambda: _settle(over))
        self._fan.join(listener)
        if self._looking is None:
            self._look()
        try:
            if not self._is_closing and not wire.transport.is_closing():
                await over
        finally:
            self._fan.leave(listener)
            paid.pay()
            wire.end_stream()
            del self._streams[listener]

    def close(self) -> None:
        """End every stream in good order, with a last event; new ones end at once."""
        self._is_closing = True
        if self._looking is not None:
            self._looking.cancel()
        self._fan.close()
        for over in self._streams.values():
            _settle(over)

    def _look(self) -> None:
        """Look after the streams now and then, while there are any."""
        self._fan.show_life()
        self._looking = None
        if self._streams and not self._is_closing:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_later(KEEP_ALIVE_S, self._look)


def _client(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _settle(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
