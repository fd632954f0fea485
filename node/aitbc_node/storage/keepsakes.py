"""How does a node keep what helps it after a restart, and what it can do without?

One small file each, replaced as a whole. It is a help and no promise: a damaged one is forgotten,
since it can be found out again. Do not judge what is kept.

Shape: `sha256 of the rest (32)`, then the canonical bytes of an array of byte strings.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from aitbc_node import limits
from aitbc_node.canonical import NotCanonicalError, decode, encode
from aitbc_node.storage.disk import Disk

_HASH_BYTES = 32


class Keepsake(msgspec.Struct, frozen=True):
    """Be one such file."""

    name: str
    count_max: int
    bytes_max: int
    """Of a single entry."""

    def read(self, disk: Disk) -> tuple[bytes, ...] | None:
        """Return what was kept; None where the file is damaged."""
        if not disk.exists(self.name):
            return ()
        data = disk.read(self.name, 0, _HASH_BYTES + self.count_max * (self.bytes_max + 8))
        if hashlib.sha256(data[_HASH_BYTES:]).digest() != data[:_HASH_BYTES]:
            return None
        try:
            return decode(data[_HASH_BYTES:], tuple[bytes, ...])
        except NotCanonicalError:
            return None

    def write(self, disk: Disk, raws: Sequence[bytes]) -> None:
        """Keep these and no others, durably."""
        assert len(raws) <= self.count_max, f"more than a node keeps in {self.name}"
        assert all(len(raw) <= self.bytes_max for raw in raws), f"too large for {self.name}"
        payload = encode(tuple(raws))
        disk.replace(self.name, hashlib.sha256(payload).digest() + payload)


EVIDENCE = Keepsake("evidence", limits.EVIDENCE_KEPT_MAX, limits.EVIDENCE_BYTES_MAX)
"""What others were seen to sign twice, until a block shows it."""
ACQUAINTANCES = Keepsake("peers", limits.PEERS_KEPT_MAX, limits.PEER_RECORD_BYTES_MAX)
"""Where other nodes can be reached, in their own words."""
BANS = Keepsake("bans", limits.CULPRITS_MAX, limits.BAN_BYTES_MAX)
"""With whom this node has nothing to do for a while."""
