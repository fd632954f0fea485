"""What did a node answer, and what does its stream of events say? Bytes in, values out.

Pure, so that every cut of the bytes can be tested. Only what our nodes write is read: a length or
chunks, JSON. Do not add sockets here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_HEAD_END = b"\r\n\r\n"
_HEAD_BYTES_MAX = 64 * 1024
_STATUS_AT = slice(9, 12)


class NotHttpError(Exception):
    """What came is no answer of a node."""


@dataclass(frozen=True, slots=True)
class Head:
    """Hold what the first lines say; a body in chunks has no `length` of its own."""

    status: int
    length: int
    begins: int
    """Where the body begins."""
    is_chunked: bool
    is_last: bool
    """The node closes the connection behind it."""


def head(data: bytes) -> Head | None:
    """Read the first lines of an answer; None while they are not all there.

    Raises: NotHttpError.
    """
    end = data.find(_HEAD_END)
    if end < 0:
        if len(data) > _HEAD_BYTES_MAX:
            raise NotHttpError("no end of the head")
        return None
    return _read(data[:end])


@lru_cache(maxsize=64)
def _read(lines: bytes) -> Head:
    """Read the lines of a head; remembered, because most of a node's answers have the same."""
    status = lines[_STATUS_AT]
    if not lines.startswith(b"HTTP/1.") or not status.isdigit():
        raise NotHttpError("no status")
    begins = len(lines) + len(_HEAD_END)
    lines = lines.lower()
    is_chunked = b"\r\ntransfer-encoding: chunked" in lines
    written = b"0" if is_chunked else _header(lines, b"\r\ncontent-length:")
    if not written.isdigit():
        raise NotHttpError("neither a length nor chunks")
    is_last = _header(lines, b"\r\nconnection:") == b"close"
    return Head(int(status), int(written), begins, is_chunked, is_last)


def _header(lines: bytes, name: bytes) -> bytes:
    _, found, rest = lines.partition(name)
    return rest.partition(b"\r\n")[0].strip() if found else b""


@dataclass(frozen=True, slots=True)
class Event:
    """Hold one event of a stream; its data lie in what came."""

    name: str
    data: bytes | memoryview


class Stream:
    """Take a stream of events in chunks apart, however it was cut on its way.

    A block's event has megabytes. Its pieces are put together once, when all are there, and its
    data are not copied out of that, which makes reading them a third cheaper.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        """What came and belongs to a chunk, or to a line with a size, that is not whole."""
        self._missing = 0
        """Of that chunk."""
        self._begun: list[bytes] = []
        """The beginning of a line that goes on in a chunk to come."""
        self._fields: dict[bytes, memoryview] = {}
        """Of the event that has begun."""

    def feed(self, data: bytes) -> list[Event]:
        """Take more bytes; return the events that are whole now. Raises: NotHttpError."""
        self._pieces.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return []
        data, at = b"".join(self._pieces), 0
        self._pieces.clear()
        self._missing = 0
        found: list[Event] = []
        while (end := data.find(b"\r\n", at)) >= 0:
            try:
                size = int(data[at:end], 16)
            except ValueError as wrong:
                raise NotHttpError("a chunk without a size") from wrong
            if size < 0:
                raise NotHttpError("a chunk of a size below zero")
            until = end + 2 + size
            if len(data) < until + 2:
                self._missing = until + 2 - len(data)
                break
            found += self._events(data, end + 2, until)
            at = until + 2
        if at < len(data):
            self._pieces.append(data[at:])
        return found

    def _events(self, data: bytes, at: int, until: int) -> Iterator[Event]:
        """Read the lines of a chunk; yield the events that end in it."""
        # One character is found ten times as fast as the two that an event ends with.
        while (end := data.find(b"\n", at, until)) >= 0:
            if self._begun:
                line = b"".join((*self._begun, data[at:end]))
                self._begun.clear()
                self._take(line, 0, len(line))
            elif end > at:
                self._take(data, at, end)
            else:
                fields, self._fields = self._fields, {}
                if b"event" in fields:
                    yield Event(str(fields[b"event"], "utf-8"), fields.get(b"data", b""))
            at = end + 1
        if at < until:
            self._begun.append(data[at:until])

    def _take(self, data: bytes, at: int, end: int) -> None:
        """Cut a line into its name and its value."""
        colon = data.find(b":", at, end)
        colon = end if colon < 0 else colon
        value = colon + (2 if data[colon + 1 : colon + 2] == b" " else 1)
        if colon > at:  # a line without a name is a comment
            self._fields[data[at:colon]] = memoryview(data)[value:end]
