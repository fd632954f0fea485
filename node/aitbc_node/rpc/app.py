"""How does an HTTP request reach the pure dispatch, and its answer the client?

Raw ASGI: each client pays for what it moves out of a bucket of its own, and streams cost a place in
a ring. Do not add routes or answers here.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aitbc_node import limits
from aitbc_node.codes import Code
from aitbc_node.events import TxOutcome
from aitbc_node.rpc.dispatch import answer_submission, dispatch
from aitbc_node.rpc.exchange import (
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
from aitbc_node.rpc.response import identity, refuse
from aitbc_node.rpc.route import Subscription
from aitbc_node.rpc.streams import Hub
from aitbc_node.rpc.submission import Submission
from aitbc_node.rpc.throttle import Throttle
from aitbc_node.rpc.view import Facts, NodeView, Reader, Request, RequestFault, Response

SUBMIT_DEADLINE_S = 10.0
KEEP_ALIVE_S = 15.0
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
        self._ids = RequestIds(name)
        self._changed: asyncio.Event | None = None
        self._is_closing = False
        port.hub.on_publish = self._wake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        assert scope["type"] == "http", scope["type"]
        headers = dict(scope["headers"])
        request = Request(method="", path="", request_id=self._ids.of(headers))
        client = str((scope.get("client") or ("",))[0])
        moved = Meter(send)
        try:
            self._admit(client)
            request = await read_request(scope, headers, receive, request_id=request.request_id)
            await self._answer(request, headers, receive, moved.send)
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
        self, request: Request, headers: Mapping[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        # So that height, blocks and fates in one answer, and across answers, never disagree.
        await self._port.settled()
        port = self._port
        match dispatch(request, port.facts, port.view, port.reader):
            case Response() as response:
                await send_whole(send, response)
            case Submission() as asked:
                await send_whole(send, await self._submit(asked, request))
            case Subscription(topics=topics, last_id=last_id):
                resumed = headers.get(b"last-event-id", last_id.encode()).decode("latin-1")
                await self._stream(request, topics, resumed, receive, send)

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

    async def _stream(
        self,
        request: Request,
        topics: frozenset[str],
        last_id: str,
        receive: Receive,
        send: Send,
    ) -> None:
        hub = self._port.hub
        if hub.listeners >= limits.EVENT_STREAMS_MAX:
            message = f"{hub.listeners} streams are open already"
            raise RequestFault(503, Code.E_UNAVAILABLE, message)
        place, first = hub.begin(last_id)
        head = Response(200, b"", "text/event-stream", (*_SSE_HEADERS, *identity(request)))
        gone = asyncio.ensure_future(_until_gone(receive))
        hub.listeners += 1
        try:
            await send_head(send, head, length=None)
            await send_part(send, first or b": hello\n\n")
            while not gone.done() and not self._is_closing:
                place, text = hub.read(place, topics)
                if text:
                    await send_part(send, text)
                elif not hub.has_news(place) and not await self._news(gone):
                    await send_part(send, b": still here\n\n")
            await send_end(send)
        finally:
            hub.listeners -= 1
            gone.cancel()

    def close(self) -> None:
        """End every stream in good order; new ones end at once."""
        self._is_closing = True
        self._wake()

    def _wake(self) -> None:
        """Wake every stream that waits; the next one to wait makes a new event."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def _news(self, gone: asyncio.Future[None]) -> bool:
        """Wait for an event or the client's end; False when neither came for a while."""
        if self._changed is None:
            self._changed = asyncio.Event()
        changed = asyncio.ensure_future(self._changed.wait())
        waiting: set[asyncio.Future[Any]] = {changed, gone}
        try:
            done, _ = await asyncio.wait(
                waiting, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED
            )
            return bool(done)
        finally:
            changed.cancel()


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
