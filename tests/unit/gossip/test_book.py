"""The address book: who is known, who may fill it, and who is passed on."""

import hashlib

from aitbc_node import limits
from aitbc_node.canonical import encode
from aitbc_node.gossip.book import (
    FORGOTTEN_ATTEMPTS,
    HOPEFUL_ATTEMPTS,
    KNOWN_MAX,
    REST_MS,
    SELDOM_CAP_MS,
    Book,
)
from aitbc_node.gossip.entries import (
    FRESH_MS,
    PER_SUBNET_MAX,
    PER_TELLER_MAX,
    UNREACHABLE_ATTEMPTS,
)
from aitbc_node.gossip.records import LIFE_MS, PeerRecord
from aitbc_node.types import PeerId, PublicKey, Signature

OWN = PeerId(b"\0" * 20)
NAMED = PeerId(b"n" * 20)
TELLER = PeerId(b"t" * 20)
WALL_MS = 1_800_000_000_000


def draw(peer: PeerId, attempt: int) -> bytes:
    """Draw as a node does."""
    return hashlib.sha256(encode((OWN, peer, attempt))).digest()


def a_book(*, votes: bool = False) -> Book:
    """Make a book with one bootstrap peer."""
    return Book(OWN, ((NAMED, "10.0.0.1:1"),), draw=draw, votes=votes)


def a_record(number: int, address: str = "", *, made_ms: int = WALL_MS) -> PeerRecord:
    """Make a record as if it had been judged; it is not signed."""
    key = PublicKey(number.to_bytes(32, "big"))
    return PeerRecord(key, (address or f"10.0.0.{number % 250}:{number}",), made_ms, Signature(b""))


def learn(book: Book, record: PeerRecord, teller: PeerId | None = TELLER) -> bool:
    """Take a record at time 0."""
    return book.learn(record, teller=teller, now_ms=0)


def known(book: Book) -> set[PeerId]:
    """Return who is known."""
    return {entry.peer for entry in book}


def test_the_newer_of_two_records_counts() -> None:
    """Whoever passes an old one on changes nothing."""
    book = a_book()
    old, new = a_record(1, "10.0.0.5:1"), a_record(1, "10.0.0.6:1", made_ms=WALL_MS + 1)
    learn(book, new)

    assert not book.is_news(old)
    assert not book.is_news(new)
    learn(book, old)
    entry = book.get(new.peer)
    assert entry is not None
    assert entry.address == "10.0.0.6:1"


def test_a_named_peer_that_moved_is_dialled_at_both_places() -> None:
    """The operator's word comes first, the peer's own second."""
    book = a_book()
    record = a_record(7, "10.0.0.9:9")
    book = Book(OWN, ((record.peer, "10.0.0.1:1"),), draw=draw)
    learn(book, record)
    entry = book.get(record.peer)
    assert entry is not None

    first = entry.address
    book.plan_dial(record.peer, 0)

    assert (first, entry.address) == ("10.0.0.1:1", "10.0.0.9:9")


def test_nobody_can_fill_the_book_alone() -> None:
    """What one peer tells of nodes that were never met is bounded; those that were met are free."""
    book = a_book()
    told = [a_record(number) for number in range(1, PER_TELLER_MAX + 10)]

    taken = [learn(book, record) for record in told]

    assert sum(taken) == PER_TELLER_MAX
    assert learn(book, told[-1], PeerId(b"u" * 20))
    book.up(told[0].peer, 0)
    assert learn(book, told[-2])


def test_no_network_can_fill_the_book() -> None:
    """Addresses of one /24 are cheap; the second address of a record counts as well."""
    book = a_book()
    crowd = [a_record(number, f"203.0.113.9:{number}") for number in range(1, PER_SUBNET_MAX + 10)]

    taken = [learn(book, record) for record in crowd]
    two = a_record(5_000)
    two = PeerRecord(two.key, ("198.51.100.1:1", "203.0.113.9:1"), WALL_MS, two.signature)

    assert sum(taken) == PER_SUBNET_MAX
    assert not learn(book, two)
    assert learn(book, a_record(5_001, "198.51.100.1:1"))


def test_what_one_network_tells_of_itself_counts_as_one_voice() -> None:
    """Whatever addresses its identities invent: where their links come from is no invention."""
    book = a_book()
    taken = 0
    for number in range(1, PER_TELLER_MAX + 30):
        record = a_record(number)
        book.up(
            record.peer, 0, outbound=False, source=f"203.0.113.{number % 250}:{40_000 + number}"
        )
        taken += learn(book, record, record.peer)
        book.down(record.peer)
    elsewhere = a_record(9_000)
    book.up(elsewhere.peer, 0, outbound=False, source="198.51.100.1:40000")

    assert taken == PER_TELLER_MAX
    assert learn(book, elsewhere, elsewhere.peer)


def test_few_entries_lead_to_one_place() -> None:
    """However its address is written, and also for those that say they have moved there."""
    book = a_book()
    ways = ("198.51.100.7:443", "[::ffff:198.51.100.7]:443", "[::ffff:c633:6407]:443")

    taken = [learn(book, a_record(number, way)) for number, way in enumerate(ways, 1)]
    assert learn(book, a_record(9, "198.51.100.7:444"))
    moved = learn(book, a_record(9, ways[0], made_ms=WALL_MS + 1))

    assert taken == [True, True, False]
    assert not moved
    entry = book.get(a_record(9).peer)
    assert entry is not None
    assert entry.address == "198.51.100.7:444"


def test_lies_about_a_place_keep_nobody_out_who_is_there() -> None:
    """Nor about a network; who only says that it is there gets no room."""
    book = a_book()
    for number in range(1, PER_SUBNET_MAX + 1):
        learn(book, a_record(number, f"203.0.113.9:{1 + number // 2}"))
    honest, liar = (a_record(number, "203.0.113.9:1") for number in (900, 901))
    book.up(honest.peer, 0, outbound=False, source="203.0.113.9:40000")
    book.up(liar.peer, 0, outbound=False, source="198.51.100.1:40000")

    assert not learn(book, liar, liar.peer)
    assert not learn(book, honest)
    assert learn(book, honest, honest.peer)
    assert honest.peer in known(book)


def test_the_book_is_bounded_and_the_unreachable_make_room() -> None:
    """A full book of good nodes takes nobody; the operator's peer is never forgotten."""
    book = a_book()
    for number in range(1, KNOWN_MAX):
        assert learn(book, a_record(number), PeerId(number.to_bytes(20, "big")))
    assert len(book) == KNOWN_MAX
    late = a_record(KNOWN_MAX + 5)

    assert not learn(book, late)
    for _ in range(UNREACHABLE_ATTEMPTS):
        book.plan_dial(NAMED, 0)
        book.plan_dial(a_record(3).peer, 0)
    assert learn(book, late)
    assert a_record(3).peer not in known(book)
    assert NAMED in known(book)
    assert len(book) == KNOWN_MAX


def test_who_is_never_reached_is_forgotten_in_the_end() -> None:
    """Unless the operator or the ledger names it, or it was there a while ago."""
    book = a_book()
    lost, vouched, met = (a_record(number) for number in (1, 2, 3))
    learn(book, lost)
    book.vouch([vouched], 0)
    learn(book, met)
    book.up(met.peer, 0)

    for _ in range(FORGOTTEN_ATTEMPTS):
        for peer in (NAMED, lost.peer, vouched.peer, met.peer):
            book.plan_dial(peer, FRESH_MS)

    assert known(book) == {NAMED, vouched.peer, met.peer}


def test_a_heal_need_not_wait_for_who_was_linked_before() -> None:
    """Delays grow to two seconds for those, and far longer only for who never answered."""
    book = a_book()
    met, unmet = a_record(1), a_record(2)
    learn(book, met)
    learn(book, unmet)
    book.up(met.peer, 0)
    for _ in range(12):
        for peer in (NAMED, met.peer, unmet.peer):
            book.plan_dial(peer, 0)

    waits = {entry.peer: entry.dial_at_ms for entry in book}

    assert waits[NAMED] <= 2 * limits.REDIAL_CAP_MS
    assert waits[met.peer] <= 2 * limits.REDIAL_CAP_MS
    assert waits[unmet.peer] >= SELDOM_CAP_MS
    for _ in range(HOPEFUL_ATTEMPTS):
        book.plan_dial(met.peer, 0)
    assert {entry.peer: entry.dial_at_ms for entry in book}[met.peer] >= SELDOM_CAP_MS
    book.dial_all_now(5)
    assert {entry.dial_at_ms for entry in book} == {5}


def test_who_was_let_go_is_left_alone_for_a_while() -> None:
    """Else it would be back in its place at once; the end of the link does not shorten that."""
    book = a_book()

    book.rest(NAMED, 1_000)
    book.plan_dial(NAMED, 1_100)

    entry = book.get(NAMED)
    assert entry is not None
    assert entry.dial_at_ms == 1_000 + REST_MS


def test_only_what_was_linked_lately_is_passed_on() -> None:
    """Hearsay stops here, and so do records that are out of date; nobody is told of itself."""
    book = a_book()
    met, hearsay, other = (a_record(number) for number in (1, 2, 3))
    stale = a_record(4, made_ms=WALL_MS - LIFE_MS - 1)
    for record in (met, hearsay, other, stale):
        learn(book, record)
    for record in (met, other, stale):
        book.up(record.peer, 0)

    def sample(now_ms: int) -> list[PeerRecord]:
        return book.sample(9, without=other.peer, now_ms=now_ms, wall_ms=WALL_MS)

    assert sample(FRESH_MS) == [met]
    assert sample(FRESH_MS + 1) == []


def test_samples_are_bounded_and_differ() -> None:
    """So that after a few everybody is known, whoever was asked."""
    book = a_book()
    for number in range(1, 100):
        learn(book, a_record(number))
        book.up(a_record(number).peer, 0)

    samples = [book.sample(15, without=TELLER, now_ms=now, wall_ms=WALL_MS) for now in range(99)]

    assert {len(sample) for sample in samples} == {15}
    assert len({record.key for sample in samples for record in sample}) == 99


def test_the_file_keeps_those_that_were_linked_last() -> None:
    """Who was never met comes last, and is kept where there is room."""
    book = a_book()
    for number in range(1, 6):
        learn(book, a_record(number))
    book.up(a_record(4).peer, 10)
    book.up(a_record(2).peer, 20)

    kept = [record.peer for record in book.worth_keeping(3)]

    assert kept[:2] == [a_record(2).peer, a_record(4).peer]
    assert len(kept) == 3


def test_a_validator_wants_the_nodes_that_the_ledger_names() -> None:
    """Before all others, as it wants the operator's; a follower treats them as any good node."""
    for votes in (True, False):
        book = a_book(votes=votes)
        book.vouch([a_record(1)], 0)

        near = {entry.peer for entry in book.near}
        far = {entry.peer for entry in book.far()}

        assert near == ({NAMED, a_record(1).peer} if votes else {NAMED})
        assert near | far == known(book)
        book.vouch((), 0)
        assert {entry.peer for entry in book.near} == {NAMED}


def test_what_a_stranger_tells_is_counted_to_nobody_once_it_is_forgotten() -> None:
    """The counts of tellers and networks go down again, or the book would close for ever."""
    book = a_book()
    for round_number in range(3):
        first = 1 + round_number * PER_TELLER_MAX
        records = [a_record(first + step) for step in range(PER_TELLER_MAX)]
        assert all(learn(book, record) for record in records)
        for record in records:
            for _ in range(FORGOTTEN_ATTEMPTS):
                book.plan_dial(record.peer, FRESH_MS + 1)
    assert known(book) == {NAMED}


def test_throw_away_identities_do_not_fill_the_book_for_good() -> None:
    """Who came, told where it is and went makes room, the oldest first; nobody is told of it."""
    book = a_book()
    honest = a_record(KNOWN_MAX + 10)
    learn(book, honest)
    for number in range(1, KNOWN_MAX + 5):
        record = a_record(number)
        book.up(record.peer, 0, outbound=False)
        assert learn(book, record, record.peer)
        book.met(record.peer, 0)
        book.down(record.peer)

    assert len(book) == KNOWN_MAX
    assert honest.peer in known(book), "hearsay stays before them"
    assert a_record(1).peer not in known(book)
    assert book.sample(9, without=OWN, now_ms=0, wall_ms=WALL_MS) == []


def test_who_is_linked_finds_room_in_a_book_full_of_hearsay() -> None:
    """One that this node has reached stays; who is only told of gets no place."""
    book = a_book()
    reached = a_record(1)
    learn(book, reached)
    book.up(reached.peer, 0)
    book.down(reached.peer)
    for number in range(2, KNOWN_MAX):
        assert learn(book, a_record(number), PeerId(number.to_bytes(20, "big")))
    newcomer = a_record(KNOWN_MAX + 1)

    assert not learn(book, a_record(KNOWN_MAX + 2))
    book.up(newcomer.peer, 0, outbound=False)
    assert learn(book, newcomer, newcomer.peer)

    assert {newcomer.peer, reached.peer, NAMED} <= known(book)
    assert a_record(2).peer not in known(book)
