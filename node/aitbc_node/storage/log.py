"""How records are appended to a file so that a crash at any byte can be told from damage.

A record names how much of the log was synced when it was written. A bad record with nothing behind
it that proves otherwise is a torn tail: it was never synced, nobody relied on it, it is cut off. A
bad record in front of one that was written *after* a sync that covered it is damage: the log is
refused, because what it says about final blocks can no longer be trusted. What records mean is
`store.py`'s business.

Shape: header `magic(8) version(u32) salt(16) chain(32) checksum(12)`, then records
`marker(4) kind(u8) zero(3) length(u32) synced(u64) checksum(12) payload`, all big-endian. `marker`
and checksums depend on the salt, which is random and local: nobody can hide a record that looks
real inside a transaction. A checksum covers its record's place in the file.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from aitbc_node.errors import ConfigError, DiskError
from aitbc_node.storage.disk import Disk
from aitbc_node.types import Hash

MAGIC = b"AITBCLOG"
VERSION = 1
SALT_BYTES = 16
CHECKSUM_BYTES = 12
RECORD_BYTES_MAX = 32 * 1024 * 1024

_FILE_HEAD = struct.Struct(f">8sI{SALT_BYTES}s32s{CHECKSUM_BYTES}s")
_HEAD = struct.Struct(f">4sB3xIQ{CHECKSUM_BYTES}s")
_SEARCH_BYTES = 1024 * 1024
_COPIED_BYTES_MAX = 4 * 1024
"""A copy of parts that are not longer is hashed at once: 0.25 us less for each transaction."""


class Entry(msgspec.Struct, frozen=True):
    """Be one record as read from the log."""

    offset: int
    kind: int
    payload: bytes
    synced: int

    @property
    def end(self) -> int:
        """Return the offset just behind this record."""
        return self.offset + _HEAD.size + len(self.payload)


class Log:
    """Append records to one file and read them back; `open` comes first."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name
        self._salt = b""
        self._marker = b""
        self.end = 0
        self.synced = 0
        self.bytes_cut = 0

    @property
    def is_dirty(self) -> bool:
        """Tell whether a record might be lost with the power."""
        return self.synced < self.end

    def open(self, *, chain: Hash, salt: bytes) -> Iterator[Entry]:
        """Create the file or yield all records of the one that is there, then repair its tail.

        The log may be appended to once the iterator is exhausted.

        Raises: ConfigError for a log of another chain or a newer version, DiskError for damage.
        """
        assert len(salt) == SALT_BYTES, "a salt has a fixed length"
        if not self._disk.exists(self._name):
            self._disk.replace(self._name, _file_head(salt, chain))
        self._adopt(self._disk.read(self._name, 0, _FILE_HEAD.size), chain)
        size = self._disk.size(self._name)
        offset = _FILE_HEAD.size
        while (entry := self._entry_at(offset, size)) is not None:
            yield entry
            offset = entry.end
        self._cut_tail(offset, size)
        self.end = self.synced = offset

    def append(self, kind: int, *parts: bytes) -> int:
        """Write one record of these parts without syncing it; return its offset."""
        return self._append((self._head(self.end, kind, parts, self.synced), *parts))

    def append_all(self, kind: int, payloads: Sequence[bytes]) -> int:
        """Write records of one kind in one go, without syncing; return the first one's offset."""
        at = self.end
        pieces: list[bytes] = []
        for payload in payloads:
            pieces += self._head(at, kind, (payload,), self.synced), payload
            at += _HEAD.size + len(payload)
        return self._append(pieces)

    def _append(self, pieces: Iterable[bytes]) -> int:
        offset, data = self.end, b"".join(pieces)
        # A failed write leaves `end` alone, so a second attempt overwrites what it left behind.
        self._disk.write_at(self._name, offset, data)
        self.end = offset + len(data)
        return offset

    def rewrite(self, records: Sequence[tuple[int, bytes]]) -> list[int]:
        """Replace all records by these kinds and payloads, durably and at once.

        Return the offsets that they have now.
        """
        data = bytearray(self._disk.read(self._name, 0, _FILE_HEAD.size))
        offsets: list[int] = []
        for kind, payload in records:
            offsets.append(len(data))
            data += self._head(len(data), kind, (payload,), 0) + payload
        self._disk.replace(self._name, bytes(data))
        self.end = self.synced = len(data)
        return offsets

    def sync(self) -> None:
        """Make every record so far durable."""
        end = self.end
        self._disk.sync(self._name)
        self.synced = end

    def read(self, offset: int) -> Entry:
        """Return the record at an offset that `append` or `open` gave.

        Raises: DiskError when the record has been damaged since.
        """
        entry = self._entry_at(offset, self.end)
        if entry is None:
            raise DiskError(
                f"{self._name}: the record at byte {offset} is damaged",
                hint="check the disk; then delete the data folder (not the key folder) to resync",
            )
        return entry

    def size_of(self, offset: int) -> int:
        """Return how many bytes the payload of the record at an offset has."""
        return int(_HEAD.unpack(self._disk.read(self._name, offset, _HEAD.size))[2])

    def _adopt(self, head: bytes, chain: Hash) -> None:
        if len(head) < _FILE_HEAD.size or head[:8] != MAGIC:
            raise DiskError(
                f"{self._name}: not a log of this node, or its head is damaged",
                hint="delete the data folder (not the key folder) to resync from peers",
            )
        _, version, salt, of_chain, checksum = _FILE_HEAD.unpack(head)
        if version > VERSION:
            raise ConfigError(
                f"{self._name}: log format {version}, this build reads {VERSION}",
                hint="run the newer release, or delete the data folder (never the keys)",
            )
        if checksum != _digest(head[:-CHECKSUM_BYTES]):
            raise DiskError(f"{self._name}: its head is damaged")
        if of_chain != chain:
            raise ConfigError(
                f"{self._name}: written for the chain with genesis {of_chain.hex()[:16]}, "
                f"not {chain.hex()[:16]}",
                hint="point data_dir to an empty folder, or use the genesis file of these data",
            )
        self._salt = salt
        self._marker = hashlib.sha256(b"marker" + salt).digest()[:4]

    def _entry_at(self, offset: int, size: int) -> Entry | None:
        """Return the record at an offset, or None when no whole good record is there."""
        head = self._disk.read(self._name, offset, _HEAD.size)
        if len(head) < _HEAD.size or head[:4] != self._marker:
            return None
        _, kind, length, synced, checksum = _HEAD.unpack(head)
        if length > RECORD_BYTES_MAX or offset + _HEAD.size + length > size:
            return None
        payload = self._disk.read(self._name, offset + _HEAD.size, length)
        if checksum != self._checksum(offset, head[:-CHECKSUM_BYTES], (payload,)):
            return None
        return Entry(offset, kind, payload, synced)

    def _cut_tail(self, offset: int, size: int) -> None:
        for entry in self._entries_behind(offset, size):
            if entry.synced > offset:
                raise DiskError(
                    f"{self._name}: damaged at byte {offset}, with good records behind it",
                    hint="check the disk; delete the data folder (not the key folder) to resync",
                )
        self.bytes_cut = size - offset
        if self.bytes_cut:
            self._disk.truncate(self._name, offset)
        # What was read may sit in the kernel's cache only, left there by a process that was
        # killed before it synced; from here on it counts as durable, so it has to be.
        self._disk.sync(self._name)

    def _entries_behind(self, offset: int, size: int) -> Iterator[Entry]:
        """Yield every good record that begins anywhere behind a bad place."""
        for start in range(offset + 1, size, _SEARCH_BYTES):
            chunk = self._disk.read(self._name, start, _SEARCH_BYTES + len(self._marker) - 1)
            found = chunk.find(self._marker)
            while found != -1:
                if (entry := self._entry_at(start + found, size)) is not None:
                    yield entry
                found = chunk.find(self._marker, found + 1)

    def _head(self, offset: int, kind: int, parts: Sequence[bytes], synced: int) -> bytes:
        """Return what stands before a payload of these parts."""
        length = sum(map(len, parts))
        assert length <= RECORD_BYTES_MAX, "a record that could not be read back"
        head = _HEAD.pack(self._marker, kind, length, synced, b"")[:-CHECKSUM_BYTES]
        return head + self._checksum(offset, head, parts)

    def _checksum(self, offset: int, head: bytes, parts: Sequence[bytes]) -> bytes:
        return _digest(self._salt, offset.to_bytes(8, "big"), head, *parts)


def _file_head(salt: bytes, chain: Hash) -> bytes:
    head = _FILE_HEAD.pack(MAGIC, VERSION, salt, chain, bytes(CHECKSUM_BYTES))[:-CHECKSUM_BYTES]
    return head + _digest(head)


def _digest(*parts: bytes) -> bytes:
    if len(parts[-1]) <= _COPIED_BYTES_MAX:
        return hashlib.sha256(b"".join(parts)).digest()[:CHECKSUM_BYTES]
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part)
    return hashed.digest()[:CHECKSUM_BYTES]
