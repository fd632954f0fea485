"""For whom a node keeps room: who is named and may come back."""

from types import SimpleNamespace
from typing import cast

from aitbc_node.transport.links import Links, Terms
from aitbc_node.types import PeerId

NAMED, ENDED, STRANGER = (PeerId(letter * 20) for letter in (b"n", b"e", b"s"))


def test_no_room_is_kept_for_a_key_that_has_ended() -> None:
    """It never comes back, though it is named; a stranger has its place."""
    terms = SimpleNamespace(
        acceptor_context=None,
        homes={},
        named=frozenset({NAMED, ENDED}),
        is_revoked=lambda peer: peer == ENDED,
        peers_max=8,
    )
    links = Links(cast("Terms", terms), feed=lambda _: None, wall_ms=int)

    assert [links._room_for(peer) for peer in (NAMED, STRANGER)] == [8, 7]
