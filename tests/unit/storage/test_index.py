"""The transaction index: fates are known at once, kept, and never in the way."""

import contextlib
import ctypes
import hashlib
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from aitbc_node.blocks import NO_COMMIT, Block, Certificate, FinalBlock, Header
from aitbc_node.errors import DiskError
from aitbc_node.events import Committed, TxReceipt
from aitbc_node.storage import fates
from aitbc_node.storage import index as index_module
from aitbc_node.storage.index import SLICES, TxIndex
from aitbc_node.types import BlockId, Hash, Height, PublicKey, Round, TxId

pytestmark = pytest.mark.integration
EMPTY = Hash(bytes(32))


def an_id(number: int) -> TxId:
    """Build a transaction's id."""
    return TxId(number.to_bytes(32, "big"))


def a_commit(height: int, *codes: str) -> Committed:
    """Build a block whose transactions ended with these codes."""
    header = Header(
        version=1,
        chain_id="aitbc-test-1",
        height=Height(height),
        parent_id=BlockId(b""),
        time_ms=0,
        proposer=PublicKey(bytes(32)),
        tx_root=EMPTY,
        tx_count=len(codes),
        state_root=EMPTY,
        receipts_root=EMPTY,
        last_commit_hash=EMPTY,
        validators_hash=EMPTY,
        next_validators_hash=EMPTY,
        params_hash=EMPTY,
        app_version=1,
        evidence_root=EMPTY,
    )
    id_ = BlockId(height.to_bytes(32, "big"))
    final = FinalBlock(
        Block(header, (), NO_COMMIT, ()), Certificate(Height(height), Round(0), id_, ())
    )
    receipts = tuple(
        TxReceipt(an_id(100 * height + place), code, 21_000, 210, (("transfer", "a", "b"),))
        for place, code in enumerate(codes)
    )
    return Committed(id_, final, receipts)


def a_scattered_commit(height: int) -> Committed:
    """Build a block of 300 transactions whose ids are spread as hashes are."""
    block = a_commit(height, *(["ok"] * 300))
    names = (hashlib.sha256(b"%d %d" % (height, place)).digest() for place in range(300))
    receipts = tuple(
        msgspec.structs.replace(receipt, id=TxId(name))
        for receipt, name in zip(block.receipts, names, strict=True)
    )
    return msgspec.structs.replace(block, receipts=receipts)


def count_places(path: Path) -> int:
    """Count the transactions whose places are in the file."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM places").fetchone()
    return int(count)


@pytest.fixture(params=["memory", "disk"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TxIndex]:
    """Open an index of each kind."""
    opened = TxIndex(tmp_path / "index.db" if request.param == "disk" else None)
    yield opened
    opened.close()


def test_receipts_are_let_go_at_once(index: TxIndex) -> None:
    """What is told of a block is kept as it is written: a second's receipts are many objects."""
    block = a_commit(1, "ok", "amount")
    things = (block, block.receipts, *block.receipts)
    before = [sys.getrefcount(thing) for thing in things]

    index.put_block(block)

    assert [sys.getrefcount(thing) for thing in things] == before
    assert index.get(an_id(101)) == ("rejected", 1, 1, "amount", 210, (("transfer", "a", "b"),))


def test_a_block_that_is_asked_about_again_is_cut_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To cut one of 10,000 costs 0.5 ms, and who hands in a batch again asks about all of it."""
    cut: list[bytes] = []
    cut_in = fates.rows_in
    monkeypatch.setattr(fates, "rows_in", lambda told: cut.append(told) or cut_in(told))
    index = TxIndex(None)
    for height in (1, 2):
        index.put_block(a_commit(height, *(["ok"] * 9), "amount"))

    told = [index.get(an_id(100 * height + place)) for height in (1, 2) for place in range(10)]

    assert len(cut) == 2
    assert [(row[1], row[2]) for row in told if row] == [(h, n) for h in (1, 2) for n in range(10)]


def test_a_fate_is_known_at_once(index: TxIndex) -> None:
    """The moment a block is announced its transactions are found, good ones and failed ones."""
    index.put_block(a_commit(1, "ok", "insufficient"))

    events = (("transfer", "a", "b"),)
    assert index.get(an_id(100)) == ("committed", 1, 0, "ok", 210, events)
    assert index.get(an_id(101)) == ("rejected", 1, 1, "insufficient", 210, events)
    assert index.get(an_id(102)) is None


def test_a_block_outranks_an_expiry(index: TxIndex) -> None:
    """Whichever is told first, what is in a block is in a block."""
    index.put_expired([an_id(100), an_id(999)])
    index.put_block(a_commit(1, "ok"))
    index.put_expired([an_id(100)])

    found, expired = index.get(an_id(100)), index.get(an_id(999))
    assert found is not None
    assert found[0] == "committed"
    assert expired == ("expired", None, None, "expired", None, ())


def test_transactions_with_the_same_tail_are_told_apart(tmp_path: Path) -> None:
    """The table knows eight bytes of an id, which somebody may grind: the whole id decides."""
    first, second = a_commit(1, "ok"), a_commit(2, "insufficient")
    twin = TxId(b"\x01" * 24 + an_id(100)[24:])
    renamed = msgspec.structs.replace(second.receipts[0], id=twin)
    written = TxIndex(tmp_path / "index.db")
    written.put_block(first)
    written.put_block(msgspec.structs.replace(second, receipts=(renamed,)))
    written.close()

    index = TxIndex(tmp_path / "index.db")

    found = [index.get(each) for each in (an_id(100), twin, TxId(b"\x02" * 24 + twin[24:]))]
    assert [None if fate is None else fate[:2] for fate in found] == [
        ("committed", 1),
        ("rejected", 2),
        None,
    ]
    index.close()


def test_a_full_block_is_written_whole(tmp_path: Path) -> None:
    """More transactions than one statement takes, each at its place; told twice is no harm."""
    block = a_commit(3, *(["ok"] * 2_000))
    written = TxIndex(tmp_path / "index.db")
    written.put_block(block)
    written.put_block(block)
    written.close()

    index = TxIndex(tmp_path / "index.db")

    found = [index.get(receipt.id) for receipt in block.receipts]
    assert [fate and fate[1:3] for fate in found] == [(3, place) for place in range(2_000)]
    index.close()


def test_fates_and_progress_survive_a_restart(tmp_path: Path) -> None:
    """What was written is found again, and the index knows how far it is."""
    first = TxIndex(tmp_path / "index.db")
    for height in range(1, 200):
        first.put_block(a_commit(height, "ok"))
    first.put_expired([an_id(7)])
    first.put_block(a_commit(200))
    first.close()

    second = TxIndex(tmp_path / "index.db")

    assert (second.last_height, second.last_id) == (200, a_commit(200).id)
    for number, status in ((100, "committed"), (19_900, "committed"), (7, "expired")):
        fate = second.get(an_id(number))
        assert fate is not None
        assert fate[0] == status
    second.close()


@pytest.mark.parametrize("damage", ["garbage", "format", "fates"])
def test_an_unusable_index_is_made_anew(tmp_path: Path, damage: str) -> None:
    """Nothing is lost with it: it follows from the log."""
    path = tmp_path / "index.db"
    old = TxIndex(path)
    old.put_block(a_commit(1, "ok"))
    old.close()
    if damage == "garbage":
        path.write_bytes(b"not a database" * 1000)
    elif damage == "fates":  # of a block whose places a crash has left out
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE blocks SET fates = x'c1'")
            connection.execute("DELETE FROM facts WHERE name IN ('blocks_height', 'places_height')")
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE facts SET value = '999' WHERE name = 'format'")
        connection.close()

    index = TxIndex(path)

    assert (index.last_height, index.get(an_id(100))) == (0, None)
    index.put_block(a_commit(1, "ok"))
    assert index.get(an_id(100)) is not None
    index.close()


def test_what_is_written_while_it_is_looked_for_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    """The writer may finish right behind a look at the disk that did not find it yet."""
    write, read = fates.write, fates.read
    looked = threading.Event()

    def late(connection: sqlite3.Connection, batches: list[fates.Batch]) -> None:
        looked.wait()
        write(connection, batches)

    def early(connection: sqlite3.Connection, tx_id: TxId, place: int | None) -> fates.Fate | None:
        found = read(connection, tx_id, place)
        looked.set()
        eventually("the write", lambda: tx_id not in index._unwritten, deadline_s=60)
        return found

    monkeypatch.setattr(fates, "write", late)
    monkeypatch.setattr(fates, "read", early)
    index = TxIndex(tmp_path / "index.db")
    index.put_expired([an_id(7)])

    found = [index.get(an_id(7)), index.get(an_id(7))]

    assert [fate and fate[0] for fate in found] == ["expired", "expired"]
    index.close()


def test_places_are_written_slice_by_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    """Each write touches one part of their table; every fate is found all the while."""
    monkeypatch.setattr(index_module, "FEW", 0)
    monkeypatch.setattr(index_module, "GATHER_S", 0.001)
    path = tmp_path / "index.db"
    index = TxIndex(path)
    blocks = [a_scattered_commit(height) for height in range(1, SLICES + 2)]
    counts = []

    for block in blocks:
        index.put_block(block)
        eventually("the write", lambda: not index._unwritten, deadline_s=60)
        assert all(index.get(receipt.id) for receipt in block.receipts)
        counts.append(count_places(path))

    assert all(index.get(receipt.id) for block in blocks for receipt in block.receipts)
    assert counts[0] < 100 < counts[SLICES] < 300 * SLICES
    assert counts == sorted(counts)
    index.close()
    assert count_places(path) == 300 * len(blocks)


def test_a_quiet_node_keeps_no_page_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    """SQLite's cache would grow for hours; behind a full second it is kept: more is coming."""
    monkeypatch.setattr(index_module, "GATHER_S", 0.001)
    lets_go = []
    monkeypatch.setattr(fates, "let_go", lets_go.append)
    index = TxIndex(tmp_path / "index.db")

    index.put_block(a_scattered_commit(1))
    eventually("the full write", lambda: not index._unwritten, deadline_s=60)
    behind_many = len(lets_go)
    index.put_block(a_commit(2, "ok"))
    # Before it is closed: then it lets go in any case.
    eventually("pages to be let go of", lambda: bool(lets_go), deadline_s=60)
    index.close()

    assert behind_many == 0


def test_pages_are_let_go_of(tmp_path: Path) -> None:
    """What was written is in no cache behind it, and still in the file."""
    with contextlib.closing(fates.opened(tmp_path / "index.db")) as connection:
        connection.execute(f"PRAGMA cache_size = -{fates.CACHE_KIB}")
        empty = _allocated_bytes()
        commits = [a_scattered_commit(height) for height in range(1, 41)]
        batches = [
            fates.batch_of(commit.final.block.header.height, commit.id, commit.receipts)
            for commit in commits
        ]
        with connection:
            fates.write(connection, batches)
        full = _allocated_bytes()
        fates.let_go(connection)
        after = _allocated_bytes()

        assert full - empty > 16 * (after - empty)
        assert connection.execute("SELECT count(*) FROM blocks").fetchone() == (40,)


def test_as_few_statements_as_numbers_of_places_allow(tmp_path: Path) -> None:
    """Python keeps each that it has seen; one for each number of places would be hundreds."""
    texts: list[str] = []
    with contextlib.closing(fates.opened(tmp_path / "index.db")) as connection:
        for count in range(1, 600):
            names = [
                TxId(hashlib.sha256(b"%d %d" % (count, each)).digest()) for each in range(count)
            ]
            connection.set_trace_callback(texts.append)
            places = dict.fromkeys(names, fates.place_of(count, 0))
            with connection:
                fates.write_places(connection, places, height=Height(0), last_id=BlockId(b""))
        (written,) = connection.execute("SELECT count(*) FROM places").fetchone()

    lengths = {text.count("(") for text in texts if text.startswith("INSERT")}
    assert lengths == {1 << exponent for exponent in range(9)}
    assert written == sum(range(600))


def _allocated_bytes() -> int:
    """Ask SQLite how much it holds, in all connections of this process."""
    used = _sqlite_of_this_process().sqlite3_memory_used
    used.restype = ctypes.c_int64
    return int(used())


def _sqlite_of_this_process() -> ctypes.CDLL:
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        name = line.split(maxsplit=5)[-1]
        if "sqlite3" in name and hasattr(library := ctypes.CDLL(name), "sqlite3_memory_used"):
            return library
    raise AssertionError("no SQLite in this process")


@pytest.mark.parametrize("writes", [1, SLICES + 3])
def test_a_crash_between_fates_and_places_leaves_nothing_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., None],
    writes: int,
) -> None:
    """Who opens the file then finds all that was told; an older build knows how far it is good."""
    monkeypatch.setattr(index_module, "FEW", 0)
    monkeypatch.setattr(index_module, "GATHER_S", 0.001)
    running = TxIndex(tmp_path / "index.db")
    blocks = [a_scattered_commit(height) for height in range(1, writes + 1)]
    for block in blocks:
        running.put_block(block)
        eventually("the write", lambda: not running._unwritten, deadline_s=60)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for file in tmp_path.glob("index.db*"):
        shutil.copy(file, crashed)
    running.close()

    with sqlite3.connect(crashed / "index.db") as connection:
        facts = dict(connection.execute("SELECT name, value FROM facts"))
        whole = int(facts.get("blocks_height", 0))
        for receipt in (each for block in blocks[:whole] for each in block.receipts):
            assert fates.read(connection, receipt.id)
    connection.close()
    index = TxIndex(crashed / "index.db")

    assert whole == max(0, writes - SLICES + 1)
    assert (index.last_height, index.last_id) == (writes, blocks[-1].id)
    found = [index.get(receipt.id) for block in blocks for receipt in block.receipts]
    assert [fate and fate[1:3] for fate in found] == [
        (height, place) for height in range(1, writes + 1) for place in range(300)
    ]
    index.close()


def test_a_disk_that_fails_loses_nothing_while_the_node_lives(tmp_path: Path) -> None:
    """What cannot be written is still answered, and written when the disk is back."""
    index = TxIndex(tmp_path / "index.db")
    blocker = sqlite3.connect(tmp_path / "index.db")
    blocker.execute("BEGIN EXCLUSIVE")

    index.put_block(a_commit(1, "ok"))
    answered = index.get(an_id(100))
    blocker.rollback()
    blocker.close()
    index.close()

    assert answered is not None
    again = TxIndex(tmp_path / "index.db")
    assert again.get(an_id(100)) == answered
    again.close()


def test_a_place_without_a_file_is_one_line(tmp_path: Path) -> None:
    """A folder in the index's place, and one that is missing, are named with what to do."""
    (tmp_path / "index.db").mkdir()

    for path in (tmp_path / "index.db", tmp_path / "missing" / "index.db"):
        with pytest.raises(DiskError, match=str(path)):
            TxIndex(path)


def test_what_the_disk_refuses_is_written_once_it_takes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    """The failure is told meanwhile, fates are answered from memory, and none is missing later."""
    monkeypatch.setattr(index_module, "RETRY_S", 0.001)
    healed = threading.Event()
    write = fates.write

    def reluctant(connection: sqlite3.Connection, batches: list[fates.Batch]) -> None:
        if not healed.is_set():
            raise sqlite3.OperationalError("disk is full")
        write(connection, batches)

    monkeypatch.setattr(fates, "write", reluctant)
    index = TxIndex(tmp_path / "index.db")

    index.put_block(a_commit(1, "ok"))
    eventually("the failure", lambda: index.failure == "disk is full", deadline_s=60)
    answered = index.get(an_id(100))
    healed.set()
    eventually("the write", lambda: index.failure == "", deadline_s=60)
    index.close()

    assert answered is not None
    again = TxIndex(tmp_path / "index.db")
    assert (again.get(an_id(100)), again.last_height) == (answered, 1)
    again.close()


def test_a_gap_that_a_full_disk_leaves_is_seen_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    """Nothing is written behind a block that the disk did not take while the node ended."""
    monkeypatch.setattr(index_module, "ROWS_AT_ONCE", 1)
    write = fates.write

    def full(connection: sqlite3.Connection, batches: list[fates.Batch]) -> None:
        if any(batch.height == 2 for batch in batches):
            raise sqlite3.OperationalError("disk is full")
        write(connection, batches)

    monkeypatch.setattr(fates, "write", full)
    index = TxIndex(tmp_path / "index.db")
    for height in (1, 2, 3):
        index.put_block(a_commit(height, "ok"))
    eventually("the failure", lambda: index.failure == "disk is full", deadline_s=60)
    index.close()

    again = TxIndex(tmp_path / "index.db")

    assert (again.last_height, again.last_id) == (1, a_commit(1).id)
    assert [again.get(an_id(number)) is None for number in (100, 200, 300)] == [False, True, True]
    again.close()


def test_a_place_in_a_block_that_is_missing_is_not_found(tmp_path: Path) -> None:
    """Earlier builds have left such places on a full disk; what is in other blocks is found."""
    path = tmp_path / "index.db"
    index = TxIndex(path)
    index.put_block(a_commit(1, "ok"))
    index.put_block(a_commit(2, "ok"))
    index.close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM blocks WHERE height = 1")

    again = TxIndex(path)

    assert [again.get(an_id(number)) is None for number in (100, 200)] == [True, False]
    again.close()
