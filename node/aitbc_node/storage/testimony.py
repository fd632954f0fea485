"""How does a node keep what it saw others sign twice, until a block shows it?

One small file, replaced as a whole. It is a help and no promise: what cannot be read is forgotten,
since other nodes have seen the same. Do not judge evidence here.

Shape: `sha256 of the rest (32)`, then the canonical bytes of an array of byte strings.
"""

import hashlib
from collections.abc import Sequence

from aitbc_node.canonical import NotCanonicalError, decode, encode
from aitbc_node.limits import EVIDENCE_BYTES_MAX, EVIDENCE_KEPT_MAX
from aitbc_node.storage.disk import Disk

FILE_NAME = "evidence"

_HASH_BYTES = 32
_BYTES_MAX = _HASH_BYTES + EVIDENCE_KEPT_MAX * (EVIDENCE_BYTES_MAX + 8)


def read_evidence(disk: Disk) -> tuple[bytes, ...]:
    """Return what was kept; nothing where the file is missing or damaged."""
    if not disk.exists(FILE_NAME):
        return ()
    data = disk.read(FILE_NAME, 0, _BYTES_MAX)
    if hashlib.sha256(data[_HASH_BYTES:]).digest() != data[:_HASH_BYTES]:
        return ()
    try:
        return decode(data[_HASH_BYTES:], tuple[bytes, ...])
    except NotCanonicalError:
        return ()


def write_evidence(disk: Disk, raws: Sequence[bytes]) -> None:
    """Keep these and no others, durably."""
    assert len(raws) <= EVIDENCE_KEPT_MAX, "more than a node keeps"
    payload = encode(tuple(raws))
    disk.replace(FILE_NAME, hashlib.sha256(payload).digest() + payload)
