"""How is a request read from ASGI, and a response written, without costing us what it may not?

Bodies and answers are bounded in bytes and in time. Do not add what a request means.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from aitbc_node import limits
from aitbc_node.codes import Code
from aitbc_node.rpc.response import REQUEST_ID
from aitbc_node.rpc.view import Request, RequestFault, Response

BODY_DEADLINE_S = 20.0
ANSWER_DEADLINE_S = 30.0
OPTIONS_MAX = 16

_ID = re.compile(rb"^[A-Za-z0-9._:-]{1,64}$")

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class ClientGoneError(Exception):
    """The client closed the connection; nobody is left to answer."""


class Meter:
    """Pass on what is sent, and count the bytes of bodies."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.byte_count = 0

    async def send(self, message: dict[str, Any]) -> None:
        """Pass on one message."""
        self.byte_count += len(message.get("body", b""))
        await self._send(message)


class RequestIds:
    """Name requests: as the client did, so that its logs and ours meet, or by a number."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = itertools.count(1)

    def of(self, headers: Mapping[bytes, bytes]) -> str:
        """Return the id of a request."""
        given = headers.get(REQUEST_ID.encode(), b"")
        return given.decode() if _ID.match(given) else f"{self._name}-{next(self._numbers)}"


def _uncounted(_byte_count: int) -> None:
    pass


async def read_request(
    scope: Scope,
    headers: Mapping[bytes, bytes],
    receive: Receive,
    *,
    request_id: str,
    bytes_max: int = limits.RPC_BODY_BYTES_MAX,
    count: Callable[[int], None] = _uncounted,
) -> Request:
    """Read one request, body and all; `count` hears of its bytes as they come.

    Raises: RequestFault for what is malformed, too large or too slow; ClientGoneError.
    """
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    request = Request(
        method=method,
        path=scope["path"],
        query=_query(scope["query_string"]),
        content_type=_content_type(headers),
        request_id=request_id,
        wall_ms=time.time_ns() // 1_000_000,
        is_brief=_is_brief(headers),
    )
    if method == "GET":
        return request
    return msgspec.structs.replace(request, body=await _body(headers, receive, bytes_max, count))


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


def _is_brief(headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether the least is wanted (RFC 7240, 4.2); whatever else is preferred is ignored."""
    preferred = headers.get(b"prefer", b"").lower().split(b",")
    return any(each.partition(b";")[0].strip() == b"return=minimal" for each in preferred)


async def _body(
    headers: Mapping[bytes, bytes],
    receive: Receive,
    bytes_max: int,
    count: Callable[[int], None],
) -> bytes:
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > bytes_max:
        raise _too_large(bytes_max)
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
                count(len(chunks[-1]))
                if size > bytes_max:
                    raise _too_large(bytes_max)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError as error:
        message_ = f"the body did not arrive within {BODY_DEADLINE_S:.0f} s"
        closing = (("connection", "close"),)
        raise RequestFault(
            408, Code.E_BAD_REQUEST, message_, field="body", headers=closing
        ) from error


def _too_large(bytes_max: int) -> RequestFault:
    message = f"more than {bytes_max} bytes"
    closing = (("connection", "close"),)
    return RequestFault(413, Code.E_SIZE, message, field="body", headers=closing)


async def send_whole(send: Send, response: Response) -> None:
    """Write one response.

    Raises: TimeoutError when the client does not read it.
    """
    async with asyncio.timeout(ANSWER_DEADLINE_S):
        await send_head(send, response, length=len(response.body))
        await send({"type": "http.response.body", "body": response.body})


async def send_head(send: Send, response: Response, *, length: int | None) -> None:
    """Write status and headers; without a length, parts follow."""
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


async def send_part(send: Send, text: bytes) -> None:
    """Write a part of an answer that has no end yet."""
    async with asyncio.timeout(ANSWER_DEADLINE_S):
        await send({"type": "http.response.body", "body": text, "more_body": True})


async def send_end(send: Send) -> None:
    """End an answer that was sent in parts."""
    async with asyncio.timeout(ANSWER_DEADLINE_S):
        await send({"type": "http.response.body", "body": b""})


def _encoded(headers: Iterable[tuple[str, str]]) -> Iterable[tuple[bytes, bytes]]:
    for name, value in headers:
        yield name.encode("latin-1"), value.encode("latin-1")
