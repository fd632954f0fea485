"""Who is in the place of a node whose key has ended, and what that costs when many have."""

from collections.abc import Iterator

from aitbc_node.gossip.peers import Peers
from aitbc_node.gossip.places import Places
from aitbc_node.types import PeerId

MANY = 17_000


def an_id(number: int) -> PeerId:
    """Build the id of a node."""
    return PeerId(number.to_bytes(20, "big"))


class Counted(dict[PeerId, PeerId]):
    """Be heirs that count how often they are looked at."""

    looks = 0

    def __contains__(self, peer: object) -> bool:
        """Count each look."""
        self.looks += 1
        return super().__contains__(peer)

    def __iter__(self) -> Iterator[PeerId]:
        """Count a walk over all."""
        self.looks += len(self)
        return super().__iter__()


def test_the_last_one_in_a_row_is_in_the_place_unless_its_key_has_ended_too() -> None:
    """Nobody is where none has ended, or the last one ended in favour of nobody."""
    places = Places(lambda peer: peer != an_id(9))
    places.change({an_id(1): an_id(2), an_id(2): an_id(3), an_id(8): an_id(9)})

    assert [places.heir_of(an_id(each)) for each in (1, 2, 3, 8)] == [
        an_id(3),
        an_id(3),
        None,
        None,
    ]


def test_who_is_in_no_place_any_more_is_told_once() -> None:
    """Only of places that somebody asked for."""
    places = Places(lambda _: True)
    places.change({an_id(1): an_id(2), an_id(3): an_id(4)})
    assert places.heir_of(an_id(1)) == an_id(2)

    assert places.change({}) == [an_id(2)]
    assert places.change({}) == []


def test_keys_of_strangers_that_end_in_a_row_cost_a_start_nothing() -> None:
    """However many they paid for: a node looks at the places of those only that it was told of."""
    heirs = Counted({an_id(each): an_id(each + 1) for each in range(1, MANY)})
    own, named = PeerId(b"m" * 20), PeerId(b"n" * 20)
    peers = Peers(own, ((named, "n:1"),), listed_only=False)

    peers.part_with(set(map(an_id, range(1, MANY))), 0, heirs=heirs)

    assert heirs.looks <= 2
    assert peers.book.heirs_of([named]) == set()


def test_a_place_that_changed_hands_often_is_walked_through_once() -> None:
    """Even so many changes of one place cost no more than they are many."""
    named = PeerId(b"n" * 20)
    heirs = Counted({an_id(each): an_id(each + 1) for each in range(1, MANY)})
    heirs[named] = an_id(1)
    peers = Peers(PeerId(b"m" * 20), ((named, "n:1"),), listed_only=False)

    peers.part_with({named, *map(an_id, range(1, MANY))}, 0, heirs=heirs)

    assert [entry.peer for entry in peers.book.named] == [an_id(MANY)]
    assert heirs.looks <= MANY + 2
