"""What a node does about peers whose keys have ended: nothing any more, whoever they were."""

import pytest

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


HEIR, LAST = (PeerId(letter * 20) for letter in (b"h", b"l"))


def dialled(peers: Peers, now_ms: int) -> set[tuple[PeerId, str]]:
    """Return whom a node dials, and where."""
    return {(each.peer, each.address) for each in peers.tick(now_ms) if isinstance(each, Dial)}


def test_who_takes_the_place_of_a_named_peer_is_dialled_where_that_was_and_let_in() -> None:
    """In the very step in which the other one is parted with, and a place is kept for it."""
    peers = Peers(OWN, ((NAMED, "n:1"), (OTHER, "o:1")), listed_only=True, votes=True)
    peers.on_up(up(NAMED), 0)

    peers.part_with({NAMED}, 5, heirs={NAMED: HEIR})

    assert peers.is_named(HEIR)
    assert not peers.is_named(NAMED)
    assert {entry.peer for entry in peers.book.near} == {HEIR, OTHER}
    assert (HEIR, "n:1") in dialled(peers, YIELD_MS)
    peers.on_up(up(HEIR), YIELD_MS)
    assert peers.linked() == (HEIR,)
    assert peers.book.heirs_of([NAMED, OTHER]) == {HEIR}


def test_a_place_that_changed_hands_twice_is_the_last_ones_in_whatever_order_that_is_read() -> None:
    """Block by block, or all at once behind a restart."""
    heirs = {NAMED: HEIR, HEIR: LAST}
    slow, quick = some_peers(), some_peers()

    slow.part_with({NAMED}, 0, heirs={NAMED: HEIR})
    slow.part_with({NAMED, HEIR}, 1, heirs=heirs)
    quick.part_with({NAMED, HEIR}, 0, heirs=heirs)

    for peers in (slow, quick):
        assert {entry.peer for entry in peers.book.named} == {LAST, OTHER}
        assert peers.book.heirs_of([NAMED]) == peers.book.heirs_of([HEIR]) == {LAST}
        assert dialled(peers, 2 * YIELD_MS) == {(LAST, "n:1"), (OTHER, "o:1")}


@pytest.mark.parametrize("listed_only", [True, False], ids=["listed", "open"])
def test_who_lost_a_place_again_stands_for_nothing_at_once(listed_only: bool) -> None:  # noqa: FBT001 - a parameter
    """Its link is closed, it is neither named nor dialled, and let in as a stranger at most."""
    peers = Peers(OWN, ((NAMED, "n:1"), (OTHER, "o:1")), listed_only=listed_only, votes=True)
    heirs = {NAMED: HEIR}
    peers.part_with({NAMED}, 0, heirs=heirs)
    peers.on_up(up(HEIR), 1)

    heirs.clear()  # the ledger's own, which goes on
    effects = peers.part_with({NAMED}, 2, heirs=heirs)

    closed = [each for each in effects if isinstance(each, Disconnect)]
    assert closed == [Disconnect(HEIR, "its place was taken back")]
    assert not peers.is_named(HEIR)
    assert [entry.peer for entry in peers.book.near] == [OTHER]
    assert peers.book.heirs_of([NAMED]) == set()
    assert dialled(peers, 2 * YIELD_MS) == {(OTHER, "o:1")}
    assert not peers.is_revoked(HEIR)
    assert isinstance(peers.on_up(up(HEIR), 3)[0], Disconnect) == listed_only
    assert peers.part_with({NAMED}, 4, heirs=heirs) == []


def test_who_is_listed_only_loses_its_heir_too() -> None:
    """Links are let in by lists that the book does not have; it is asked for the heirs of those."""
    peers = some_peers()
    peers.part_with({LAST}, 0, heirs={LAST: HEIR})
    assert peers.book.heirs_of([LAST]) == {HEIR}
    peers.on_up(up(HEIR), 1)

    effects = peers.part_with({LAST}, 2, heirs={})

    assert Disconnect(HEIR, "its place was taken back") in effects
    assert peers.book.heirs_of([LAST]) == set()


def test_an_heir_of_two_keeps_the_place_that_is_left() -> None:
    """And goes on being dialled there; its link stays."""
    peers = some_peers()
    both = {NAMED: HEIR, OTHER: HEIR}
    peers.part_with({NAMED, OTHER}, 0, heirs=both)
    peers.on_up(up(HEIR), 1)

    effects = peers.part_with({NAMED, OTHER}, 2, heirs={OTHER: HEIR})

    assert effects == []
    entry = peers.book.get(HEIR)
    assert entry is not None
    assert (entry.named, peers.book.named) == ("o:1", (entry,))


def test_an_heir_whom_the_operator_named_himself_stays_named() -> None:
    """His own word needs no other's."""
    peers = some_peers()
    peers.part_with({NAMED}, 0, heirs={NAMED: OTHER})
    peers.on_up(up(OTHER), 1)

    assert peers.part_with({NAMED}, 2, heirs={}) == []

    assert peers.is_named(OTHER)
    assert [(entry.peer, entry.named) for entry in peers.book.near] == [(OTHER, "o:1")]


def test_an_heir_whose_key_has_ended_leaves_nobody_in_the_place() -> None:
    """Then nobody is there, as if the first had ended in favour of nobody."""
    for parted in ([{NAMED}, {NAMED, HEIR}], [{NAMED, HEIR}]):
        peers = some_peers()
        for number, revoked in enumerate(parted):
            peers.part_with(revoked, number, heirs={NAMED: HEIR})

        assert [entry.peer for entry in peers.book.named] == [OTHER]
        assert peers.book.heirs_of([NAMED]) == set()


def test_an_heir_that_was_known_already_counts_for_no_crowd_any_more() -> None:
    """It had told of itself before; now the operator's word stands for it."""
    peers = some_peers()
    peers.book.learn(TOLD, teller=OTHER, now_ms=0)

    peers.part_with({NAMED}, 1, heirs={NAMED: TOLD.peer})

    entry = peers.book.get(TOLD.peer)
    assert entry is not None
    assert (entry.places, entry.crowds, entry.teller) == (("n:1", "10.0.0.7:1"), (), None)
