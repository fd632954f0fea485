"""How a client learns what became of a transaction, without slowing down the blocks.

A SQLite file written behind by its own thread; what is not written yet is answered from memory, so
a transaction is never neither waiting nor found. It can be deleted at any time: everything in it
follows from the log, and the node brings it up to the log when it starts. Do not keep anything here
that cannot be made again.
"""

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from aitbc_node.codes import Code
from aitbc_node.errors import DiskError
from aitbc_node.events import Committed, TxReceipt
from aitbc_node.types import BlockId, Height, TxId

FORMAT = 1
BATCHES_AT_ONCE = 64
RETRY_S = 1.0

Fate: TypeAlias = tuple[str, int | None, int | None, str, int | None, Sequence[Sequence[str]]]
"""Status, height, index in the block, code, fee, events."""

_Row: TypeAlias = tuple[bytes, str, int | None, int | None, str, int | None, bytes]

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS txs (
    id BLOB PRIMARY KEY, status TEXT NOT NULL, height INTEGER, place INTEGER,
    code TEXT NOT NULL, fee INTEGER, events BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[tuple[str, ...], ...]).decode


class _Batch(msgspec.Struct, frozen=True):
    """Be what one block, or one expiry, adds; `last_id` is the newest block it is good for."""

    rows: tuple[_Row, ...]
    height: Height | None = None
    last_id: BlockId = BlockId(b"")


class TxIndex:
    """Know the fate of every transaction in final blocks.

    Without a path everything stays in memory. All calls come from one thread; writing happens in
    another. Shape: `last_height` and `last_id` name the newest block that was on disk at the start.
    """

    def __init__(self, path: Path | None) -> None:
        self.last_height, self.last_id = Height(0), BlockId(b"")
        self.failure = ""
        self._lock = threading.Lock()
        self._unwritten: dict[TxId, Fate] = {}
        self._batches: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._reader: sqlite3.Connection | None = None
        self._writer: threading.Thread | None = None
        if path is not None:
            self._reader = _opened(path)
            self.last_height, self.last_id = _progress(self._reader)
            self._writer = threading.Thread(
                target=self._write_behind, args=(path,), name="index", daemon=True
            )
            self._writer.start()

    def put_block(self, committed: Committed) -> None:
        """Remember the fates of a block's transactions; returns at once."""
        height = committed.final.block.header.height
        rows = tuple(
            _row(receipt, height, place) for place, receipt in enumerate(committed.receipts)
        )
        self._put(_Batch(rows, height, committed.id))

    def put_expired(self, ids: Sequence[TxId]) -> None:
        """Remember that these can never be in a block any more."""
        nothing = _encode(())
        rows = tuple((id_, "expired", None, None, Code.E_EXPIRED, None, nothing) for id_ in ids)
        self._put(_Batch(rows))

    def get(self, tx_id: TxId) -> Fate | None:
        """Return what became of a transaction, None when nothing is known."""
        fate = self._unwritten.get(tx_id)
        if fate is not None or self._reader is None:
            return fate
        found = self._reader.execute(
            "SELECT status, height, place, code, fee, events FROM txs WHERE id = ?", (tx_id,)
        ).fetchone()
        if found is None:
            return None
        status, height, place, code, fee, events = found
        return status, height, place, code, fee, _decode(events)

    def close(self) -> None:
        """Write what is left and close."""
        if self._reader is not None and self._writer is not None:
            self._closing.set()
            self._batches.put(None)
            self._writer.join()
            self._reader.close()

    def _put(self, batch: _Batch) -> None:
        with self._lock:
            for id_, status, height, place, code, fee, events in batch.rows:
                known = self._unwritten.get(TxId(id_))
                if known is None or known[1] is None:  # a block outranks an expiry
                    fate = (status, height, place, code, fee, _decode(events))
                    self._unwritten[TxId(id_)] = fate
        if self._writer is not None:
            self._batches.put(batch)

    def _write_behind(self, path: Path) -> None:
        with contextlib.closing(_connected(path)) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            for batches in self._next_batches():
                while not self._write_all(connection, batches) and not self._closing.is_set():
                    self._closing.wait(RETRY_S)

    def _next_batches(self) -> Iterator[list[_Batch]]:
        """Yield everything that waits at once, so that a long queue costs few transactions."""
        is_open = True
        while is_open:
            batches = [self._batches.get()]
            with contextlib.suppress(queue.Empty):
                while batches[-1] is not None and len(batches) < BATCHES_AT_ONCE:
                    batches.append(self._batches.get_nowait())
            is_open = batches[-1] is not None
            yield [batch for batch in batches if batch is not None]

    def _write_all(self, connection: sqlite3.Connection, batches: list[_Batch]) -> bool:
        """Write some batches in one transaction; tell whether the disk took them."""
        try:
            with connection:
                for batch in batches:
                    _write(connection, batch)
        except sqlite3.Error as error:
            self.failure = str(error)
            return False
        self.failure = ""
        with self._lock:
            for batch in batches:
                for id_, *plain, _ in batch.rows:
                    fate = self._unwritten.get(TxId(id_))
                    if fate is not None and list(fate[:5]) == plain:
                        del self._unwritten[TxId(id_)]
        return True


def _opened(path: Path) -> sqlite3.Connection:
    """Open the index, making it anew where it is missing, damaged or of another format."""
    for _ in range(2):
        connection = _connected(path)
        try:
            connection.executescript(_SCHEMA)
            facts = dict(connection.execute("SELECT name, value FROM facts"))
            if facts.get("format", str(FORMAT)) == str(FORMAT):
                with connection:
                    connection.execute(
                        "INSERT OR IGNORE INTO facts VALUES ('format', ?)", (FORMAT,)
                    )
                return connection
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                connection.close()
                raise DiskError(f"{path}: {error}") from error
        connection.close()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    raise DiskError(f"{path}: cannot make the transaction index", hint="check the disk")


def _connected(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, check_same_thread=False, timeout=10.0)
    except sqlite3.Error as error:
        raise DiskError(f"{path}: {error}", hint="check the data folder and its owner") from error


def _progress(connection: sqlite3.Connection) -> tuple[Height, BlockId]:
    facts = dict(connection.execute("SELECT name, value FROM facts"))
    return Height(int(facts.get("height", 0))), BlockId(bytes.fromhex(facts.get("id", "")))


def _row(receipt: TxReceipt, height: Height, place: int) -> _Row:
    status = "committed" if receipt.code == Code.OK else "rejected"
    return (receipt.id, status, height, place, receipt.code, receipt.fee, _encode(receipt.events))


def _write(connection: sqlite3.Connection, batch: _Batch) -> None:
    # What is in a block outranks an expiry, whichever was told first.
    verb = "INSERT OR IGNORE" if batch.height is None else "INSERT OR REPLACE"
    connection.executemany(f"{verb} INTO txs VALUES (?, ?, ?, ?, ?, ?, ?)", batch.rows)
    if batch.height is not None:
        connection.executemany(
            "INSERT OR REPLACE INTO facts VALUES (?, ?)",
            (("height", str(batch.height)), ("id", batch.last_id.hex())),
        )
