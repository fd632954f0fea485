"""How is the ledger's state kept beside the log, so that a start need not execute every block?

Two files take turns, so that the older one is whole while the newer is written. A file that is
torn, damaged or of a later format is as good as none: the log still has everything. Whether a
snapshot is *true* is not decided here: `resuming.py` compares its root with the block's header.

Shape: `magic(8) version(u32) sha256(32)`, then rows of `length(u32)` and canonical bytes: first
`[chain, height, block id, voters]`, then `[kind, name, object]` for each object of the state.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator

import msgspec

from aitbc_node.canonical import NotCanonicalError, Record, decode, encode
from aitbc_node.events import SaveSnapshot
from aitbc_node.limits import KIB
from aitbc_node.storage.disk import Disk
from aitbc_node.types import BlockId, Hash, Height
from aitbc_node.validators import ValidatorSet

SLOTS = ("snapshot.0", "snapshot.1")
MAGIC = b"AITBCSNP"
VERSION = 1

_HEAD = struct.Struct(">8sI32s")
_LENGTH = struct.Struct(">I")
_TITLE_BYTES_MAX = 64 * KIB


class Row(Record, frozen=True):
    """Be one object of the state; `content` are its canonical bytes."""

    kind: str
    name: bytes
    content: bytes


class _Title(Record, frozen=True):
    chain: Hash
    height: Height
    block_id: BlockId
    voters: ValidatorSet


class Snapshot(msgspec.Struct, frozen=True):
    """Be a state as it was read from a file, not yet believed; `voters` made its block final.

    Shape: `rows` are read while iterated, once; NotCanonicalError says that one is none.
    """

    height: Height
    block_id: BlockId
    voters: ValidatorSet
    rows: Iterable[Row]


class Snapshots:
    """Keep states of one chain in a data folder."""

    def __init__(
        self, disk: Disk, *, chain: Hash, on_progress: Callable[[], None] = lambda: None
    ) -> None:
        self._disk = disk
        self._chain = chain
        self._on_progress = on_progress

    def save(self, wanted: SaveSnapshot) -> int:
        """Write a snapshot in place of the older one; return its bytes.

        Raises: DiskUnavailableError when there is no room; what is there stays.
        """
        data = _encoded(self._chain, wanted)
        self._disk.replace(min(SLOTS, key=self._height_in), data)
        return len(data)

    def load(self, *, height_max: Height) -> Iterator[Snapshot]:
        """Yield every whole snapshot up to a height, the newest first; each is read when asked."""
        for slot in sorted(SLOTS, key=self._height_in, reverse=True):
            if 0 <= self._height_in(slot) <= height_max:
                found = self._loaded(slot)
                if found is not None:
                    yield found

    def _height_in(self, slot: str) -> int:
        """Return the height that a file claims to be of; -1 for one of no use."""
        start = self._read(slot, 0, _HEAD.size + _LENGTH.size)
        if not _is_known(start) or len(start) < _HEAD.size + _LENGTH.size:
            return -1
        (length,) = _LENGTH.unpack_from(start, _HEAD.size)
        title = _title(self._read(slot, len(start), min(length, _TITLE_BYTES_MAX)))
        return title.height if title is not None and title.chain == self._chain else -1

    def _loaded(self, slot: str) -> Snapshot | None:
        data = self._read(slot)
        body = memoryview(data)[_HEAD.size :]
        if not _is_known(data) or hashlib.sha256(body).digest() != _HEAD.unpack_from(data)[2]:
            return None
        pieces = _cut(body)
        try:
            title = _title(next(pieces, b""))
        except NotCanonicalError:
            return None
        if title is None or title.chain != self._chain:
            return None
        return Snapshot(title.height, title.block_id, title.voters, self._rows(pieces))

    def _rows(self, pieces: Iterable[bytes]) -> Iterator[Row]:
        for piece in pieces:
            self._on_progress()
            yield decode(piece, Row)

    def _read(self, slot: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._disk.read(slot, offset, length) if self._disk.exists(slot) else b""


def _encoded(chain: Hash, wanted: SaveSnapshot) -> bytes:
    title = encode(_Title(chain, wanted.height, wanted.block_id, wanted.voters))
    body = bytearray(_LENGTH.pack(len(title)) + title)
    # Row by row, so that whoever shares the interpreter with this thread gets a turn in between.
    for (kind, name), record in wanted.contents.items():
        row = encode(Row(kind, name, encode(record)))
        body += _LENGTH.pack(len(row)) + row
    return _HEAD.pack(MAGIC, VERSION, hashlib.sha256(body).digest()) + body


def _cut(body: memoryview) -> Iterator[bytes]:
    """Cut a body into its rows; a length that is too large gives one that cannot be read."""
    at = 0
    while at < len(body):
        end = at + _LENGTH.size
        length = int.from_bytes(body[at:end], "big")
        yield bytes(body[end : end + length])
        at = end + length


def _is_known(data: bytes) -> bool:
    if len(data) < _HEAD.size:
        return False
    magic, version, _ = _HEAD.unpack_from(data)
    return bool(magic == MAGIC and version == VERSION)


def _title(data: bytes) -> _Title | None:
    try:
        return decode(data, _Title)
    except NotCanonicalError:
        return None
