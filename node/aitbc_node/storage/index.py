"""How a client learns what became of a transaction, without slowing down the blocks.

A SQLite file written behind by its own thread; what is not written yet is answered from memory, so
a transaction is never neither waiting nor found. It can be deleted at any time: everything in it
follows from the log, and the node brings it up to the log when it starts. Do not keep anything here
that cannot be made again, nor how the file looks (`fates.py`).
"""

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from aitbc_node.events import Committed
from aitbc_node.storage import fates
from aitbc_node.storage.fates import Batch, Fate
from aitbc_node.types import BlockId, Height, TxId

ROWS_AT_ONCE = 16_000
GATHER_S = 1.0
"""So many are written in one go, or what came in so long: a page touched often costs once."""
RETRY_S = 1.0
SLICES = 16
"""Places lie all over their table, and soon it has more pages than a busy second has transactions.

So each write brings the places of one slice of all ids only: those of so many writes, for a
sixteenth of the pages. At 300,000 rows, and 1,000 more a second, each costs 3.6 us instead of 8.4.
"""
FEW = 256
"""So few places that wait are written at once, and behind so few nothing is kept in memory."""


class TxIndex:
    """Know the fate of every transaction in final blocks.

    Without a path everything stays in memory. All calls come from one thread; writing happens in
    another. Shape: `last_height` and `last_id` name the newest block that was on disk at the start.
    """

    def __init__(self, path: Path | None) -> None:
        self.last_height, self.last_id = Height(0), BlockId(b"")
        self.failure = ""
        self._lock = threading.Lock()
        # The fates of blocks that are not written yet, and where in them a transaction is; None is
        # one that expired.
        self._fates: dict[Height, bytes] = {}
        self._unwritten: dict[TxId, int | None] = {}
        # Those of the block that was asked about last, cut: who asks about one asks about more.
        self._cut: tuple[Height, fates.Rows] = Height(0), ()
        # Where transactions are whose fates are written, and their places not yet; bounded by what
        # comes in as many writes as there are slices.
        self._unplaced: list[dict[TxId, int]] = [{} for _ in range(SLICES)]
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._turn = 0
        self._closing = threading.Event()
        self._reader: sqlite3.Connection | None = None
        self._writer: threading.Thread | None = None
        if path is not None:
            self._reader = fates.opened(path)
            self.last_height, self.last_id = fates.progress(self._reader)
            self._told = self.last_height, self.last_id
            self._placed = [self._told] * SLICES
            self._writer = threading.Thread(
                target=self._write_behind, args=(path,), name="index", daemon=True
            )
            self._writer.start()

    def put_block(self, committed: Committed) -> None:
        """Remember the fates of a block's transactions; returns at once."""
        height = committed.final.block.header.height
        # Here, not where it is written: a second later the receipts are out of the processor's
        # caches, and to read them and let go of them then cost 2.4 us for each.
        batch = fates.batch_of(height, committed.id, committed.receipts)
        with self._lock:
            self._fates[height] = batch.fates
            self._unwritten.update(zip(batch.ids, count(fates.place_of(height, 0))))
        self._put(batch)

    def put_expired(self, ids: Sequence[TxId]) -> None:
        """Remember that these can never be in a block any more."""
        with self._lock:
            for tx_id in ids:
                self._unwritten.setdefault(tx_id, None)  # a block outranks an expiry
        self._put(Batch(expired=tuple(ids)))

    def get(self, tx_id: TxId) -> Fate | None:
        """Return what became of a transaction, None when nothing is known."""
        # Asked before the disk is: the writer lets go of it once it is there.
        is_unwritten = tx_id in self._unwritten
        place = self._unwritten.get(tx_id)
        told = None if place is None else self._waiting(place)
        if told is None and self._reader is not None:
            told = fates.read(self._reader, tx_id, self._slice_of(tx_id).get(tx_id))
        if told is not None:
            return told
        return fates.EXPIRED if is_unwritten else None

    def _waiting(self, place: int) -> Fate | None:
        """Look into a block that is not written yet; None where it has been meanwhile."""
        height = fates.block_of(place)
        if height != self._cut[0]:
            told = self._fates.get(height)
            if told is None:
                return None
            self._cut = height, fates.rows_in(told)
        return fates.at(place, self._cut[1])[1]

    def close(self) -> None:
        """Write what is left and close."""
        if self._reader is not None and self._writer is not None:
            self._closing.set()
            self._batches.put(None)
            self._writer.join()
            self._reader.close()

    def _put(self, batch: Batch) -> None:
        if self._writer is not None:
            self._batches.put(batch)

    def _write_behind(self, path: Path) -> None:
        with contextlib.closing(fates.connected(path)) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{fates.CACHE_KIB}")
            for batches in self._next_batches():
                while not self._write_all(connection, batches):
                    if self._closing.is_set():
                        return  # what comes behind a gap would hide it from the next start
                    self._closing.wait(RETRY_S)
            self._write_all(connection, (), slices=range(SLICES))

    def _next_batches(self) -> Iterator[list[Batch]]:
        """Yield what came within a moment at once, so that many blocks cost few writes."""
        is_open = True
        while is_open:
            batches: list[Batch] = []
            rows, until_s = 0, 0.0
            while is_open and rows < ROWS_AT_ONCE:
                left_s = max(0.0, until_s - time.monotonic()) if batches else None
                try:
                    batch = self._batches.get(timeout=left_s)
                except queue.Empty:
                    break
                if batch is None:
                    is_open = False
                    break
                until_s = until_s or (time.monotonic() + GATHER_S)
                batches.append(batch)
                rows += len(batch.ids) + len(batch.expired)
            if batches:
                yield batches

    def _write_all(
        self,
        connection: sqlite3.Connection,
        batches: Sequence[Batch],
        *,
        slices: Sequence[int] = (),
    ) -> bool:
        """Write some batches in one transaction; tell whether the disk took them.

        With them go the places of some slices: of those that are due, where none are named.
        """
        told = self._told
        for batch in batches:
            for place, tx_id in enumerate(batch.ids, fates.place_of(batch.height, 0)):
                self._slice_of(tx_id)[tx_id] = place
            if batch.height:
                told = batch.height, batch.last_id
        slices = slices or self._due()
        placed = [told if each in slices else self._placed[each] for each in range(SLICES)]
        height, last_id = min(placed)
        places = {tx_id: at for each in slices for tx_id, at in self._unplaced[each].items()}
        try:
            with connection:
                fates.write(connection, batches)
                fates.write_places(connection, places, height=height, last_id=last_id)
        except sqlite3.Error as error:
            self.failure = str(error)
            return False
        self.failure = ""
        self._told, self._placed = told, placed
        for batch in batches:
            with self._lock:
                self._forget(batch)
        for each in slices:
            self._unplaced[each] = {}
        self._turn += 1
        if sum(len(batch.ids) + len(batch.expired) for batch in batches) <= FEW:
            with contextlib.suppress(sqlite3.Error):
                fates.let_go(connection)
        return True

    def _due(self) -> Sequence[int]:
        """Name the slices whose places are written next: one after the other, or all of a few."""
        is_little = sum(map(len, self._unplaced)) <= FEW
        return range(SLICES) if is_little else (self._turn % SLICES,)

    def _slice_of(self, tx_id: TxId) -> dict[TxId, int]:
        """Return what waits beside it in the table: by the byte that the table is ordered by."""
        return self._unplaced[tx_id[-8] * SLICES >> 8]

    def _forget(self, batch: Batch) -> None:
        """Let go of what is written now, unless something else was told of it meanwhile."""
        for place, tx_id in enumerate(batch.ids, fates.place_of(batch.height, 0)):
            if self._unwritten.get(tx_id) == place:
                del self._unwritten[tx_id]
        self._fates.pop(batch.height, None)
        for tx_id in batch.expired:
            if self._unwritten.get(tx_id, ()) is None:
                del self._unwritten[tx_id]
