"""Telling each other of nodes: bounded, asked for, and believed no further than it is signed."""

import hashlib

import pytest

from aitbc_node import limits
from aitbc_node.canonical import encode
from aitbc_node.crypto import SigningKey, peer_id, verify
from aitbc_node.errors import PeerFault
from aitbc_node.events import Effect, SavePeers, Send
from aitbc_node.gossip.book import Book
from aitbc_node.gossip.exchange import ANSWER_MS, ASK_MS, ASK_SOON_MS, SAVE_MS, Exchange
from aitbc_node.gossip.messages import Message, PeersKnown, PeersWanted, decode_message
from aitbc_node.gossip.records import LIFE_MS, OwnRecord, PeerRecord, signed
from aitbc_node.types import PeerId, Signature

CHAIN = "aitbc-test-1"
WALL_MS = 1_800_000_000_000
OWN = SigningKey(b"\x01" * 32)
OWN_ID = peer_id(OWN.public_key)
KEYS = [SigningKey(bytes([number]) * 32) for number in range(2, 60)]
RECORDS = [
    signed(CHAIN, key, (f"10.0.0.{number}:8600",), made_ms=WALL_MS)
    for number, key in enumerate(KEYS, 1)
]
FRIEND = RECORDS[0].peer


def draw(peer: PeerId, attempt: int) -> bytes:
    """Draw as a node does."""
    return hashlib.sha256(encode((OWN_ID, peer, attempt))).digest()


def an_exchange(*, takes_part: bool = True) -> tuple[Exchange, Book]:
    """Make the exchange of a node that knows nobody."""
    book = Book(OWN_ID, (), draw=draw)
    own = OwnRecord(CHAIN, OWN, ("10.0.9.9:8600",)) if takes_part else None
    return Exchange(book, own, chain_id=CHAIN, verify=verify, draw=draw), book


def told(exchange: Exchange, *records: PeerRecord, teller: PeerId = FRIEND) -> list[Effect]:
    """Have a peer tell of these, at time 0."""
    return exchange.told(teller, records, now_ms=0, wall_ms=WALL_MS)


def up(exchange: Exchange, peer: PeerId = FRIEND) -> list[Effect]:
    """Have a link come up at time 0."""
    return exchange.up(peer, now_ms=0, wall_ms=WALL_MS)


def messages(effects: list[Effect]) -> list[Message]:
    """Return what is sent."""
    return [decode_message(effect.payload) for effect in effects if isinstance(effect, Send)]


def test_a_new_link_brings_records_both_ways() -> None:
    """Each end says where it is, and of whom it knows: a newcomer needs one address only."""
    exchange, book = an_exchange()
    book.up(FRIEND, 0, outbound=False)
    up(exchange)
    told(exchange, RECORDS[0], RECORDS[1])

    (greeting,) = messages(exchange.up(RECORDS[2].peer, now_ms=1, wall_ms=WALL_MS))

    assert {entry.peer for entry in book} == {RECORDS[0].peer, RECORDS[1].peer}
    assert isinstance(greeting, PeersKnown)
    assert greeting.records[0].peer == OWN_ID
    assert greeting.records[1:] == (RECORDS[0],), "only who is linked is passed on"


def test_no_message_is_longer_than_any_may_be() -> None:
    """However many are known."""
    exchange, book = an_exchange()
    for record in RECORDS:
        book.learn(record, teller=None, now_ms=0)
        book.up(record.peer, 0)

    (greeting,) = messages(up(exchange))

    assert isinstance(greeting, PeersKnown)
    assert len(greeting.records) == limits.PEER_RECORDS_MAX
    assert max(len(encode(record)) for record in RECORDS) < limits.PEER_RECORD_BYTES_MAX


def test_what_nobody_asked_for_is_not_read_and_too_much_of_it_a_fault() -> None:
    """One message on a new link, one for each question: a flood of records ends the link."""
    exchange, book = an_exchange()
    up(exchange)
    told(exchange, RECORDS[1])

    for _ in range(limits.PEERS_OWED_MAX):
        told(exchange, RECORDS[2])
    assert book.get(RECORDS[2].peer) is None
    with pytest.raises(PeerFault, match="nobody asked"):
        told(exchange, RECORDS[2])
    exchange.ask_all((FRIEND,))
    told(exchange, RECORDS[2])
    assert book.get(RECORDS[2].peer) is not None


def test_a_peer_that_introduces_itself_twice_does_no_wrong() -> None:
    """Of two links that cross one stays, and what both ends said on either may come over it."""
    exchange, book = an_exchange()
    other, _ = an_exchange()
    twice = messages(up(other)) + messages(up(other))
    up(exchange)

    for greeting in twice:
        assert isinstance(greeting, PeersKnown)
        told(exchange, RECORDS[0], *greeting.records[1:])

    assert book.get(FRIEND) is not None


def test_a_false_record_is_a_fault_and_an_old_one_is_not() -> None:
    """Who passes on what it has not looked at is to blame; clocks may differ."""
    exchange, book = an_exchange()
    good = RECORDS[1]
    false = PeerRecord(good.key, good.addresses, good.made_ms, Signature(bytes(64)))
    old = signed(CHAIN, KEYS[2], ("10.0.0.3:1",), made_ms=WALL_MS - LIFE_MS - 1)
    up(exchange)

    with pytest.raises(PeerFault, match="did not sign"):
        told(exchange, false)
    up(exchange)
    told(exchange, old)

    assert len(book) == 0


def test_nobody_is_believed_about_this_node() -> None:
    """Its own record does not come into its own book."""
    exchange, book = an_exchange()
    up(exchange)

    told(exchange, signed(CHAIN, OWN, ("10.0.0.66:1",), made_ms=WALL_MS + 9))

    assert len(book) == 0


def test_a_small_question_cannot_be_made_to_bring_much() -> None:
    """One answer a second and peer, however often it asks."""
    exchange, _ = an_exchange()

    answers = [
        messages(exchange.asked(FRIEND, now_ms=now_ms, wall_ms=WALL_MS))
        for now_ms in range(0, 3 * ANSWER_MS, 10)
    ]

    assert sum(map(len, answers)) == 3


def test_a_node_with_few_links_asks_soon_and_else_seldom() -> None:
    """Every two seconds, else every thirty; a lost link brings the next question forward."""
    for is_short, gap_ms in ((True, ASK_SOON_MS), (False, ASK_MS)):
        exchange, _ = an_exchange()
        asked = [
            now_ms
            for now_ms in range(0, 4 * gap_ms, 250)
            if PeersWanted() in messages(exchange.tick((FRIEND,), is_short=is_short, now_ms=now_ms))
        ]
        assert asked == [0, gap_ms, 2 * gap_ms, 3 * gap_ms]

    assert messages(exchange.tick((FRIEND,), is_short=True, now_ms=4 * ASK_MS - 1_000)) == []
    late_ms = 4 * ASK_MS - 1_000 + ASK_SOON_MS
    assert PeersWanted() in messages(exchange.tick((FRIEND,), is_short=True, now_ms=late_ms))


def test_what_is_known_survives_a_restart() -> None:
    """It is written now and then, when there is news, and read again; damage is left out."""
    exchange, book = an_exchange()
    up(exchange)
    told(exchange, *RECORDS[:3])

    saved = [
        effect
        for now_ms in range(0, 3 * SAVE_MS, 1_000)
        for effect in exchange.tick((), is_short=True, now_ms=now_ms)
        if isinstance(effect, SavePeers)
    ]
    assert len(saved) == 1, "nothing is written twice"
    again, other_book = an_exchange()
    again.restore((b"nonsense", *saved[0].raws, encode(RECORDS[4])[:-1]), 0)

    assert {entry.peer for entry in other_book} == {entry.peer for entry in book}


def test_no_stranger_has_a_node_dial_itself_or_its_hosts_services() -> None:
    """Where all nodes are of one host, and only there, its loopback addresses are theirs."""
    places = ("127.0.0.1:9000", "169.254.169.254:80", "240.0.0.1:1")
    records = [
        signed(CHAIN, key, ("10.0.0.7:1", place), made_ms=WALL_MS)
        for key, place in zip(KEYS, places, strict=False)
    ]
    exchange, book = an_exchange()
    up(exchange)
    told(exchange, *records)
    assert len(book) == 0

    own = OwnRecord(CHAIN, OWN, ("127.0.0.1:8600",))
    at_home = Book(OWN_ID, (), draw=draw)
    exchange = Exchange(at_home, own, chain_id=CHAIN, verify=verify, draw=draw)
    up(exchange)
    told(exchange, *records)
    exchange.restore([encode(record) for record in records], 0)
    assert {entry.peer for entry in at_home} == {records[0].peer}


def test_who_takes_no_part_says_and_learns_nothing() -> None:
    """A listed-only mesh has no strangers to tell of."""
    exchange, book = an_exchange(takes_part=False)

    assert up(exchange) == []
    assert told(exchange, RECORDS[1]) == []
    assert exchange.asked(FRIEND, now_ms=0, wall_ms=WALL_MS) == []
    assert exchange.tick((FRIEND,), is_short=True, now_ms=SAVE_MS) == []
    assert len(book) == 0
