"""What did a node answer, and what does its stream of events say? Bytes in, values out.

Pure, so that every cut of the bytes can be tested. Only what our nodes write is read: a length or
chunks, JSON. Do not add sockets here.
"""

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
    """Hold one event of a stream."""

    name: str
    data: bytes


class Stream:
    """Take a stream of events in chunks apart, however it was cut on its way."""

    def __init__(self) -> None:
        self._framed = bytearray()
        self._text = bytearray()
        self._fields: dict[bytes, bytes] = {}
        """Of the event that has begun."""
        self._searched = 0
        """So much of the text holds no end of a line: that of a block is a megabyte in pieces."""

    def feed(self, data: bytes) -> list[Event]:
        """Take more bytes; return the events that are whole now. Raises: NotHttpError."""
        self._framed += data
        self._unframe()
        found: list[Event] = []
        text, at = self._text, 0
        # One character is found ten times as fast as the two that an event ends with.
        while (end := text.find(b"\n", max(at, self._searched))) >= 0:
            if end > at:
                self._take(at, end)
            else:
                fields, self._fields = self._fields, {}
                if b"event" in fields:
                    found.append(Event(fields[b"event"].decode(), fields.get(b"data", b"")))
            at = end + 1
        del text[:at]
        self._searched = len(text)
        return found

    def _take(self, at: int, end: int) -> None:
        """Cut a line, without a copy of all of it: half of what reading it takes."""
        colon = self._text.find(b":", at, end)
        colon = end if colon < 0 else colon
        value = colon + (2 if self._text[colon + 1 : colon + 2] == b" " else 1)
        if colon > at:  # a line without a name is a comment
            self._fields[bytes(self._text[at:colon])] = bytes(memoryview(self._text)[value:end])

    def _unframe(self) -> None:
        """Move whole chunks over to the text."""
        at = 0
        while (end := self._framed.find(b"\r\n", at)) >= 0:
            try:
                size = int(self._framed[at:end], 16)
            except ValueError as wrong:
                raise NotHttpError("a chunk without a size") from wrong
            until = end + 2 + size
            if len(self._framed) < until + 2:
                break
            self._text += memoryview(self._framed)[end + 2 : until]
            at = until + 2
        del self._framed[:at]
