"""What may lie on a disk, and what must hold whatever lies there?

A file is read, repaired, passed over or refused by a `DiskError` or `ConfigError`; anything else is
a defect. Checksums are put right first, so that what stands behind them is reached. Do not add
formats of files.
"""

import contextlib
import hashlib
import struct
from collections.abc import Iterator

import msgspec

from aitbc_node import examples
from aitbc_node.blocks import NO_COMMIT, Block, block_id
from aitbc_node.canonical import NotCanonicalError, Record, decode, encode
from aitbc_node.errors import ConfigError, DiskError
from aitbc_node.events import SaveSnapshot, SignState
from aitbc_node.ledger.rebuilding import rebuilt
from aitbc_node.limits import PIECE_BYTES
from aitbc_node.lineage import Link, Offer
from aitbc_node.storage import keepsakes, sign_state, snapshots, versions
from aitbc_node.storage.entries import BLOCK, CERTIFICATE
from aitbc_node.storage.log import SALT_BYTES, Log
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.store import LOG_NAME, Store
from aitbc_node.types import Hash, Height
from aitbc_sim.town import Town, a_genesis, pay
from aitbc_toolkit.suites.fuzz.decoder import Decoder

_CHAIN = Hash(bytes(32))
_SALT = bytes(SALT_BYTES)
_LENGTH = struct.Struct(">I")
_HEAD_BYTES = len(snapshots.MAGIC) + _LENGTH.size + hashlib.sha256().digest_size
_REFUSALS = (DiskError, ConfigError)


class _Written(Record, frozen=True):
    """Be one record of a log, before it has a checksum."""

    kind: int
    payload: bytes


def decoders() -> tuple[Decoder, ...]:
    """List them."""
    return (
        Decoder("log.bytes", log_bytes, _damaged_logs, is_packed=False),
        Decoder("log.records", log_records, _logs),
        Decoder("snapshot", snapshot, _snapshots),
        Decoder("sign_state", slots, _slots),
        Decoder("evidence_file", kept_evidence, _kept_evidence),
        Decoder("data_version", data_version, lambda: (b"1\n", b"2\n"), is_packed=False),
    )


def log_bytes(data: bytes) -> bool:
    """Open a log with anything behind its head: each record is good, or cut off, or damage."""
    disk = MemoryDisk()
    log = Log(disk, LOG_NAME)
    assert not list(log.open(chain=_CHAIN, salt=_SALT))
    disk.write_at(LOG_NAME, log.end, data)
    size = disk.size(LOG_NAME)
    try:
        found = list(log.open(chain=_CHAIN, salt=_SALT))
    except DiskError:
        return True
    assert disk.size(LOG_NAME) == log.end == size - log.bytes_cut
    again = list(Log(disk, LOG_NAME).open(chain=_CHAIN, salt=_SALT))
    assert again == found, "other records when the log is opened again"
    return bool(found)


def log_records(data: bytes) -> bool:
    """Recover from a log whose records are whole and may mean anything."""
    written = _decoded(data)
    if written is None:
        return False
    disk = MemoryDisk()
    log = Log(disk, LOG_NAME)
    assert not list(log.open(chain=_CHAIN, salt=_SALT))
    for record in written:
        log.append(record.kind & 0xFF, record.payload)
    store = Store(disk, None, chain=_CHAIN, salt=_SALT)
    try:
        recovered = store.recover()
        finals = list(recovered.finals)
    except _REFUSALS:
        return False
    assert len(finals) == recovered.last_height - store.first_height + 1
    return bool(finals)


def _decoded(data: bytes) -> tuple[_Written, ...] | None:
    try:
        return decode(data, tuple[_Written, ...])
    except NotCanonicalError:
        return None


def snapshot(data: bytes) -> bool:
    """Rebuild a state from rows of which nothing is proved yet, the first of them its offer."""
    try:
        title, *rows = decode(data, tuple[bytes, ...]) or (b"",)
    except NotCanonicalError:
        return False
    body = b"".join(_LENGTH.pack(len(row)) + row for row in rows)
    with contextlib.suppress(NotCanonicalError):
        offer = decode(title, Offer)
        pieces = [body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES)]
        names = tuple(Hash(hashlib.sha256(piece).digest()) for piece in pieces)
        contents = msgspec.structs.replace(offer.contents, size=len(body), pieces=names)
        title = encode(msgspec.structs.replace(offer, contents=contents))
    checksum = hashlib.sha256(title).digest()
    head = snapshots.MAGIC + _LENGTH.pack(snapshots.VERSION) + checksum
    disk = MemoryDisk()
    disk.replace(snapshots.SLOTS[0], head + _LENGTH.pack(len(title)) + title + body)
    kept = snapshots.Snapshots(disk, chain=_CHAIN)
    for found in kept.load(height_max=Height(1_000)):
        found.voters.digest()
        state = rebuilt((row.kind, row.name, row.content) for row in found.rows)
        return not isinstance(state, str) and bool(state.root)
    return False


def slots(data: bytes) -> bool:
    """Read a sign state whose newest slot holds any payload, with a right checksum."""
    disk = MemoryDisk()
    file = sign_state.SignStateFile(disk)
    file.create()
    body = sign_state.MAGIC + struct.pack(">QI", 1, len(data)) + data
    disk.write_at(sign_state.FILE_NAME, sign_state.SLOT_BYTES, body + hashlib.sha256(body).digest())
    state = file.load()
    try:
        assert state == decode(data, SignState)
    except NotCanonicalError:
        assert state == sign_state.NOTHING_SIGNED
        return False
    return True


def kept_evidence(data: bytes) -> bool:
    """Read what was kept of others' offences; peers are kept in the same way."""
    disk = MemoryDisk()
    kept = keepsakes.EVIDENCE
    disk.replace(kept.name, hashlib.sha256(data).digest() + data)
    return bool(kept.read(disk))


def data_version(data: bytes) -> bool:
    """Read which version a folder is in."""
    disk = MemoryDisk()
    disk.replace(versions.FILE_NAME, data)
    try:
        versions.read_version(disk, versions.DATA_VERSIONS, is_new=False)
    except _REFUSALS:
        return False
    return True


# Good examples to begin with.


def _records() -> tuple[_Written, ...]:
    named = dict(examples.values())
    block, certificate = named["block"], named["certificate"]
    header = msgspec.structs.replace(block.header, height=Height(1))  # type: ignore[attr-defined]
    first = msgspec.structs.replace(block, header=header)  # type: ignore[type-var]
    name = block_id(header)
    final = msgspec.structs.replace(certificate, height=Height(1), block_id=name)  # type: ignore[type-var]
    place = name + (1).to_bytes(8, "big")
    return _Written(BLOCK, place + encode(first)), _Written(CERTIFICATE, encode(final))


def _logs() -> Iterator[bytes]:
    block, certificate = _records()
    yield encode((block, certificate))
    yield encode((block,))
    yield encode((block, block, certificate, certificate))


def _damaged_logs() -> Iterator[bytes]:
    disk = MemoryDisk()
    log = Log(disk, LOG_NAME)
    assert not list(log.open(chain=_CHAIN, salt=_SALT))
    begin = log.end
    for record in _records():
        log.append(record.kind, record.payload[:64])
        yield disk.read(LOG_NAME, begin)
        log.sync()


def _snapshots() -> Iterator[bytes]:
    town = Town(a_genesis())
    town.apply(town.tx("alice", pay("bob", 1)))
    disk = MemoryDisk()
    voters = town.state.validators
    contents = town.state.contents
    block = dict(examples.values())["block"]
    assert isinstance(block, Block)
    link = Link(block.header, NO_COMMIT, voters)
    wanted = SaveSnapshot(0, block, (link,), contents)
    snapshots.Snapshots(disk, chain=_CHAIN).save(wanted)
    body = disk.read(snapshots.SLOTS[0], _HEAD_BYTES)
    rows: list[bytes] = []
    while body:
        (length,) = _LENGTH.unpack_from(body)
        rows.append(body[_LENGTH.size :][:length])
        body = body[_LENGTH.size + length :]
    yield encode(tuple(rows))
    for row in rows[1:]:
        yield encode((rows[0], row))


def _slots() -> Iterator[bytes]:
    yield encode(sign_state.NOTHING_SIGNED)
    yield encode(sign_state.nothing_below(Height(7)))


def _kept_evidence() -> Iterator[bytes]:
    yield encode((b"one", b"two"))
