"""Links that make room for others."""

from aitbc_node import limits
from aitbc_node.crypto import Signer, SigningKey
from aitbc_node.events import Disconnect, Effect, PeerUp, SaveBans
from aitbc_node.gossip.records import PeerRecord
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.mesh import Meeting, Mesh, mesh_of
from aitbc_node.outbox import Outbox
from aitbc_node.types import PeerId, PublicKey, Signature

OWN = PeerId(b"m" * 20)


def up(peer: PeerId) -> PeerUp:
    """Report a link that a peer has opened."""
    return PeerUp(wall_ms=0, peer=peer, outbound=False, address="there:1", version="1")


def dropped(effects: list[Effect]) -> list[PeerId]:
    """List whose links these effects close."""
    return [effect.peer for effect in effects if isinstance(effect, Disconnect)]


def a_mesh(signer: Signer | None) -> tuple[Outbox, Mesh]:
    """Make a node's view of the mesh; it knows nobody."""
    out = Outbox()
    mesh = mesh_of(
        out,
        own_id=OWN,
        chain_id="test-1",
        meeting=Meeting(bootstrap=(), listed_only=False, subnets=Subnets(), own_record=None),
        signer=signer,
        verify=lambda *_: True,
        interval_ms=500,
    )
    return out, mesh


def test_strangers_of_a_full_house_make_room_for_a_validator_that_is_named_later() -> None:
    """The ledger names it when all places are taken: one goes at the next tick, and no more."""
    out, mesh = a_mesh(SigningKey(b"\x05" * 32))
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


def test_a_crowd_of_culprits_does_not_keep_the_disk_busy() -> None:
    """The first ban is written at once, those that follow together."""
    out, mesh = a_mesh(None)
    saves = 0
    for number in range(80):
        out.now_ms = 250 * number
        mesh.fault(PeerId(bytes([number]) * 20), "forged", is_forgery=True)
        mesh.tick()
        saves += sum(isinstance(effect, SaveBans) for effect in out.take())

    assert saves == 4
