"""How does an HTTP request reach the pure dispatch, and its answer the client?

Raw ASGI: each client pays for what it moves out of a bucket of its own; a stream of events is left
to `fanout.py` once its head is written. Do not add routes or answers here.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
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
from aitbc_node.rpc.post import Post, answer_publication
from aitbc_node.rpc.response import BRIEF, identity, refuse
from aitbc_node.rpc.route import Publication, Subscription
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

    @property
    def post(self) -> Post:
        """Return where messages of accounts are handed out."""

    async def submit(self, raws: tuple[bytes, ...]) -> Sequence[TxOutcome]:
        """Hand transactions to the machine; return its outcomes in their order."""

    async def publish(self, raw: bytes) -> Sequence[TxOutcome]:
        """Hand a message of an account to the machine; return its one outcome."""

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
        hubs = {"events": port.hub, "topics": port.post.topics, "mail": port.post.mail}
        self._fans = {source: Fan(hub, soon=_soon) for source, hub in hubs.items()}
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
            case Publication(raw=raw):
                outcomes = await self._handed_in(port.publish(raw))
                await send_whole(send, answer_publication(outcomes, request))
            case Subscription() as wanted:
                await self._stream(wanted, request, scope, headers, send)

    async def _stream(
        self,
        wanted: Subscription,
        request: Request,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        send: Send,
    ) -> None:
        """Write the head of a stream, and all that comes until either side ends it."""
        hub = self._port.hub
        if wanted.source != "events":
            hub = self._port.post.hub(wanted.source)
        resumed = headers.get(b"last-event-id", wanted.last_id.encode()).decode("latin-1")
        client = _client(scope)
        with self._place_of(client):
            place, first = hub.begin(resumed, from_oldest=wanted.source == "mail")
            if place < hub.oldest:  # told of the gap, or it would be cut off for it again
                place, first = hub.read(place, wanted.topics, is_brief=wanted.is_brief)
            head = (*_SSE_HEADERS, *identity(request), *(BRIEF if wanted.is_brief else ()))
            await send_head(send, Response(200, b"", "text/event-stream", head), length=None)
            if scope["method"] != "HEAD":
                await send_part(send, first or b": hello\n\n")
                await self._listen(scope["state"][WIRE], client, place, wanted)
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
        outcomes = await self._handed_in(port.submit(asked.raws))
        return answer_submission(asked, outcomes, request, view=port.view, reader=port.reader)

    async def _handed_in(self, outcomes: Awaitable[Sequence[TxOutcome]]) -> Sequence[TxOutcome]:
        """Wait for what the machine says. Raises: RequestFault where it says nothing in time."""
        try:
            async with asyncio.timeout(SUBMIT_DEADLINE_S):
                return await outcomes
        except TimeoutError as error:
            message = f"no answer within {SUBMIT_DEADLINE_S:.0f} s; the outcome is unknown"
            hint = "hand in the same bytes again: they are taken at most once"
            raise RequestFault(503, Code.E_UNAVAILABLE, message, hint=hint) from error

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
        self, wire: BoundedProtocol, client: str, place: int, wanted: Subscription
    ) -> None:
        """Leave the connection to the fan until the client is gone or the node stops."""
        # What is heard on this machine is free: whoever looks after a node hears all of it.
        paid = PaidWire(wire, client=client, throttle=self._throttle, now_ms=_now_ms)
        heard = wire if is_local(client) else paid
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        fan, is_post = self._fans[wanted.source], wanted.source != "events"
        end = lambda: _settle(over)  # noqa: E731 - what ends it, twice
        listener = Listener(
            heard,
            place=place,
            topics=wanted.topics,
            is_brief=wanted.is_brief,
            on_behind=end if is_post else None,
        )
        self._streams[listener] = over
        wire.begin_stream(on_room=lambda: fan.serve(listener), on_lost=end)
        fan.join(listener)
        if self._looking is None:
            self._look()
        try:
            if not self._is_closing and not wire.transport.is_closing():
                await over
        finally:
            fan.leave(listener)
            paid.pay()
            wire.end_stream()
            del self._streams[listener]

    def close(self) -> None:
        """End every stream in good order, with a last event; new ones end at once."""
        self._is_closing = True
        if self._looking is not None:
            self._looking.cancel()
        for fan in self._fans.values():
            fan.close()
        for over in self._streams.values():
            _settle(over)

    def _look(self) -> None:
        """Look after the streams now and then, while there are any."""
        for fan in self._fans.values():
            fan.show_life()
        self._looking = None
        if self._streams and not self._is_closing:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_later(KEEP_ALIVE_S, self._look)


def _soon(work: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_soon(work)


def _client(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _settle(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
