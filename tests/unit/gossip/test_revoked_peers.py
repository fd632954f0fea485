"""What a node does about peers whose keys have ended: nothing any more, whoever they were."""

from aitbc_node.events import Dial, Disconnect, Note, PeerUp
from aitbc_node.gossip.book import YIELD_MS
from aitbc_node.gossip.peers import Peers
from aitbc_node.gossip.records import PeerRecord
from aitbc_node.types import PeerId, PublicKey, Signature

OWN, NAMED, OTHER = (PeerId(letter * 20) for letter in (b"m", b"n", b"o"))
KEY = PublicKey(b"\x07" * 32)
TOLD = PeerRecord(KEY, ("10.0.0.7:1",), 1, Signature(bytes(64)))


def some_peers() -> Peers:
    """Build the links of a validator that knows two peers by their addresses."""
    return Peers(OWN, ((NAMED, "n:1"), (OTHER, "o:1")), listed_only=False, votes=True)


def up(peer: PeerId) -> PeerUp:
    """Report a link that the peer has dialled."""
    return PeerUp(wall_ms=0, peer=peer, outbound=False, address="there:1", version="1")


def test_the_links_of_an_ended_key_are_closed_at_once_and_nobody_elses() -> None:
    """The reason is a code that a log can be searched for."""
    peers = some_peers()
    peers.on_up(up(NAMED), 0)
    peers.on_up(up(OTHER), 0)

    effects = peers.part_with({NAMED}, 5)

    assert [each for each in effects if isinstance(each, Disconnect)] == [
        Disconnect(NAMED, "revoked")
    ]
    assert peers.linked() == (OTHER,)
    assert peers.part_with({NAMED}, 6) == []


def test_an_ended_key_is_neither_dialled_nor_let_in_though_the_operator_named_it() -> None:
    """No room is kept for it either."""
    peers = some_peers()
    peers.part_with({NAMED}, 0)

    dialled = [each.peer for each in peers.tick(YIELD_MS) if isinstance(each, Dial)]
    refused = peers.on_up(up(NAMED), YIELD_MS)

    assert dialled == [OTHER]
    assert refused[0] == Disconnect(NAMED, "revoked")
    assert [entry.peer for entry in peers.book.near] == [OTHER]
    assert not peers.is_named(NAMED)


def test_a_dial_that_was_under_way_ends_in_a_refusal() -> None:
    """What was begun before the block is settled by the book as it is after it."""
    peers = some_peers()
    assert Dial(NAMED, "n:1") in peers.tick(YIELD_MS)
    peers.part_with({NAMED}, YIELD_MS)

    assert peers.on_up(up(NAMED), YIELD_MS)[0] == Disconnect(NAMED, "revoked")
    assert NAMED not in peers.book.dialling


def test_nobody_brings_an_ended_key_back_into_the_book() -> None:
    """Neither hearsay, nor itself, nor the ledger's other records."""
    peers = some_peers()
    assert peers.book.is_news(TOLD)
    peers.part_with({TOLD.peer}, 0)

    peers.book.vouch([TOLD], 1)

    assert not peers.book.is_news(TOLD)
    assert peers.book.get(TOLD.peer) is None


def test_a_node_whose_own_key_has_ended_says_so_once() -> None:
    """Nobody answers it any more; its operator has to know why."""
    peers = some_peers()

    assert peers.part_with({OWN}, 0) == [Note("node.revoked", (("peer", OWN.hex()),))]
    assert peers.part_with({OWN}, 1) == []
