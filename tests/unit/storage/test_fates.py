"""The file of fates: what an older build wrote is read, kept, and found by it again."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest
from msgspec import msgpack

from aitbc_node import startup
from aitbc_node.blocks import FinalBlock
from aitbc_node.events import Committed, TxReceipt
from aitbc_node.machine import MachineConfig
from aitbc_node.startup import Found
from aitbc_node.storage import fates as fates_module
from aitbc_node.storage.fates import batch_of
from aitbc_node.storage.index import TxIndex
from aitbc_node.storage.store import Recovered
from aitbc_node.types import BlockId, Height, TxId
from aitbc_sim.pump import Pump

pytestmark = pytest.mark.integration
EVENTS = (("transfer", "a", "b"),)

Row: TypeAlias = tuple[bytes, str, int | None, int | None, str, int | None, bytes]

OLDER = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS txs (
    id BLOB PRIMARY KEY, status TEXT NOT NULL, height INTEGER, place INTEGER,
    code TEXT NOT NULL, fee INTEGER, events BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO facts VALUES ('format', '1');
"""


def an_id(number: int) -> TxId:
    """Build a transaction's id."""
    return TxId(number.to_bytes(32, "big"))


def a_row(number: int, height: int | None, *, code: str = "ok") -> Row:
    """Build what the older build kept of a transaction; it expired without a height."""
    if height is None:
        return (an_id(number), "expired", None, None, "expired", None, msgpack.encode(()))
    status = "committed" if code == "ok" else "rejected"
    return (an_id(number), status, height, 0, code, 210, msgpack.encode(EVENTS))


def older_build_writes(path: Path, rows: Iterable[Row], height: int, last_id: bytes) -> None:
    """Do what a build of format 1 does with its file: tables, rows, how far they go."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(OLDER)
        connection.executemany("INSERT OR REPLACE INTO txs VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        facts = (("height", str(height)), ("id", last_id.hex()))
        connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts)


def older_facts(path: Path) -> dict[str, str]:
    """Read what a build of format 1 asks its file first."""
    with closing(sqlite3.connect(path)) as connection:
        return {
            name: value
            for name, value in connection.execute("SELECT name, value FROM facts")
            if name in {"format", "height", "id"}
        }


def an_end(pump: Pump, height: int, number: int) -> Committed:
    """Say that a transaction ended in a block of this chain."""
    final = final_of(pump, height)
    receipt = TxReceipt(an_id(number), "ok", 21_000, 210, EVENTS)
    return Committed(final.certificate.block_id, final, (receipt,))


def final_of(pump: Pump, height: int) -> FinalBlock:
    """Return a final block from a node's log."""
    store = pump.nodes[0].store
    assert store is not None
    final = store.block(Height(height))
    assert final is not None
    return final


def id_at(pump: Pump, height: int) -> BlockId:
    """Name the block of a height."""
    return final_of(pump, height).certificate.block_id


def test_fates_of_an_older_format_are_answered(tmp_path: Path) -> None:
    """Good, refused and expired ones, and how far they go: nothing has to be made again."""
    path = tmp_path / "index.db"
    rows = (a_row(1, 7), a_row(2, 8, code="insufficient"), a_row(3, None))
    older_build_writes(path, rows, 9, b"\x09" * 32)

    index = TxIndex(path)

    assert (index.last_height, index.last_id) == (9, b"\x09" * 32)
    assert index.get(an_id(1)) == ("committed", 7, 0, "ok", 210, EVENTS)
    assert index.get(an_id(2)) == ("rejected", 8, 0, "insufficient", 210, EVENTS)
    assert index.get(an_id(3)) == ("expired", None, None, "expired", None, ())
    assert index.get(an_id(4)) is None
    index.close()


def test_two_builds_take_turns_at_one_file(tmp_path: Path) -> None:
    """Who goes back a release finds the file as it was left, and both find all when they meet."""
    pump = Pump(powers=(1,)).start()
    pump.run_to(12)
    path = tmp_path / "index.db"
    older_build_writes(path, [a_row(1, 2), a_row(9, None)], 3, id_at(pump, 3))
    left = older_facts(path)
    newer = TxIndex(path)
    newer.put_block(an_end(pump, 5, 2))
    newer.put_expired([an_id(1)])
    newer.put_block(an_end(pump, 6, 9))
    newer.close()

    assert older_facts(path) == left
    again = TxIndex(path)
    assert (again.last_height, again.last_id) == (6, id_at(pump, 6))
    found = {number: again.get(an_id(number)) for number in (1, 2, 9)}
    assert [fate and fate[:2] for fate in found.values()] == [
        ("committed", 2),
        ("committed", 5),
        ("committed", 6),
    ]
    again.close()

    older_build_writes(path, [a_row(2, 5), a_row(3, 8)], 9, id_at(pump, 9))
    last = TxIndex(path)
    assert (last.last_height, last.last_id) == (9, id_at(pump, 9))
    assert [fate and fate[1] for fate in map(last.get, map(an_id, (1, 2, 3, 9)))] == [2, 5, 8, 6]
    last.close()


def test_places_that_an_earlier_build_went_past_are_made(tmp_path: Path) -> None:
    """A crash, a release back that goes on at a snapshot, and forward again: all are found."""
    path = tmp_path / "index.db"
    batches = [
        batch_of(Height(height), id_, (TxReceipt(an_id(height), "ok", 21_000, 210, EVENTS),))
        for height, id_ in ((height, BlockId(bytes([height]) * 32)) for height in range(1, 13))
    ]
    places = {batch.ids[0]: fates_module.place_of(batch.height, 0) for batch in batches}
    crashed, older = batches[:8], batches[9:]
    with closing(fates_module.opened(path)) as connection, connection:
        fates_module.write(connection, crashed)
        some = {batch.ids[0]: places[batch.ids[0]] for batch in crashed[:4]}
        fates_module.write_places(connection, some, height=Height(4), last_id=crashed[3].last_id)
        kept = dict(connection.execute("SELECT name, value FROM facts WHERE name > 'c'"))
        fates_module.write(connection, older)
        some = {batch.ids[0]: places[batch.ids[0]] for batch in older}
        fates_module.write_places(connection, some, height=Height(12), last_id=older[-1].last_id)
        connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", kept.items())

    index = TxIndex(path)

    found = [index.get(batch.ids[0]) for batch in batches]
    assert [fate and fate[1] for fate in found] == [*range(1, 9), None, 10, 11, 12]
    assert (index.last_height, index.last_id) == (12, batches[-1].last_id)
    index.close()


def test_a_start_over_an_older_format_begins_at_the_snapshot(tmp_path: Path) -> None:
    """The first start of a release executes the blocks behind the snapshot, not the chain."""
    pump = Pump(config=MachineConfig(snapshot_blocks=4), powers=(1,)).start()
    pump.run_to(14)
    node = pump.nodes[0]
    assert node.store is not None
    path = tmp_path / "index.db"
    older_build_writes(path, [a_row(1, 2)], 13, id_at(pump, 13))
    index = TxIndex(path)

    recovered = Recovered((), (), None, (), last_height=Height(14))
    found = Found(node.store, recovered, pump.snapshots_of(node))
    base = startup._base(found, index)

    assert base is not None
    assert base.height == 12
    take = startup.catching_up(index)
    for height in (13, 14):
        take(an_end(pump, height, height))
    fates = [index.get(an_id(number)) for number in (1, 13, 14)]
    assert [fate and fate[1] for fate in fates] == [2, None, 14]
    index.close()
