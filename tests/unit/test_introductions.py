"""Whom the ledger names, and who may name anybody there."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aitbc_node.canonical import encode
from aitbc_node.crypto import SigningKey, verify
from aitbc_node.gossip.book import Book
from aitbc_node.gossip.records import signed
from aitbc_node.introductions import EVERY_BLOCKS, Introductions
from aitbc_node.ledger.objects import StoredRecord
from aitbc_node.ledger.records import NODE_KEY, record_key
from aitbc_node.types import Address, Height, PeerId

CHAIN = "aitbc-test-1"
NODE = SigningKey(b"\x05" * 32)
OPERATOR, STRANGER = Address(b"o" * 20), Address(b"s" * 20)
RECORD = signed(CHAIN, NODE, ("10.0.0.5:8600",), made_ms=7)


class Ledger:
    """Be as much of a chain as is looked at."""

    def __init__(self) -> None:
        self.chain_id = CHAIN
        self.height = Height(1)
        self.records: dict[bytes, StoredRecord] = {}
        self.operators = [OPERATOR]
        self.revoked: set[PeerId] = set()

    @property
    def state(self) -> Any:
        members = [SimpleNamespace(operator=operator) for operator in self.operators]
        validators = SimpleNamespace(members=members)
        listing = SimpleNamespace(revoked=self.revoked, heirs={})
        return SimpleNamespace(validators=validators, record=self.records.get, listing=listing)

    def put(self, owner: Address, value: bytes, *, expires: int = 1_000) -> None:
        """Let an account write its record."""
        _, name = record_key("peer", NODE_KEY, owner)
        self.records[name] = StoredRecord("peer", NODE_KEY, value, owner, Height(expires))


@pytest.fixture
def book() -> Book:
    """Make an empty address book."""
    return Book(PeerId(bytes(20)), (), draw=lambda peer, _attempt: bytes(peer))


def looking(ledger: Ledger, book: Book) -> Introductions:
    """Make what looks at the ledger for this book."""
    peers = SimpleNamespace(book=book)

    def part_with(ended: Iterable[PeerId], _heirs: object) -> None:
        for peer in ended:
            book.strike(peer)

    mesh = SimpleNamespace(peers=peers, part_with=part_with)
    return Introductions(cast("Any", ledger), cast("Any", mesh), verify)


def vouched(book: Book) -> list[PeerId]:
    """Return whom the ledger speaks for."""
    return [entry.peer for entry in book if entry.vouched]


def test_the_operator_of_a_validator_names_its_node(book: Book) -> None:
    """However old the record is: the ledger keeps it for as long as it was paid for."""
    ledger = Ledger()
    ledger.put(OPERATOR, encode(RECORD))

    looking(ledger, book).poll(0)

    entry = book.get(RECORD.peer)
    assert entry is not None
    assert (entry.vouched, entry.address) == (True, "10.0.0.5:8600")


def test_nobody_else_names_anybody(book: Book) -> None:
    """An account costs nothing; what it writes is its own affair."""
    ledger = Ledger()
    ledger.put(STRANGER, encode(RECORD))

    looking(ledger, book).poll(0)

    assert len(book) == 0


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        encode(RECORD)[:-1] + b"\0",
        encode(signed("aitbc-other-1", NODE, ("10.0.0.5:8600",), made_ms=7)),
        encode(signed(CHAIN, NODE, ("node.example:8600",), made_ms=7)),
    ],
    ids=["empty", "nonsense", "another signature", "another chain", "a name"],
)
def test_what_is_no_record_names_nobody(book: Book, value: bytes) -> None:
    """An operator can write anything; it stops no node."""
    ledger = Ledger()
    ledger.put(OPERATOR, value)

    looking(ledger, book).poll(0)

    assert len(book) == 0


def test_a_change_is_seen_some_blocks_later(book: Book) -> None:
    """A record that ended, or whose operator lost its vote, is one of many from then on."""
    ledger = Ledger()
    ledger.put(OPERATOR, encode(RECORD), expires=1 + EVERY_BLOCKS)
    introductions = looking(ledger, book)
    introductions.poll(0)
    assert vouched(book) == [RECORD.peer]

    ledger.height = Height(EVERY_BLOCKS)
    introductions.poll(1)
    assert vouched(book) == [RECORD.peer]
    ledger.height = Height(1 + EVERY_BLOCKS)
    introductions.poll(2)

    assert vouched(book) == []
    assert book.get(RECORD.peer) is not None


def test_a_key_that_has_ended_is_seen_with_its_block(book: Book) -> None:
    """Names may wait for some blocks; what has ended is refused from that block on."""
    ledger = Ledger()
    ledger.put(OPERATOR, encode(RECORD))
    introductions = looking(ledger, book)
    introductions.poll(0)
    assert vouched(book) == [RECORD.peer]

    ledger.height = Height(2)
    ledger.revoked.add(RECORD.peer)
    introductions.poll(1)

    assert book.get(RECORD.peer) is None
