"""What peers fetch of kept states is bounded for each of them, and never in the way of anything."""

import msgspec
import pytest

from aitbc_node import examples
from aitbc_node.canonical import encode
from aitbc_node.errors import PeerFault
from aitbc_node.events import Lane, OfferRead, PeerUp, ReadPiece
from aitbc_node.gossip.links import ANSWER_BYTES_PER_TICK_MAX
from aitbc_node.gossip.messages import (
    BlockFound,
    OfferFound,
    OfferWanted,
    Piece,
    PieceWanted,
    decode_message,
    send,
)
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.lending import Lending
from aitbc_node.limits import OFFER_BYTES_MAX, PIECE_BYTES
from aitbc_node.lineage import Contents, Offer
from aitbc_node.machine import TICK_MS, MachineConfig
from aitbc_node.mesh import Meeting, mesh_of
from aitbc_node.outbox import Outbox
from aitbc_node.types import BlockId, Hash, Height, PeerId
from aitbc_sim.pump import Pump

GIVER, TAKER = 0, 1
PIECES_PER_TICK = ANSWER_BYTES_PER_TICK_MAX // PIECE_BYTES
BURST = 10 * PIECES_PER_TICK


@pytest.fixture
def pump() -> Pump:
    """Run a mesh whose nodes have kept a state."""
    pump = Pump(config=MachineConfig(snapshot_blocks=4)).start()
    pump.run_to(6)
    return pump


def heard(pump: Pump) -> list[Piece | OfferFound]:
    """Collect what one node sends another of its states, from now on."""
    told: list[Piece | OfferFound] = []

    def watch(source: int, target: int, payload: bytes) -> bytes:
        message = decode_message(payload)
        if (source, target) == (GIVER, TAKER) and isinstance(message, Piece | OfferFound):
            told.append(message)
        return payload

    pump.tamper = watch
    return told


def test_an_offer_names_what_can_be_fetched(pump: Pump) -> None:
    """And the header that was asked for, where it is here."""
    told = heard(pump)
    pump.inject(GIVER, TAKER, encode(OfferWanted(Height(3), Height(2))))
    pump.wait(50)
    pump.inject(GIVER, TAKER, encode(OfferWanted(Height(4), Height(99))))
    pump.wait(50)

    first, second = told
    assert isinstance(first, OfferFound)
    assert first.offer is not None
    assert first.trusted is not None
    assert (first.offer.height, first.trusted.height) == (4, 2)
    assert second == OfferFound(None, None)


def test_a_greedy_peer_gets_so_much_in_a_tick_and_the_mesh_goes_on(pump: Pump) -> None:
    """Hundreds of requests at once: one is read at a time, and blocks are made as before."""
    told = heard(pump)
    height, began_ms = pump.machine(GIVER).view.height, pump.now_ms
    wanted = encode(PieceWanted(Hash(bytes(32)), 0))

    for _ in range(BURST):
        pump.inject(GIVER, TAKER, wanted)
        pump.wait(1)
    pump.run_to(height + 3)

    ticks = (pump.now_ms - began_ms) // TICK_MS + 2
    assert 0 < len(told) <= ticks * PIECES_PER_TICK
    assert len(told) < BURST
    assert all(isinstance(message, Piece) and not message.data for message in told)


def test_a_large_offer_is_paid_for_when_its_size_is_known() -> None:
    """Nobody gets eight megabytes of links, and as much again of pieces, within one tick."""
    out = Outbox()
    meeting = Meeting(bootstrap=(), listed_only=False, subnets=Subnets(), own_record=None)
    mesh = mesh_of(
        out,
        own_id=PeerId(b"m" * 20),
        chain_id="test-1",
        meeting=meeting,
        signer=None,
        verify=lambda *_: True,
        interval_ms=500,
    )
    lending, peer = Lending(out, mesh, is_closed=lambda: False), PeerId(b"p" * 20)
    mesh.up(PeerUp(wall_ms=0, peer=peer, outbound=False, address="there:1", version="1"))
    hashes = (Hash(bytes(32)),) * (ANSWER_BYTES_PER_TICK_MAX // 32)
    offer = Offer(Contents(Hash(bytes(32)), Height(1), BlockId(bytes(32)), 1, hashes), ())

    lending.on_offer_wanted(peer, OfferWanted(Height(0), Height(0)))
    lending.on_read(OfferRead(wall_ms=0, peer=peer, offer=offer, trusted=None))
    out.take()
    lending.on_piece_wanted(peer, a_request())

    assert out.take() == []
    mesh.tick()
    lending.tick()
    assert any(isinstance(effect, ReadPiece) for effect in out.take())


def test_two_requests_at_once_are_read_one_after_the_other(pump: Pump) -> None:
    """The second waits for a tick; a third in the meantime takes its place."""
    told = heard(pump)
    for index in (0, 1, 2):
        pump.inject(GIVER, TAKER, encode(PieceWanted(Hash(bytes(32)), index)))
    pump.wait(2 * TICK_MS + 50)

    assert [message.index for message in told if isinstance(message, Piece)] == [0, 2]


def test_an_offer_larger_than_any_is_not_even_read() -> None:
    """Its length is enough: what is in it costs nothing here."""
    frame = msgspec.msgpack.encode(("snapshot", None, bytes(OFFER_BYTES_MAX + PIECE_BYTES)))

    with pytest.raises(PeerFault, match="bytes to offer"):
        decode_message(frame)


def test_votes_overtake_offers_and_pieces() -> None:
    """Half a megabyte of the past is in nobody's way."""
    peers = (PeerId(bytes(20)),)
    piece = Piece(Hash(bytes(32)), 0, b"x")

    block = next(each for _, each in examples.values() if isinstance(each, BlockFound))

    for message in (OfferFound(None, None), piece, block):
        assert [effect.lane for effect in send(peers, message)] == [Lane.BLOCKS]
    assert [effect.lane for effect in send(peers, a_request())] == [Lane.NEXT_BLOCK]


def a_request() -> PieceWanted:
    """Ask for something."""
    return PieceWanted(Hash(bytes(32)), 0)
