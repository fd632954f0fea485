"""Whom a node dials, and which link makes room."""

import hashlib
from collections.abc import Iterable

from aitbc_node import limits
from aitbc_node.canonical import encode
from aitbc_node.gossip.book import Book
from aitbc_node.gossip.choice import (
    AGE_MS_MIN,
    ANCHORS,
    DEGREE_ENOUGH,
    INBOUND_COMFORT,
    STRANGE_DIAL_MS,
    Held,
    StrangeDials,
    dials,
    to_evict,
    to_let_go,
    to_replace,
)
from aitbc_node.gossip.entries import Entry
from aitbc_node.gossip.records import PeerRecord
from aitbc_node.types import PeerId, PublicKey, Signature

OWN = PeerId(b"\0" * 20)


def draw(peer: PeerId, attempt: int) -> bytes:
    """Draw as a node does."""
    return hashlib.sha256(encode((OWN, peer, attempt))).digest()


def a_book(told: Iterable[str], named: Iterable[str] = ()) -> Book:
    """Make a book of nodes at these addresses."""
    bootstrap = tuple((PeerId(place.encode().ljust(20)[:20]), place) for place in named)
    book = Book(OWN, bootstrap, draw=draw)
    for number, place in enumerate(told):
        key = PublicKey(number.to_bytes(32, "big"))
        record = PeerRecord(key, (place,), 1, Signature(b""))
        assert book.learn(record, teller=PeerId(key[:20]), now_ms=0)
    return book


def chosen(book: Book, outbound: Iterable[str] = ()) -> list[str]:
    """Return the addresses that would be dialled now."""
    entries = dials(
        book, tuple(outbound), may_dial=lambda _entry: True, fame=lambda _: 0, draw=draw
    )
    return [entry.address for entry in entries]


def held(number: int, **facts: object) -> Held:
    """Show a link that could be spared."""
    defaults: dict[str, object] = {
        "peer": PeerId(number.to_bytes(20, "big")),
        "address": f"10.0.0.{number}:1",
        "crowd": f"10.0.0.{number}",
        "outbound": True,
        "rtt_ms": 10,
        "age_ms": AGE_MS_MIN,
        "degree": DEGREE_ENOUGH + 1,
        "is_kept": False,
    }
    return Held(**(defaults | facts))  # type: ignore[arg-type]


def test_strangers_are_dialled_up_to_the_target_and_named_ones_up_to_the_most() -> None:
    """Six links of its own are enough for a node; for the operator's peers two more are free."""
    crowd = [f"10.0.1.{number}:1" for number in range(20)]
    named = [f"10.0.0.{number}:1" for number in range(20)]

    assert len(chosen(a_book(crowd))) == limits.OUTBOUND_TARGET
    assert len(chosen(a_book((), named))) == limits.OUTBOUND_MAX
    mixed = chosen(a_book(crowd, named[:2]))
    assert set(named[:2]) < set(mixed)
    assert len(mixed) == limits.OUTBOUND_TARGET
    assert chosen(a_book(crowd, named), named[: limits.OUTBOUND_MAX]) == []


def test_dials_under_way_count() -> None:
    """Or a slow network would be dialled more than once."""
    book = a_book(f"10.0.1.{number}:1" for number in range(20))

    def may_dial(entry: Entry) -> bool:
        return entry.dialled_ms is None

    for entry in dials(book, (), may_dial=may_dial, fame=lambda _: 0, draw=draw):
        book.dial(entry, 0)

    assert len(book.dialling) == limits.OUTBOUND_TARGET
    assert dials(book, (), may_dial=may_dial, fame=lambda _: 0, draw=draw) == []


def test_a_named_peer_that_is_gone_takes_no_strangers_place() -> None:
    """The bootstrap host has vanished, and its dials never end: six others are dialled."""
    book = a_book((f"10.0.1.{number}:1" for number in range(20)), ["10.0.0.1:1"])
    book.plan_dial(book.named[0].peer, 0)
    book.dial(book.named[0], 0)

    def may_dial(entry: Entry) -> bool:
        return entry.dialled_ms is None

    assert (
        len(dials(book, (), may_dial=may_dial, fame=lambda _: 0, draw=draw))
        == limits.OUTBOUND_TARGET
    )


def test_another_host_comes_before_a_second_node_of_one() -> None:
    """The loss of one host must not cut a node off."""
    book = a_book([*(f"10.0.0.1:{port}" for port in range(1, 30)), "10.0.0.2:1", "10.0.0.3:1"])

    first = chosen(book)

    assert {"10.0.0.2:1", "10.0.0.3:1"} < set(first)
    assert set(first[:3]) >= {"10.0.0.2:1", "10.0.0.3:1"}


def test_some_places_go_to_the_nearest() -> None:
    """And others are drawn: only near ones would fall apart into islands."""
    book = a_book(f"10.0.1.{number}:1" for number in range(100))
    near = []
    for number, entry in enumerate(book):
        entry.rtt_ms = 5 if number < 4 else 100
        near.append(entry.address) if number < 4 else None

    picked = chosen(book)

    assert 2 <= len(set(picked) & set(near)) < limits.OUTBOUND_TARGET


def test_some_places_go_to_those_that_few_are_linked_with() -> None:
    """Or who came last would hang on its own links alone."""
    book = a_book(f"10.0.1.{number}:1" for number in range(100))
    poor = {entry.peer for number, entry in enumerate(book) if number in {40, 70}}

    picked = dials(
        book,
        (),
        may_dial=lambda _entry: True,
        fame=lambda peer: 0 if peer in poor else 9,
        draw=draw,
    )

    assert poor <= {entry.peer for entry in picked}


def test_who_was_never_met_is_dialled_at_a_bounded_rate() -> None:
    """A few at once, then four a second; who was met, or named, is free."""
    told = a_book([f"10.0.1.{number}:1" for number in range(100)], ["10.0.0.1:1"])
    strangers = list(told.far())
    strangers[0].met_ms = 0
    budget = StrangeDials()

    burst = sum(budget.may(entry, 1_000) for entry in strangers[1:])
    later = sum(
        budget.may(entry, now) for now in range(1_050, 11_001, 50) for entry in strangers[1:3]
    )

    assert burst == limits.OUTBOUND_TARGET
    assert later == 10_000 // STRANGE_DIAL_MS
    assert all(
        budget.may(entry, 11_000) for entry in (strangers[0], told.named[0]) for _ in range(9)
    )


def test_a_slow_link_is_replaced_and_a_needed_one_is_not() -> None:
    """Never below the target, never a named peer, never one that would be left with few links."""
    links = [held(number) for number in range(limits.OUTBOUND_TARGET - 1)]
    slow = held(99, rtt_ms=900)

    assert to_replace([*links, slow], candidates=1) == slow.peer
    assert to_replace([*links, slow], candidates=0) is None
    assert to_replace(links, candidates=1) is None
    for reason in ({"is_kept": True}, {"degree": DEGREE_ENOUGH}, {"age_ms": AGE_MS_MIN - 1}):
        bound = [held(number, **reason) for number in range(limits.OUTBOUND_TARGET)]
        assert to_replace(bound, candidates=1) is None


def test_the_oldest_own_links_are_never_given_up() -> None:
    """Who lies about its links is never worth giving up; all others would go to make it room."""
    links = [held(number, age_ms=AGE_MS_MIN + 100 - number) for number in range(6)]
    links[0] = held(0, age_ms=AGE_MS_MIN + 100, rtt_ms=900)
    links[1] = held(1, age_ms=AGE_MS_MIN + 99, rtt_ms=901)

    assert to_replace(links, candidates=1) in {link.peer for link in links[ANCHORS:]}


def test_a_node_with_many_links_lets_the_youngest_of_the_largest_crowd_go() -> None:
    """So that newcomers find room at a bootstrap host; who has few links needs this one."""
    crowd = [held(number, outbound=False, age_ms=90_000) for number in range(INBOUND_COMFORT)]
    young = held(99, outbound=False, age_ms=AGE_MS_MIN)
    newest = held(98, outbound=False, age_ms=AGE_MS_MIN - 1)
    poor = held(97, outbound=False, degree=limits.DEGREE_MIN)

    assert to_let_go(crowd) is None
    assert to_let_go([*crowd, young]) == young.peer
    assert to_let_go([*crowd, newest]) in {link.peer for link in crowd}
    assert to_let_go([*crowd, poor]) in {link.peer for link in crowd}
    neighbour = held(96, outbound=False, age_ms=80_000, crowd=crowd[3].crowd)
    assert to_let_go([*crowd, young, neighbour]) == neighbour.peer
    kept = [held(number, outbound=False, is_kept=True) for number in range(INBOUND_COMFORT + 9)]
    assert to_let_go(kept) is None


def test_to_lie_about_links_keeps_no_place() -> None:
    """A crowd that says it has one link each makes room down to the bound, and the honest stay."""
    honest = [held(number, outbound=False, age_ms=90_000, degree=30) for number in range(10)]
    liars = [
        held(100 + number, outbound=False, degree=1, crowd="203.0.113.0/24") for number in range(40)
    ]
    links = [*honest, *liars]

    while (gone := to_let_go(links)) is not None:
        links = [link for link in links if link.peer != gone]

    assert len(links) == INBOUND_COMFORT
    assert set(honest) < set(links)


def test_who_lacks_a_place_that_was_kept_for_it_gets_one_at_once() -> None:
    """However young and poor they are, strangers go; nobody who is kept does, nor an own link."""
    stranger = held(1, outbound=False, age_ms=0, degree=0)
    others = [held(2, outbound=False, is_kept=True), held(3)]

    assert to_evict([stranger, *others]) == stranger.peer
    assert to_evict(others) is None
