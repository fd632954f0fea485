"""How events wait for their listeners."""

import hashlib
import json
import tracemalloc
from typing import Any

import pytest

from aitbc_node.blocks import NO_COMMIT, Block, Certificate, FinalBlock, Header
from aitbc_node.events import Committed, Expired, TxReceipt
from aitbc_node.rpc.streams import BATCH_MAX, PIECE_BYTES, ROWS_MAX, Hub
from aitbc_node.types import BlockId, Hash, Height, PublicKey, Round, TxId

BLOCK = frozenset({"block"})
ALL = frozenset({"block", "tx", "peer"})


def a_hub(count: int, *, backlog: int = 8) -> Hub:
    """Make a hub that has published numbered blocks."""
    hub = Hub(boot="b", backlog=backlog)
    for number in range(1, count + 1):
        hub.publish("block", {"height": number})
    return hub


def ids(text: bytes) -> list[str]:
    """List the ids of the events in a piece of a stream."""
    return [line[4:] for line in text.decode().splitlines() if line.startswith("id: ")]


def test_a_new_listener_hears_what_comes() -> None:
    """Without an id to resume from, a listener starts at the next event."""
    hub = a_hub(3)
    place, first = hub.begin("")

    hub.publish("block", {"height": 4})
    _, text = hub.read(place, BLOCK)

    assert first == b""
    assert text == b'id: b-4\nevent: block\ndata: {"height":4}\n\n'


def test_a_listener_resumes_behind_what_it_saw() -> None:
    """With the id of its last event, a listener misses nothing and hears nothing twice."""
    hub = a_hub(5)
    place, first = hub.begin("b-2")

    place, text = hub.read(place, BLOCK)

    assert (first, ids(text)) == (b"", ["b-3", "b-4", "b-5"])
    assert not hub.has_news(place)


def test_topics_are_told_apart() -> None:
    """A listener hears its topics only, and still moves on past the others."""
    hub = a_hub(1)
    hub.publish("peer", {"id": "x"}, name="peer.up")
    place, _ = hub.begin("b-0")

    place, text = hub.read(place, frozenset({"peer"}))

    assert b"event: peer.up" in text
    assert ids(text) == ["b-2"]
    assert not hub.has_news(place)


def test_a_slow_listener_is_told_what_it_lost() -> None:
    """Who falls behind the ring hears how many events are gone, and then the ones still there."""
    hub = a_hub(20, backlog=8)
    place, _ = hub.begin("b-2")

    _, text = hub.read(place, BLOCK)

    assert text.startswith(b'id: b-12\nevent: gap\ndata: {"lost":10}\n\n')
    assert ids(text)[1:] == [f"b-{number}" for number in range(13, 21)]


def test_an_id_of_an_earlier_process_is_a_gap() -> None:
    """After a restart nobody can say how much was missed, and the stream says so."""
    hub = a_hub(5)

    for strange in ("a-2", "b-", "b-x", "b-" + "9" * 30, "-", "b-\u0663"):
        place, first = hub.begin(strange)
        assert b'event: gap\ndata: {"lost":null}' in first, strange
        assert not hub.has_news(place)


def test_an_id_from_the_future_waits_for_the_next_event() -> None:
    """An id that was never given out does not make the listener deaf."""
    hub = a_hub(2)
    place, _ = hub.begin("b-500")

    hub.publish("block", {"height": 3})

    assert ids(hub.read(place, BLOCK)[1]) == ["b-3"]


def test_a_piece_is_bounded() -> None:
    """One listener gets so many events at once and no more, however far behind it is."""
    hub = a_hub(2 * BATCH_MAX, backlog=2 * BATCH_MAX)
    place, _ = hub.begin("b-0")

    place, text = hub.read(place, ALL)

    assert len(ids(text)) == BATCH_MAX
    assert hub.has_news(place)


def test_many_fates_are_told_in_several_events() -> None:
    """One event never tells so many fates that it is larger than a piece; none is left out."""
    hub, count = Hub(boot="b"), 2 * ROWS_MAX + 1
    hub.expired(Expired(tuple(TxId(bytes([n // 256, n % 256]) * 16) for n in range(count))))
    place, told = hub.begin("b-0")

    while hub.has_news(place):
        place, text = hub.read(place, ALL)
        told += text

    assert ids(told) == ["b-1", "b-2", "b-3"]
    assert told.count(b'"status":"expired"') == count
    assert max(map(len, told.split(b"\n\n"))) < PIECE_BYTES


def test_the_fates_of_a_block_are_told_in_its_order() -> None:
    """Each with its place in the block, its code and its fee, in as many events as it takes."""
    hub, done = Hub(boot="b"), a_commit(7, ROWS_MAX + 2)
    place, _ = hub.begin("b-0")
    hub.committed(done)

    told = [each for _ in range(2) for each in rows_in(hub.read(place, ALL)[1])]

    wanted = [
        {
            "id": receipt.id.hex(),
            "status": "rejected" if index == 1 else "committed",
            "index": index,
            "code": receipt.code,
            "fee": str(receipt.fee),
        }
        for index, receipt in enumerate(done.receipts)
    ]
    assert told == 2 * wanted


@pytest.mark.parametrize("first", ["long", "brief"])
def test_the_short_form_tells_the_same_fates(first: str) -> None:
    """Runs of ids that fared alike, in the order of the block, whoever listened before."""
    hub, done = Hub(boot="b"), a_commit(7, ROWS_MAX + 2)
    hub.committed(done)
    hub.expired(Expired((TxId(b"x" * 32), TxId(b"y" * 32))))
    place, _ = hub.begin("b-0")

    if first == "long":
        hub.read(place, ALL)
    brief = hub.read(place, ALL, is_brief=True)[1]
    long = hub.read(place, ALL)[1]

    assert ids(brief) == ids(long) == ["b-1", "b-2", "b-3", "b-4"]
    assert brief == hub.read(place, ALL, is_brief=True)[1]
    assert data_in(brief)[0] == data_in(long)[0]
    told = [(row["id"], row["status"], row.get("code", "")) for row in rows_in(long)]
    assert told[-2:] == [(letter.hex() * 32, "expired", "") for letter in (b"x", b"y")]
    assert [row for event in data_in(brief)[1:] for row in unfolded(event)] == told
    assert [event["height"] for event in data_in(brief)] == [7, 7, 7, None]
    assert [len(event["runs"]) for event in data_in(brief)[1:]] == [3, 1, 1]


@pytest.mark.parametrize("is_brief", [False, True])
def test_the_ring_holds_no_more_of_a_transaction_than_it_tells(*, is_brief: bool) -> None:
    """A ring full of receipts with their events was most of what a busy node held."""
    hub, blocks, txs = Hub(boot="b"), 50, 400

    tracemalloc.start()
    for height in range(1, blocks + 1):
        hub.committed(a_commit(height, txs))
    unread, _ = tracemalloc.get_traced_memory()
    place, _ = hub.begin("b-0")
    while hub.has_news(place):
        place, _ = hub.read(place, ALL, is_brief=is_brief)
    read, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert unread / blocks / txs < 120
    assert read / blocks / txs < 220


def a_commit(height: int, count: int) -> Committed:
    """Build a block of so many transfers, of which the second has failed."""
    empty = Hash(bytes(32))
    header = Header(
        version=1,
        chain_id="aitbc-test-1",
        height=Height(height),
        parent_id=BlockId(b""),
        time_ms=0,
        proposer=PublicKey(bytes(32)),
        tx_root=empty,
        tx_count=count,
        state_root=empty,
        receipts_root=empty,
        last_commit_hash=empty,
        validators_hash=empty,
        next_validators_hash=empty,
        params_hash=empty,
        app_version=1,
        evidence_root=empty,
    )
    id_ = BlockId(height.to_bytes(32, "big"))
    certificate = Certificate(Height(height), Round(0), id_, ())
    receipts = tuple(a_receipt(height, place) for place in range(count))
    return Committed(id_, FinalBlock(Block(header, (), NO_COMMIT, ()), certificate), receipts)


def a_receipt(height: int, place: int) -> TxReceipt:
    """Tell of one transfer, with a name and an event of its own as every one has."""
    name = TxId(hashlib.sha256(b"%d %d" % (height, place)).digest())
    event = ("transfer", name.hex()[:40], name.hex()[24:], "AIT", str(1_000 + place))
    return TxReceipt(name, "insufficient" if place == 1 else "ok", 21_000, 210 + place, (event,))


def data_in(text: bytes) -> list[dict[str, Any]]:
    """List what the events in a piece of a stream say."""
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith(b"data: ")]


def unfolded(event: dict[str, Any]) -> list[tuple[str, str, str]]:
    """List the transactions of an event in its short form."""
    return [
        (run["ids"][at : at + 64], run["status"], run["code"])
        for run in event["runs"]
        for at in range(0, len(run["ids"]), 64)
    ]


def rows_in(text: bytes) -> list[dict[str, object]]:
    """List the transactions in a piece of a stream."""
    return [row for each in data_in(text) for row in each.get("txs", ())]


def test_a_piece_is_bounded_in_bytes_too() -> None:
    """Large events are handed out until they are enough; the rest comes with the next piece."""
    hub = Hub(boot="b")
    for _ in range(5):
        hub.publish("block", {"much": "x" * (PIECE_BYTES // 2)})
    place, _ = hub.begin("b-0")

    place, first = hub.read(place, BLOCK)
    place, second = hub.read(place, BLOCK)

    assert (ids(first), ids(second)) == (["b-1", "b-2"], ["b-3", "b-4"])
    assert hub.has_news(place)
