"""Where are the signed transactions, before and after they are sent? In one file, mapped.

To sign takes twenty times as long as to send, so all of it is done before a run. A row of fixed
size says where each transaction is, and its id, so that a million of them cost no memory of ours.

Shape: the magic, the number of rows, where they begin; the pieces, one behind the other; the rows
(offset, size, id). A piece is a transaction as an element of a msgpack array, which is what
`POST /tx` takes.
"""

import mmap
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec

from aitbc_node.blocks import tx_id

_MAGIC = b"aitbcload1\n"
_HEAD = struct.Struct("<11sQQ")
_ROW = struct.Struct("<QI32s")


class Store:
    """Read the transactions of a run by their number, in the order in which they were signed."""

    def __init__(self, path: Path, *, raw_bytes: int) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._count: int
        self._rows: int
        magic, self._count, self._rows = _HEAD.unpack_from(self._map)
        assert magic == _MAGIC, "written by this module"
        self.bytes_mean = raw_bytes / max(1, self._count)
        """How large a transaction is, as it was signed."""

    def __len__(self) -> int:
        return self._count

    def piece(self, number: int) -> bytes:
        """Return a transaction as the element of a msgpack array."""
        offset, size, _ = self._row(number)
        return self._map[offset : offset + size]

    def row(self, number: int) -> tuple[bytes, bytes]:
        """Return the id and the piece of a transaction in one look."""
        offset, size, name = self._row(number)
        return name, self._map[offset : offset + size]

    def raw(self, number: int) -> bytes:
        """Return the very bytes that were signed."""
        return msgspec.msgpack.decode(self.piece(number), type=bytes)

    def id(self, number: int) -> bytes:
        """Return the id of a transaction."""
        return self._row(number)[2]

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()

    def _row(self, number: int) -> tuple[int, int, bytes]:
        assert 0 <= number < self._count, "a transaction of this run"
        offset, size, name = _ROW.unpack_from(self._map, self._rows + number * _ROW.size)
        return offset, size, name

    @classmethod
    def write(cls, path: Path, raws: Iterable[bytes]) -> Self:
        """Write transactions as they come, then open the file, which has no name any more then.

        Each run has its own bytes and no other reads them: the disk has its room back when this
        process ends, however it does.
        """
        encode = msgspec.msgpack.Encoder().encode
        rows = bytearray()
        offset, count, raw_bytes = _HEAD.size, 0, 0
        with path.open("wb") as file:
            file.write(bytes(_HEAD.size))
            for raw in raws:
                piece = encode(raw)
                file.write(piece)
                rows += _ROW.pack(offset, len(piece), tx_id(raw))
                offset += len(piece)
                count += 1
                raw_bytes += len(raw)
            file.write(rows)
            file.seek(0)
            file.write(_HEAD.pack(_MAGIC, count, offset))
        try:
            return cls(path, raw_bytes=raw_bytes)
        finally:
            path.unlink()
