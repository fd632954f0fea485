"""How does the file look in which a node keeps what became of transactions?

The fates of a block are one value, and a table of 20 bytes a transaction says in which block each
is: a row with everything for each transaction cost a node 28 us of processor time for each at
300,000 of them, and more with more, this 4. The fates of a block are written before their places
are, so a crash may come in between; who opens the file finds the missing places in the fates.

Format 1 had such rows. They are read where they are, and how far they go is not touched: the build
that wrote them finds its own file again after a rollback, and nobody executes the chain anew. Do
not add when something is written.
"""

import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import msgspec

from aitbc_node import limits
from aitbc_node.codes import Code
from aitbc_node.errors import DiskError
from aitbc_node.events import TxReceipt
from aitbc_node.types import BlockId, Height, TxId

FORMAT = 2
FORMATS_READ = ("1", str(FORMAT))

Fate: TypeAlias = tuple[str, int | None, int | None, str, int | None, Sequence[Sequence[str]]]
"""Status, height, index in the block, code, fee, events."""

Rows: TypeAlias = Sequence[msgspec.Raw]
"""The fates of a block, cut into those of its transactions."""

EXPIRED: Fate = ("expired", None, None, Code.E_EXPIRED, None, ())

_PLACE_BITS = 16
assert limits.BLOCK_TXS_MAX <= 1 << _PLACE_BITS
# Half of what the oldest SQLite takes as variables of one statement; each statement lets go of the
# interpreter once, and waits for it behind the event loop.
_ROWS_PER_STATEMENT = 256
CACHE_KIB = 16 * limits.KIB
READ_CACHE_KIB = 64

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS blocks (height INTEGER PRIMARY KEY, fates BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS places (
    tail INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (tail, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS expired (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS txs (
    id BLOB PRIMARY KEY, status TEXT NOT NULL, height INTEGER, place INTEGER,
    code TEXT NOT NULL, fee INTEGER, events BLOB NOT NULL
) WITHOUT ROWID;
"""
"""`txs` is that of format 1; nothing is put in."""
_ROWS_TO, _BLOCKS_TO = ("height", "id"), ("blocks_height", "blocks_id")
_FATES_TO, _PLACES_TO = ("fates_height", "fates_id"), ("places_height", "places_id")
"""The facts that name the newest block in `txs`, and in `blocks` with its places and without.

An earlier build moves that of `blocks`, also past places that it did not make: where its log does
not begin at block 1 it goes on at a snapshot. Of those tells the last, which it does not touch.
"""


class Batch(msgspec.Struct, frozen=True):
    """Be what one block, or one expiry without a height, adds.

    Shape: `fates` are those of `ids`, as they are written; `last_id` is the block's.
    """

    ids: Sequence[TxId] = ()
    fates: bytes = b""
    height: Height = Height(0)
    last_id: BlockId = BlockId(b"")
    expired: tuple[TxId, ...] = ()


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """Be what is kept of one transaction in its block."""

    id: TxId
    code: str
    fee: int
    events: tuple[tuple[str, ...], ...]


_encode = msgspec.msgpack.Encoder().encode
rows_in = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
"""Cut the fates of a block."""
_row = msgspec.msgpack.Decoder(_Row).decode
_events = msgspec.msgpack.Decoder(tuple[tuple[str, ...], ...]).decode
_tail = struct.Struct(">24xq").unpack


def batch_of(height: Height, last_id: BlockId, receipts: Sequence[TxReceipt]) -> Batch:
    """Make what a block adds, once and for all: its receipts are held no longer for that."""
    rows = [(receipt.id, receipt.code, receipt.fee, receipt.events) for receipt in receipts]
    return Batch([receipt.id for receipt in receipts], _encode(rows), height, last_id)


def place_of(height: int, index: int) -> int:
    """Say in one number in which block a transaction is, and where in it."""
    return height << _PLACE_BITS | index


def block_of(place: int) -> Height:
    """Say in which block a place is."""
    return Height(place >> _PLACE_BITS)


def at(place: int, rows: Rows) -> tuple[TxId, Fate]:
    """Say what became of the transaction at a place, out of the rows of its block."""
    index = place & ((1 << _PLACE_BITS) - 1)
    row = _row(rows[index])
    status = "committed" if row.code == Code.OK else "rejected"
    return row.id, (status, block_of(place), index, row.code, row.fee, row.events)


def read(connection: sqlite3.Connection, tx_id: TxId, place: int | None = None) -> Fate | None:
    """Look at its place, where that is known; else in every block that may hold it.

    Another transaction may have the same tail.
    """
    places: Sequence[tuple[int]] = [] if place is None else [(place,)]
    if not places:
        asked = "SELECT place FROM places WHERE tail = ?"
        places = connection.execute(asked, _tail(tx_id)).fetchall()
    wanted = "SELECT fates FROM blocks WHERE height = ?"
    for (found,) in places:
        told = connection.execute(wanted, (block_of(found),)).fetchone()
        if told is None:
            continue  # an earlier build wrote places of a block that the full disk did not take
        found_id, fate = at(found, rows_in(told[0]))
        if found_id == tx_id:
            return fate
    old = connection.execute(
        "SELECT status, height, place, code, fee, events FROM txs WHERE id = ?", (tx_id,)
    ).fetchone()
    if old is not None:
        return *old[:-1], _events(old[-1])
    known = connection.execute("SELECT 1 FROM expired WHERE id = ?", (tx_id,)).fetchone()
    return None if known is None else EXPIRED


def opened(path: Path) -> sqlite3.Connection:
    """Open the file, making it anew where it is missing, damaged or of a format not known."""
    for _ in range(2):
        connection = connected(path)
        try:
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA cache_size = -{READ_CACHE_KIB}")
            facts = dict(connection.execute("SELECT name, value FROM facts"))
            if facts.get("format", str(FORMAT)) in FORMATS_READ:
                with connection:
                    connection.execute(
                        "INSERT OR IGNORE INTO facts VALUES ('format', ?)", (FORMAT,)
                    )
                    _complete(connection)
                return connection
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            if isinstance(error, sqlite3.OperationalError):
                connection.close()
                raise DiskError(f"{path}: {error}") from error
        connection.close()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    raise DiskError(f"{path}: cannot make the transaction index", hint="check the disk")


def connected(path: Path) -> sqlite3.Connection:
    """Open the file as it is. Raises: DiskError."""
    try:
        return sqlite3.connect(path, check_same_thread=False, timeout=10.0)
    except sqlite3.Error as error:
        raise DiskError(f"{path}: {error}", hint="check the data folder and its owner") from error


def let_go(connection: sqlite3.Connection) -> None:
    """Keep no page in memory that is on the disk.

    Where little is written, pages are found again in some microseconds; kept, they are 260 bytes
    for each transaction until the cache is full, hours later.
    """
    connection.execute("PRAGMA shrink_memory")


def progress(connection: sqlite3.Connection) -> tuple[Height, BlockId]:
    """Name the newest block whose fates are in the file, in whichever form."""
    facts = dict(connection.execute("SELECT name, value FROM facts"))
    written = (
        (Height(int(facts[height])), BlockId(bytes.fromhex(facts[last_id])))
        for height, last_id in (_ROWS_TO, _BLOCKS_TO)
        if height in facts
    )
    return max(written, default=(Height(0), BlockId(b"")))


def write(connection: sqlite3.Connection, batches: Sequence[Batch]) -> None:
    """Put some batches into the file, in few statements; the places are left to `write_places`."""
    finals = [batch for batch in batches if batch.height]
    rows = ((batch.height, batch.fates) for batch in finals)
    connection.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?)", rows)
    ids = ((tx_id,) for batch in batches for tx_id in batch.expired)
    connection.executemany("INSERT OR IGNORE INTO expired VALUES (?)", ids)
    if finals:
        _note(connection, _FATES_TO, finals[-1].height, finals[-1].last_id)


def write_places(
    connection: sqlite3.Connection,
    places: Mapping[TxId, int],
    *,
    height: Height,
    last_id: BlockId,
) -> None:
    """Put some places into the file. No place is missing up to this block behind it."""
    # In the order of the table, so that each of its pages is touched once.
    rows = sorted((*_tail(tx_id), place) for tx_id, place in places.items())
    for some in _portions(rows):
        values = ", ".join(["(?, ?)"] * len(some))
        connection.execute(
            f"INSERT OR IGNORE INTO places VALUES {values}",  # noqa: S608 - question marks only
            tuple(chain.from_iterable(some)),
        )
    if height:
        for names in (_BLOCKS_TO, _PLACES_TO):
            _note(connection, names, height, last_id)


def _portions(rows: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    """Cut rows into the largest powers of two that one statement may have.

    Each length is a statement of its own, which Python keeps: of those there are nine, instead of
    one for each number of transactions that a second ever brought.
    """
    first = 0
    while left := len(rows) - first:
        count = min(_ROWS_PER_STATEMENT, 1 << left.bit_length() - 1)
        yield rows[first : first + count]
        first += count


def _complete(connection: sqlite3.Connection) -> None:
    """Write the places that a crash has left out, up to the newest block with fates."""
    facts = dict(connection.execute("SELECT name, value FROM facts"))
    written, told = (int(facts.get(name, 0)) for name, _ in (_BLOCKS_TO, _FATES_TO))
    placed = int(facts.get(_PLACES_TO[0], written))
    if placed >= told:
        return
    height_max, last_id_name = max((told, _FATES_TO[1]), (written, _BLOCKS_TO[1]))
    last_id = BlockId(bytes.fromhex(facts[last_id_name]))
    asked = "SELECT height, fates FROM blocks WHERE height > ? AND height <= ?"
    for height, fates in connection.execute(asked, (placed, told)):
        ids = (_row(row).id for row in rows_in(fates))
        places = {tx_id: place_of(height, index) for index, tx_id in enumerate(ids)}
        write_places(connection, places, height=Height(height_max), last_id=last_id)


def _note(
    connection: sqlite3.Connection, names: tuple[str, str], height: Height, last_id: BlockId
) -> None:
    facts = zip(names, (str(height), last_id.hex()), strict=True)
    connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts)
