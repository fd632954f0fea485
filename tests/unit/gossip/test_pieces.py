"""Pieces come from several peers at once; none of them can hold up the others."""

import msgspec
import pytest

from aitbc_node.crypto import sha256
from aitbc_node.errors import PeerFault
from aitbc_node.gossip.messages import PieceWanted, decode_message
from aitbc_node.gossip.pieces import ANSWER_MS, FETCH_MS_MAX, GRACE_MS, Pieces
from aitbc_node.limits import PIECE_BYTES
from aitbc_node.lineage import Contents
from aitbc_node.types import BlockId, Hash, Height, PeerId

ALICE, BOB, CAROL = (PeerId(bytes([n]) * 20) for n in range(3))
DATA = [bytes([n]) * PIECE_BYTES for n in range(4)] + [b"the end"]
CONTENTS = Contents(
    Hash(bytes(32)), Height(7), BlockId(bytes(32)), sum(map(len, DATA)), tuple(map(sha256, DATA))
)
NAME = CONTENTS.name()


def asked(pieces: Pieces, now_ms: int = 0) -> dict[PeerId, int]:
    """Return who is asked for which piece now."""
    found: dict[PeerId, int] = {}
    for effect in pieces.poll(now_ms):
        message = decode_message(effect.payload)
        assert isinstance(message, PieceWanted)
        assert message.name == NAME
        for peer in effect.peers:
            assert peer not in found, "one request a peer"
            found[peer] = message.index
    return found


def test_everybody_is_asked_for_another_piece() -> None:
    """Each owes one at a time, and gets the next when it has delivered."""
    pieces = Pieces(CONTENTS, (ALICE, BOB))

    assert asked(pieces) == {ALICE: 0, BOB: 1}
    assert asked(pieces) == {}
    assert pieces.take(BOB, NAME, 1, DATA[1])
    assert asked(pieces) == {BOB: 2}
    assert not pieces.is_whole


def test_who_gives_a_piece_now_and_then_is_not_waited_for() -> None:
    """Each answer is in time, and yet the whole would hold a node back for hours."""
    hashes = CONTENTS.pieces[:1] * 400
    contents = msgspec.structs.replace(CONTENTS, size=len(hashes) * PIECE_BYTES, pieces=hashes)
    name = contents.name()

    def given_up_at(pace_ms: int) -> int | None:
        pieces = Pieces(contents, (ALICE,))
        for now_ms in range(0, FETCH_MS_MAX + GRACE_MS, pace_ms):
            for effect in pieces.poll(now_ms):
                message = decode_message(effect.payload)
                assert isinstance(message, PieceWanted)
                wanted = message.index
            if pieces.is_too_slow(now_ms):
                return now_ms
            if pieces.is_whole or (pieces.take(ALICE, name, wanted, DATA[0]) and pieces.is_whole):
                return None
        return FETCH_MS_MAX

    assert given_up_at(1_000) is None
    assert given_up_at(ANSWER_MS - 100) in range(GRACE_MS, GRACE_MS + 2 * ANSWER_MS)


def test_a_state_comes_over_a_slow_link_too() -> None:
    """At a megabit a second a piece takes four seconds; such links are officially served."""
    hashes = CONTENTS.pieces[:1] * 40
    contents = msgspec.structs.replace(CONTENTS, size=len(hashes) * PIECE_BYTES, pieces=hashes)
    pieces = Pieces(contents, (ALICE,))
    list(pieces.poll(0))
    for index in range(len(hashes)):
        now_ms = (index + 1) * 4_200
        assert not pieces.is_too_slow(now_ms)
        assert pieces.take(ALICE, contents.name(), index, DATA[0])
        list(pieces.poll(now_ms))
    assert pieces.is_whole


def test_all_pieces_make_a_whole() -> None:
    """From one peer alone, too."""
    pieces = Pieces(CONTENTS, (ALICE,))
    for index in range(len(DATA)):
        assert asked(pieces) == {ALICE: index}
        assert pieces.take(ALICE, NAME, index, DATA[index])
    assert pieces.is_whole


def test_who_is_late_is_asked_no_more() -> None:
    """What it owed is asked of another; its answer, when it comes, is of no use."""
    pieces = Pieces(CONTENTS, (ALICE, BOB))
    asked(pieces)
    assert pieces.take(BOB, NAME, 1, DATA[1])
    assert asked(pieces, ANSWER_MS - 1) == {BOB: 2}

    assert asked(pieces, ANSWER_MS) == {}
    assert tuple(pieces.sources) == (BOB,)
    assert not pieces.take(ALICE, NAME, 0, DATA[0])
    for index in (2, 3, 4, 0):
        assert pieces.take(BOB, NAME, index, DATA[index])
        asked(pieces, ANSWER_MS)
    assert pieces.is_whole


@pytest.mark.parametrize("data", [DATA[1], DATA[0] + b"x", DATA[0][:-1], b"?"])
def test_another_piece_is_a_lie(data: bytes) -> None:
    """The peer has named its hash itself."""
    pieces = Pieces(CONTENTS, (ALICE,))
    asked(pieces)

    with pytest.raises(PeerFault):
        pieces.take(ALICE, NAME, 0, data)


def test_a_piece_whose_length_was_promised_falsely_is_a_lie() -> None:
    """A hash that holds does not make it fit into its place."""
    long = DATA[4] + b"!"
    contents = Contents(
        Hash(bytes(32)), Height(7), BlockId(bytes(32)), CONTENTS.size,
        (*CONTENTS.pieces[:4], sha256(long)),
    )  # fmt: skip
    pieces = Pieces(contents, (ALICE,))
    for index in range(4):
        list(pieces.poll(0))
        assert pieces.take(ALICE, contents.name(), index, DATA[index])
    list(pieces.poll(0))

    with pytest.raises(PeerFault):
        pieces.take(ALICE, contents.name(), 4, long)


def test_what_nobody_asked_for_is_no_news() -> None:
    """Of another state, another piece, from somebody else, or twice."""
    pieces = Pieces(CONTENTS, (ALICE, BOB))
    asked(pieces)

    assert not pieces.take(ALICE, Hash(b"?" * 32), 0, DATA[0])
    assert not pieces.take(ALICE, NAME, 1, DATA[1])
    assert not pieces.take(CAROL, NAME, 0, DATA[0])
    assert pieces.take(ALICE, NAME, 0, DATA[0])
    assert not pieces.take(ALICE, NAME, 0, DATA[0])


def test_who_has_it_no_more_is_no_liar() -> None:
    """It has kept a newer state in its place meanwhile."""
    pieces = Pieces(CONTENTS, (ALICE, BOB))
    asked(pieces)

    assert not pieces.take(ALICE, NAME, 0, b"")
    assert tuple(pieces.sources) == (BOB,)
