"""Messages of accounts over HTTP: how one comes in, who hears it, what is kept and for how long."""

import base64
import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from aitbc_node import bech32, examples, limits
from aitbc_node.codes import Code
from aitbc_node.events import TxOutcome
from aitbc_node.posting import Delivered
from aitbc_node.rpc.dispatch import dispatch
from aitbc_node.rpc.fanout import Fan, Listener
from aitbc_node.rpc.post import HEAD_BYTES, Post, answer_publication
from aitbc_node.rpc.route import Publication, Subscription
from aitbc_node.rpc.streams import Hub
from aitbc_node.rpc.view import Request, Response
from aitbc_node.types import Address, Hash, Height, TxId

ALICE, BOB = Address(b"a" * 20), Address(b"b" * 20)
NEWS = frozenset({"news"})
Work: TypeAlias = Callable[[], None]


def a_letter(number: int, *, to: Address | None = None, until: int = 9, size: int = 3) -> Delivered:
    """Return what the machine hands out."""
    return Delivered(
        id=Hash(number.to_bytes(32)),
        sender=ALICE,
        to=to,
        topic="" if to else "news",
        correlation=b"\x07" if to else b"",
        valid_until=Height(until),
        content=bytes(size),
    )


def a_post() -> Post:
    """Make empty rings."""
    return Post(boot="b", hrp="aitd")


def events(text: bytes) -> list[tuple[str, Any]]:
    """Read server-sent events as name and data."""
    found = []
    for block in text.decode().split("\n\n"):
        rows = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in rows:
            found.append((rows["event"], json.loads(rows["data"])))
    return found


def kept(hub: Hub, topic: str, place: int | None = None) -> list[tuple[str, Any]]:
    """Read what a listener to one topic finds."""
    return events(hub.read(hub.oldest if place is None else place, frozenset({topic}))[1])


def test_a_message_on_a_topic_is_heard_there_and_nowhere_else() -> None:
    """Its data say from whom it is, on what, until when, and what it says."""
    post = a_post()
    post.delivered(a_letter(1))

    ((name, data),) = kept(post.topics, "news")
    assert name == "message"
    assert data == {
        "id": bytes(31).hex() + "01",
        "sender": bech32.address_text("aitd", ALICE),
        "to": None,
        "topic": "news",
        "correlation": "",
        "valid_until": 9,
        "content": base64.b64encode(bytes(3)).decode(),
    }
    assert kept(post.topics, "weather") == []
    assert kept(post.mail, "news") == []


def test_what_is_to_an_account_is_kept_for_it_alone() -> None:
    """Whoever asks a little later hears it, too; a topic is for who listens."""
    post, bob = a_post(), bech32.address_text("aitd", BOB)
    post.delivered(a_letter(1, to=BOB))
    post.delivered(a_letter(2))

    assert post.mail.begin("", from_oldest=True) == (1, b"")
    assert post.topics.begin("") == (2, b"")
    assert [data["correlation"] for _, data in kept(post.mail, bob)] == ["07"]
    assert kept(post.mail, bech32.address_text("aitd", ALICE)) == []


def test_what_has_ended_is_told_to_nobody() -> None:
    """Behind its last height, although the ring still has room."""
    post, bob = a_post(), bech32.address_text("aitd", BOB)
    for number, until in ((1, 5), (2, 6)):
        post.delivered(a_letter(number, to=BOB, until=until))

    post.ended(Height(5))
    assert len(kept(post.mail, bob)) == 2
    post.ended(Height(6))
    assert [data["valid_until"] for _, data in kept(post.mail, bob)] == [6]


def test_rings_are_bounded_by_bytes_and_by_count() -> None:
    """The largest messages leave room for as few as fit; ended ones cost nothing."""
    post, size = a_post(), 30_000
    for number in range(2 * limits.LETTERS_BACKLOG):
        post.delivered(a_letter(number, size=size))
    hub = post.topics
    fit = limits.LETTERS_BACKLOG_BYTES_MAX // (HEAD_BYTES + size)
    assert len(hub._ring) == fit
    assert hub._bytes == fit * (HEAD_BYTES + size)

    post.ended(Height(10))
    assert hub._bytes == 0
    for number in range(2 * limits.LETTERS_BACKLOG):
        post.delivered(a_letter(number))
    assert len(hub._ring) == limits.LETTERS_BACKLOG
    assert hub._bytes == (HEAD_BYTES + 3) * limits.LETTERS_BACKLOG


@pytest.mark.parametrize("size", [0, 1], ids=["no size", "a size"])
def test_a_ring_counts_what_it_holds_whatever_pushed_the_rest_out(size: int) -> None:
    """Events without a size push sized ones out by their count, and those cost nothing any more."""
    hub = Hub(boot="b", backlog=8, bytes_max=800)
    for _ in range(8):
        hub.publish("news", {}, size=100)
    for _ in range(8):
        hub.publish("news", {}, size=size)
    assert hub._bytes == sum(item.size for item in hub._ring) == 8 * size

    for _ in range(4):
        hub.publish("news", {}, size=100)
    assert len(hub._ring) == 8


def test_an_empty_message_has_a_size_too() -> None:
    """Its addresses and its topic take room."""
    post = a_post()
    post.delivered(a_letter(1, size=0))

    assert post.topics._bytes == HEAD_BYTES


class Reader:
    """Be the connection of a listener that reads only when told so."""

    def __init__(self, *, reads: bool = True) -> None:
        self.reads = reads
        self.text = b""
        self.is_cut_off = False

    @property
    def is_full(self) -> bool:
        return not self.reads

    def push(self, data: bytes) -> None:
        self.text += data.split(b"\r\n", 1)[1][:-2]

    def end(self) -> None:
        """Be told that no more comes."""
        self.is_cut_off = True


class Crowd:
    """Be listeners on one topic of a node, and the work that its loop is asked for."""

    def __init__(self) -> None:
        self.post = a_post()
        self.work: list[Work] = []
        self.fan = Fan(self.post.topics, soon=self.work.append)

    def listener(self, *, reads: bool = True) -> Reader:
        """Let one more listen."""
        reader = Reader(reads=reads)
        place, _ = self.post.topics.begin("")
        self.fan.join(Listener(reader, place=place, topics=NEWS, on_behind=reader.end))
        return reader

    def publish(self, *numbers: int, size: int = 3) -> None:
        """Hand out, and let the loop do what it is asked for."""
        for number in numbers:
            self.post.delivered(a_letter(number, size=size))
            while self.work:
                self.work.pop(0)()


@pytest.mark.proves("D15")
def test_a_hundred_subscribers_hear_it_once_and_the_slow_one_is_dropped_with_the_reason() -> None:
    """Nobody waits for it, it costs no memory; reading again, it is told how far behind it is."""
    crowd = Crowd()
    readers = [crowd.listener() for _ in range(100)]
    slow = crowd.listener(reads=False)
    count = limits.LETTERS_BACKLOG + 7
    crowd.publish(*range(count))

    wanted = [number.to_bytes(32).hex() for number in range(count)]
    assert all([data["id"] for _, data in events(each.text)] == wanted for each in readers)
    assert slow.text == b""
    assert len(crowd.post.topics._ring) == limits.LETTERS_BACKLOG

    slow.reads = True
    crowd.publish(count)
    crowd.publish(count + 1)
    ((name, data),) = events(slow.text)
    assert name == "closing"
    assert data == {"reason": "too slow: 8 messages behind", "lost": 8}
    assert slow.is_cut_off
    assert crowd.post.topics.dropped == 1
    assert not any(each.is_cut_off for each in readers)


def asked(view: Any, method: str, path: str, **fields: Any) -> Any:
    """Dispatch one request."""
    request = Request(method=method, path=path, request_id="r", **fields)
    return dispatch(request, view.facts, view, view)


def test_a_message_is_handed_to_the_machine_as_it_came(node: Any) -> None:
    """The node reads its bytes, not the interface; another form is refused by its field."""
    raw = next(examples.letters())
    body = json.dumps({"raw": base64.b64encode(raw).decode()}).encode()

    assert asked(node, "POST", "/messages", body=body) == Publication(raw)
    for wrong in (b"", b"{}", b'{"raw": 7}', b'{"raw": "", "more": 1}'):
        refused = asked(node, "POST", "/messages", body=wrong)
        assert isinstance(refused, Response)
        assert refused.status == 400
    large = base64.b64encode(bytes(limits.LETTER_BYTES_MAX + 1)).decode()
    refused = asked(node, "POST", "/messages", body=json.dumps({"raw": large}).encode())
    assert (refused.status, json.loads(refused.body)["error"]["field"]) == (413, "raw")
    other = asked(node, "POST", "/messages", body=raw, content_type="application/msgpack")
    assert other.status == 415


def test_streams_name_their_topics_or_their_account(node: Any) -> None:
    """An account is named by its address, in one way only."""
    address = bech32.address_text(node.state.chain.hrp, BOB)
    topics = asked(node, "GET", "/messages", query={"topic": ["news,weather"]})
    mail = asked(node, "GET", f"/messages/{address}", query={"last_id": ["b-7"]})

    assert topics == Subscription(frozenset({"news", "weather"}), "", "topics")
    assert mail == Subscription(frozenset({address}), "b-7", "mail")
    many = ",".join(f"t{number}" for number in range(17))
    for query in ({}, {"topic": [""]}, {"topic": ["News"]}, {"topic": [many]}):
        assert asked(node, "GET", "/messages", query=query).status == 400
    assert asked(node, "GET", "/messages/aitd1nobody").status == 400


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.OK, 202),
        (Code.E_MALFORMED, 400),
        (Code.E_SIZE, 413),
        (Code.E_SIGNATURE, 422),
        (Code.E_EXPIRED, 422),
        (Code.E_UNKNOWN, 422),
        (Code.E_RATE, 429),
        (Code.E_UNAVAILABLE, 503),
    ],
)
def test_the_answer_says_what_became_of_it(code: Code, status: int) -> None:
    """By its status, its code and its field; who may come again is told when."""
    outcome = TxOutcome(TxId(bytes(32)), code, "sigs" if code != Code.OK else "", "why")
    request = Request(method="POST", path="/messages", request_id="r")

    response = answer_publication([outcome], request)

    told = json.loads(response.body)
    assert response.status == status
    if code == Code.OK:
        assert told == {"id": "00" * 32}
    else:
        assert (told["error"]["code"], told["error"]["field"]) == (code, "sigs")
    assert ("retry-after" in dict(response.headers)) is (status in {429, 503})
