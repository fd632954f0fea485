"""How is the ledger's state kept beside the log, for a start of its own and for others to fetch?

Two files take turns, so that the older one is whole while the newer is written. A file that is
torn, damaged or of another format is as good as none: the log still has everything. Whether a
snapshot is *true* is not decided here: `resuming.py` compares its root with the block's header.

Shape: `magic(8) version(u32) sha256(32)`, then rows of `length(u32)` and canonical bytes. The first
row is the `Offer`, which the hash covers; it names the pieces of the body by their hashes. The body
is the block, then `[kind, name, object]` for each object of the state, in one order for all nodes.
What comes from peers is gathered, piece by piece, in a file that nothing else looks at.
"""

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from aitbc_node.blocks import Block
from aitbc_node.canonical import NotCanonicalError, Record, decode, encode
from aitbc_node.crypto import sha256
from aitbc_node.events import SaveSnapshot
from aitbc_node.limits import FRAME_BYTES_MAX, OFFER_BYTES_MAX, PIECE_BYTES
from aitbc_node.lineage import Contents, Link, Offer
from aitbc_node.storage.disk import Disk, DiskUnavailableError
from aitbc_node.types import BlockId, Hash, Height
from aitbc_node.validators import ValidatorSet

SLOTS = ("snapshot.0", "snapshot.1")
GATHERED = "snapshot.part"
MAGIC = b"AITBCSNP"
VERSION = 2

ROW_BYTES_MAX = FRAME_BYTES_MAX
"""A block fits into a frame, and no object is as large as a block."""

_HEAD = struct.Struct(">8sI32s")
_LENGTH = struct.Struct(">I")


class Row(Record, frozen=True):
    """Be one object of the state; `content` are its canonical bytes."""

    kind: str
    name: bytes
    content: bytes


class Snapshot(msgspec.Struct, frozen=True):
    """Be a state as it was read from a file, not yet believed.

    Shape: `rows` are read while iterated, once; NotCanonicalError says that one is none.
    """

    offer: Offer
    block: Block
    rows: Iterable[Row]

    @property
    def height(self) -> Height:
        """Return of which block this is the state."""
        return self.offer.height

    @property
    def block_id(self) -> BlockId:
        """Name the block."""
        return self.offer.contents.block_id

    @property
    def voters(self) -> ValidatorSet:
        """Return who made the block final."""
        return self.offer.links[-1].voters

    @property
    def lineage(self) -> tuple[Link, ...]:
        """Return the links at which the voters changed, up to this block."""
        return tuple(link for link in self.offer.links if link.changes_voters)


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
        body = _body_of(wanted.block, wanted.contents)
        last = wanted.links[-1]
        pieces = tuple(sha256(piece) for piece in _pieces(body))
        contents = Contents(self._chain, last.height, last.certificate.block_id, len(body), pieces)
        return self._write(Offer(contents, wanted.links), _pieces(body))

    def load(self, *, height_max: Height) -> Iterator[Snapshot]:
        """Yield every whole snapshot up to a height, the newest first; each is read when asked."""
        for slot in sorted(SLOTS, key=self._height_in, reverse=True):
            if 0 <= self._height_in(slot) <= height_max:
                found = self._loaded(slot)
                if found is not None:
                    yield found

    # For peers.

    def offered(self, above: Height) -> Offer | None:
        """Return what the newest file has to give, when it is of a block above a height."""
        slot = max(SLOTS, key=self._height_in)
        offer = self._offer_in(slot)
        return offer if offer is not None and offer.height > above else None

    def piece(self, name: Hash, index: int) -> bytes:
        """Return a piece of what was offered by this name; nothing when it is gone, or damaged."""
        for slot in SLOTS:
            offer = self._offer_in(slot)
            if offer is not None and offer.contents.name() == name:
                hashes = offer.contents.pieces
                start = self._body_at(slot) + index * PIECE_BYTES
                length = min(PIECE_BYTES, offer.contents.size - index * PIECE_BYTES)
                if index < len(hashes):
                    data = self._read(slot, start, length)
                    return data if sha256(data) == hashes[index] else b""
        return b""

    # From peers.

    def gather(self, index: int, data: bytes) -> None:
        """Keep a piece until all are here.

        Raises: DiskUnavailableError when there is no room.
        """
        self._disk.write_at(GATHERED, index * PIECE_BYTES, data)

    def forget_gathered(self) -> None:
        """Drop what was gathered, of whichever snapshot it was."""
        if self._disk.exists(GATHERED):
            self._disk.truncate(GATHERED, 0)

    def gathered(self, offer: Offer) -> Snapshot | None:
        """Read what was gathered; None when what was offered is no snapshot.

        Raises: DiskUnavailableError when the pieces that came are not all here.
        """
        if not self._is_whole(offer, GATHERED, 0):
            raise DiskUnavailableError(f"{GATHERED}: a piece that came is not there")
        return self._snapshot(offer, GATHERED, 0)

    def adopt(self, offer: Offer) -> None:
        """Let what was gathered be the newest snapshot, durably.

        Raises: DiskUnavailableError when there is no room.
        """
        self._write(offer, self._pieces_in(GATHERED, 0, offer.contents.size))
        self.forget_gathered()

    def _write(self, offer: Offer, body: Iterable[bytes]) -> int:
        title = encode(offer)
        head = _HEAD.pack(MAGIC, VERSION, sha256(title)) + _LENGTH.pack(len(title)) + title
        self._disk.replace(min(SLOTS, key=self._height_in), head, body)
        return len(head) + offer.contents.size

    def _height_in(self, slot: str) -> int:
        """Return the height that a file claims to be of; -1 for one of no use."""
        offer = self._offer_in(slot)
        return -1 if offer is None else offer.height

    def _offer_in(self, slot: str) -> Offer | None:
        start = self._read(slot, 0, _HEAD.size + _LENGTH.size)
        if len(start) < _HEAD.size + _LENGTH.size:
            return None
        magic, version, checksum = _HEAD.unpack_from(start)
        (length,) = _LENGTH.unpack_from(start, _HEAD.size)
        if (magic, version) != (MAGIC, VERSION) or length > OFFER_BYTES_MAX:
            return None
        title = self._read(slot, len(start), length)
        if sha256(title) != checksum:
            return None
        try:
            offer = decode(title, Offer)
        except NotCanonicalError:
            return None
        return offer if offer.contents.chain == self._chain and offer.links else None

    def _body_at(self, slot: str) -> int:
        start = self._read(slot, _HEAD.size, _LENGTH.size)
        return _HEAD.size + _LENGTH.size + int.from_bytes(start, "big")

    def _loaded(self, slot: str) -> Snapshot | None:
        offer = self._offer_in(slot)
        if offer is None:
            return None
        start = self._body_at(slot)
        is_whole = self._disk.size(slot) == start + offer.contents.size
        if not is_whole or not self._is_whole(offer, slot, start):
            return None
        return self._snapshot(offer, slot, start)

    def _snapshot(self, offer: Offer, slot: str, start: int) -> Snapshot | None:
        rows = _cut(self._pieces_in(slot, start, offer.contents.size))
        try:
            block = decode(next(rows, b""), Block)
        except NotCanonicalError:
            return None
        return Snapshot(offer, block, self._rows(rows))

    def _is_whole(self, offer: Offer, slot: str, start: int) -> bool:
        found = self._pieces_in(slot, start, offer.contents.size)
        return tuple(map(sha256, found)) == offer.contents.pieces

    def _pieces_in(self, slot: str, start: int, size: int) -> Iterator[bytes]:
        """Read a body a piece at a time: it may be larger than the memory."""
        for at in range(0, size, PIECE_BYTES):
            self._on_progress()
            yield self._read(slot, start + at, min(PIECE_BYTES, size - at))

    def _rows(self, pieces: Iterable[bytes]) -> Iterator[Row]:
        for piece in pieces:
            self._on_progress()
            yield decode(piece, Row)

    def _read(self, slot: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._disk.read(slot, offset, length) if self._disk.exists(slot) else b""


def _body_of(block: Block, contents: Mapping[tuple[str, bytes], object]) -> bytearray:
    first = encode(block)
    body = bytearray(_LENGTH.pack(len(first)) + first)
    # Row by row, so that whoever shares the interpreter with this thread gets a turn in between.
    for kind, name in _in_order(contents):
        row = encode(Row(kind, name, encode(contents[kind, name])))
        body += _LENGTH.pack(len(row)) + row
    return body


def _in_order(keys: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Sort keys a shelf at a time: to sort them all at once would hold the interpreter too long."""
    shelves: dict[tuple[str, bytes], list[tuple[str, bytes]]] = defaultdict(list)
    for key in keys:
        shelves[key[0], key[1][:1]].append(key)
    for shelf in sorted(shelves):
        yield from sorted(shelves[shelf])


def _pieces(body: bytes | bytearray) -> Iterator[bytes]:
    for start in range(0, len(body), PIECE_BYTES):
        yield bytes(body[start : start + PIECE_BYTES])


def _cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a body into its rows; one that is too long, or ends too early, cannot be read."""
    held = bytearray()
    for piece in pieces:
        held += piece
        at = 0
        while (start := at + _LENGTH.size) <= len(held):
            length = int.from_bytes(held[at:start], "big")
            if length > ROW_BYTES_MAX:
                yield b""
                return
            if start + length > len(held):
                break
            at = start + length
            yield bytes(held[start:at])
        del held[:at]
    if held:
        yield b""
