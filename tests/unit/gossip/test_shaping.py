"""Links that make room for others."""

from aitbc_node import limits
from aitbc_node.crypto import SigningKey
from aitbc_node.events import Disconnect, Effect, PeerUp
from aitbc_node.gossip.records import PeerRecord
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.mesh import Meeting, mesh_of
from aitbc_node.outbox import Outbox
from aitbc_node.types import PeerId, PublicKey, Signature

OWN = PeerId(b"m" * 20)


def up(peer: PeerId) -> PeerUp:
    """Report a link that a peer has opened."""
    return PeerUp(wall_ms=0, peer=peer, outbound=False, address="there:1", version="1")


def dropped(effects: list[Effect]) -> list[PeerId]:
    """List whose links these effects close."""
    return [effect.peer for effect in effects if isinstance(effect, Disconnect)]


def test_strangers_of_a_full_house_make_room_for_a_validator_that_is_named_later() -> None:
    """The ledger names it when all places are taken: one goes at the next tick, and no more."""
    out, key = Outbox(), SigningKey(b"\x05" * 32)
    mesh = mesh_of(
        out,
        own_id=OWN,
        chain_id="test-1",
        meeting=Meeting(bootstrap=(), listed_only=False, subnets=Subnets(), own_record=None),
        signer=key,
        verify=lambda *_: True,
        interval_ms=500,
    )
    for number in range(limits.PEERS_MAX):
        assert mesh.up(up(PeerId(bytes([number]) * 20)))
    validator = PeerRecord(PublicKey(b"v" * 32), ("10.0.0.1:1",), 0, Signature(b""))
    mesh.peers.book.vouch([validator], 0)
    out.take()

    mesh.tick()
    mesh.tick()

    assert len(dropped(out.take())) == 1
    assert mesh.up(up(validator.peer))
    mesh.tick()
    assert dropped(out.take()) == []
