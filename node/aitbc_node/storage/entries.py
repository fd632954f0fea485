"""How do blocks and certificates lie in the records of the log?

Do not add order or places: which record may follow which is `store.py`'s question.

Shape: a block's record is its id, its height (u64) and the block; a certificate's is its bytes.
"""

from aitbc_node.blocks import Block, Certificate
from aitbc_node.canonical import NotCanonicalError, T, decode, encode
from aitbc_node.errors import DiskError
from aitbc_node.storage.log import Entry
from aitbc_node.types import BlockId, Height

BLOCK = 1
CERTIFICATE = 2
TRANSACTION = 3
KIND_NAMES = {BLOCK: "block", CERTIFICATE: "certificate", TRANSACTION: "transaction"}

_ID_BYTES = 32
_HEAD_BYTES = _ID_BYTES + 8


def parts_of(id_: BlockId, block: Block) -> tuple[bytes, bytes, bytes]:
    """Return the parts of a block's record."""
    return id_, block.header.height.to_bytes(8, "big"), encode(block)


def place_of(entry: Entry) -> tuple[BlockId, Height]:
    """Return id and height of the block in a record, without decoding it."""
    id_, height = entry.payload[:_ID_BYTES], entry.payload[_ID_BYTES:_HEAD_BYTES]
    return BlockId(id_), Height(int.from_bytes(height, "big"))


def block_in(entry: Entry) -> Block:
    """Decode the block in a record. Raises: DiskError."""
    return _decoded(entry, entry.payload[_HEAD_BYTES:], Block)


def certificate_in(entry: Entry) -> Certificate:
    """Decode the certificate in a record. Raises: DiskError."""
    return _decoded(entry, entry.payload, Certificate)


def unreadable(entry: Entry, what: str) -> DiskError:
    """Say what is wrong with a record, and what to do about it."""
    return DiskError(
        f"blocks.log: byte {entry.offset}: {what}",
        hint="run the release that wrote it, or delete the data folder (not the key folder)",
    )


def _decoded(entry: Entry, data: bytes, kind: type[T]) -> T:
    try:
        return decode(data, kind)
    except NotCanonicalError as error:
        raise unreadable(entry, f"no {kind.__name__} that this build can read") from error
