"""Where are the signed transactions, before and after they are sent? In one file, mapped.

To sign takes twenty times as long as to send, so all of it is done before a run, and so is the
writing of the requests. Rows of fixed size say where each request and each transaction is, so
that a million of them cost no memory of ours.

Shape: the magic, counts, where rows begin; the requests, each of which ends with the transactions
of one hand-in, and behind each their ids, in the digits that nodes write; the rows (offset, size)
of all requests, then of all transactions. A piece is a transaction as an element of a msgpack
array, which is what `POST /tx` takes.
"""

import mmap
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import msgspec

from aitbc_load.names import ID_CHARS
from aitbc_node.blocks import tx_id

_MAGIC = b"aitbcload3\n"
_HEAD = struct.Struct("<11sIQQ")
_ROW = struct.Struct("<QI")
_FLAGS = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
"""All pages are there before the run, where the system can do that: to meet them during it, 16 at
a time, was a hundredth of what a hand-in of 50 takes. Without room for all it gives some up."""

Frame = Callable[[int, int, int], bytes]
"""Writes what stands before the pieces of a hand-in: of its place, their count and their bytes."""


class Store:
    """Read the transactions of a run by their number, in the order in which they were signed."""

    def __init__(self, path: Path, *, raw_bytes: int) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, flags=_FLAGS, prot=mmap.PROT_READ)
        self._batch: int
        self._count: int
        self._hand_ins: int
        self._view = memoryview(self._map)
        magic, self._batch, self._count, self._hand_ins = _HEAD.unpack_from(self._map)
        assert magic == _MAGIC, "written by this module"
        self.bytes_mean = raw_bytes / max(1, self._count)
        """How large a transaction is, as it was signed."""
        self._rows = self._hand_ins + self._count // self._batch * _ROW.size

    def __len__(self) -> int:
        return self._count

    def hand_in(self, place: int) -> tuple[memoryview, str]:
        """Return a whole request, as it lies in the file, and the ids of its transactions.

        Shape: the ids stand behind each other, 64 hex digits each.
        """
        assert 0 <= place < self._count // self._batch, "enough were signed for the schedule"
        offset, size = _ROW.unpack_from(self._map, self._hand_ins + place * _ROW.size)
        end = offset + size
        ids = self._view[end : end + self._batch * ID_CHARS]
        return self._view[offset:end], str(ids, "ascii")

    def piece(self, number: int) -> bytes:
        """Return a transaction as the element of a msgpack array."""
        assert 0 <= number < self._count, "a transaction of this run"
        offset, size = _ROW.unpack_from(self._map, self._rows + number * _ROW.size)
        return self._map[offset : offset + size]

    def raw(self, number: int) -> bytes:
        """Return the very bytes that were signed."""
        return msgspec.msgpack.decode(self.piece(number), type=bytes)

    def id(self, number: int) -> str:
        """Return the id of a transaction."""
        assert 0 <= number < self._count, "a transaction of this run"
        place, before = divmod(number, self._batch)
        offset, size = _ROW.unpack_from(self._map, self._hand_ins + place * _ROW.size)
        at = offset + size + before * ID_CHARS
        return str(self._view[at : at + ID_CHARS], "ascii")

    def close(self) -> None:
        """Let go of the file, which no request is read from any more."""
        self._view.release()
        self._map.close()

    @classmethod
    def write(cls, path: Path, hand_ins: Iterable[Sequence[bytes]], frame: Frame) -> Self:
        """Write hand-ins, each of as many transactions, as they come; then open the file.

        It has no name any more then. Each run has its own bytes and no other reads them: the disk
        has its room back when this process ends, however it does.
        """
        encode = msgspec.msgpack.Encoder().encode
        requests, rows = bytearray(), bytearray()
        offset, count, batch, raw_bytes = _HEAD.size, 0, 0, 0
        with path.open("wb") as file:
            file.write(bytes(_HEAD.size))
            for place, raws in enumerate(hand_ins):
                assert batch in {0, len(raws)}, "all hand-ins are as large"
                pieces = [encode(raw) for raw in raws]
                front = frame(place, len(pieces), sum(map(len, pieces)))
                request = b"".join((front, *pieces))
                ids = "".join(tx_id(raw).hex() for raw in raws).encode()
                file.write(request + ids)
                requests += _ROW.pack(offset, len(request))
                at = offset + len(front)
                for piece in pieces:
                    rows += _ROW.pack(at, len(piece))
                    at += len(piece)
                batch, count, offset = len(raws), count + len(raws), at + len(ids)
                raw_bytes += sum(map(len, raws))
            file.write(requests + rows)
            file.seek(0)
            file.write(_HEAD.pack(_MAGIC, batch, count, offset))
        try:
            return cls(path, raw_bytes=raw_bytes)
        finally:
            path.unlink()
