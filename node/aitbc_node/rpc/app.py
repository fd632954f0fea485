"""How does an HTTP request reach the pure dispatch, and its answer the client?

Raw ASGI: whatever a stranger sends is bounded in size and in time before it costs us more than it
costs them. Do not add routes or answers here.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec

from aitbc_node import limits
from aitbc_node.codes import Code
from aitbc_node.events import TxOutcome
from aitbc_node.rpc.dispatch import Outcome, answer_submission, dispatch, refuse
from aitbc_node.rpc.route import Subscription
from aitbc_node.rpc.streams import Hub
from aitbc_node.rpc.submission import Submission
from aitbc_node.rpc.view import Facts, NodeView, Reader, Request, RequestFault, Response

BODY_DEADLINE_S = 20.0
ANSWER_DEADLINE_S = 30.0
SUBMIT_DEADLINE_S = 10.0
KEEP_ALIVE_S = 15.0
OPTIONS_MAX = 16
HTTP_OK = 200
REQUEST_ID = "x-request-id"

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._:-]{1,64}$")
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


class ClientGoneError(Exception):
    """The client closed the connection; nobody is left to answer."""


class App:
    """Answer HTTP requests for one node."""

    def __init__(self, port: Port, *, name: str) -> None:
        self._port = port
        self._name = name
        self._numbers = itertools.count(1)
        self._changed: asyncio.Event | None = None
        self._audit: tuple[int, Response] | None = None
        port.hub.on_publish = self._wake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        assert scope["type"] == "http", scope["type"]
        headers = dict(scope["headers"])
        request = Request(method="", path="", request_id=self._request_id(headers))
        try:
            request = await _request(scope, headers, receive, request.request_id)
            await self._answer(request, headers, receive, send)
        except RequestFault as fault:
            await _send_whole(send, refuse(fault, request))
        except (ClientGoneError, TimeoutError):
            return  # a client that is gone, or too slow to read its answer, gets no more of us

    async def _answer(
        self, request: Request, headers: Mapping[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        match self._dispatched(request):
            case Response() as response:
                await _send_whole(send, response)
            case Submission() as asked:
                await _send_whole(send, await self._submit(asked, request))
            case Subscription(topics=topics, last_id=last_id):
                resumed = headers.get(b"last-event-id", last_id.encode()).decode("latin-1")
                await self._stream(request, topics, resumed, receive, send)

    def _dispatched(self, request: Request) -> Outcome:
        """Dispatch; an audit walks over all accounts, so one serves everybody until the next block.

        Anything else is cheap enough to be worked out for each client.
        """
        port = self._port
        if (request.method, request.path) != ("GET", "/audit") or request.query:
            return dispatch(request, port.facts, port.view, port.reader)
        height = port.view.height
        if self._audit is None or self._audit[0] != height:
            outcome = dispatch(request, port.facts, port.view, port.reader)
            if not isinstance(outcome, Response) or outcome.status != HTTP_OK:
                return outcome
            self._audit = (height, outcome)
        kept = self._audit[1]
        others = [pair for pair in kept.headers if pair[0] != REQUEST_ID]
        return msgspec.structs.replace(kept, headers=(*_identity(request), *others))

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
        head = Response(200, b"", "text/event-stream", (*_SSE_HEADERS, *_identity(request)))
        gone = asyncio.ensure_future(_until_gone(receive))
        hub.listeners += 1
        try:
            await _send_head(send, head, length=None)
            await _send_part(send, first or b": hello\n\n")
            while not gone.done():
                place, text = hub.read(place, topics)
                if text:
                    await _send_part(send, text)
                elif not hub.has_news(place) and not await self._news(gone):
                    await _send_part(send, b": still here\n\n")
        finally:
            hub.listeners -= 1
            gone.cancel()

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

    def _request_id(self, headers: Mapping[bytes, bytes]) -> str:
        """Take the client's id for its request when it has one, so that its logs and ours meet."""
        given = headers.get(b"x-request-id", b"")
        if _REQUEST_ID.match(given):
            return given.decode()
        return f"{self._name}-{next(self._numbers)}"


def _identity(request: Request) -> tuple[tuple[str, str], ...]:
    return ((REQUEST_ID, request.request_id),)


async def _request(
    scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, request_id: str
) -> Request:
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    request = Request(
        method=method,
        path=scope["path"],
        query=_query(scope["query_string"]),
        content_type=_content_type(headers),
        request_id=request_id,
        wall_ms=time.time_ns() // 1_000_000,
    )
    if method == "GET":
        return request
    return msgspec.structs.replace(request, body=await _body(headers, receive))


def _query(text: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(
            text.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=OPTIONS_MAX,
            errors="strict",
        )
    except ValueError as error:
        raise RequestFault(400, Code.E_BAD_REQUEST, str(error), field="query") from error


def _content_type(headers: Mapping[bytes, bytes]) -> str:
    given = headers.get(b"content-type", b"application/json").decode("latin-1")
    return given.partition(";")[0].strip().lower()


async def _body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limits.RPC_BODY_BYTES_MAX:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > limits.RPC_BODY_BYTES_MAX:
                    raise _too_large()
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError as error:
        message_ = f"the body did not arrive within {BODY_DEADLINE_S:.0f} s"
        closing = (("connection", "close"),)
        raise RequestFault(
            408, Code.E_BAD_REQUEST, message_, field="body", headers=closing
        ) from error


def _too_large() -> RequestFault:
    message = f"more than {limits.RPC_BODY_BYTES_MAX} bytes"
    closing = (("connection", "close"),)
    return RequestFault(413, Code.E_SIZE, message, field="body", headers=closing)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_whole(send: Send, response: Response) -> None:
    async with asyncio.timeout(ANSWER_DEADLINE_S):
        await _send_head(send, response, length=len(response.body))
        await send({"type": "http.response.body", "body": response.body})


async def _send_head(send: Send, response: Response, *, length: int | None) -> None:
    headers = [("content-type", response.content_type), *response.headers]
    if length is not None:
        headers.append(("content-length", str(length)))
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": list(_encoded(headers)),
        }
    )


async def _send_part(send: Send, text: bytes) -> None:
    async with asyncio.timeout(ANSWER_DEADLINE_S):
        await send({"type": "http.response.body", "body": text, "more_body": True})


def _encoded(headers: Iterable[tuple[str, str]]) -> Iterable[tuple[bytes, bytes]]:
    for name, value in headers:
        yield name.encode("latin-1"), value.encode("latin-1")
