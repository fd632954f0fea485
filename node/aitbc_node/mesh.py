"""Whom is this node linked with, and what do the two ends of a link tell each other first?

Binds the parts of `gossip` together: a link that comes or goes is told to all of them, and the
peers learn of it. Do not add what is done with blocks, votes or transactions.
"""

from aitbc_node.crypto import Signer
from aitbc_node.events import PeerDown, PeerUp
from aitbc_node.gossip.catch_up import CatchUp
from aitbc_node.gossip.fetch import Fetches
from aitbc_node.gossip.messages import Hello, Message, Neighbours, Status, hello_sign_bytes
from aitbc_node.gossip.peers import Peers
from aitbc_node.gossip.reach import Reach
from aitbc_node.gossip.relay import TxRelay
from aitbc_node.gossip.topology import Topology
from aitbc_node.outbox import Outbox
from aitbc_node.types import Height, PeerId


class Mesh:
    """Hold one node's view of the mesh."""

    def __init__(self, outbox: Outbox, peers: Peers, reach: Reach, hello: Hello | None) -> None:
        self._out = outbox
        self._hello = hello
        self._told: tuple[PeerId, ...] = ()
        self.peers = peers
        self.reach = reach
        self.topology = Topology()
        self.relay = TxRelay(self.topology)
        self.fetches = Fetches()
        self.catch_up = CatchUp(peers.is_named)

    def linked(self) -> tuple[PeerId, ...]:
        """Return the peers that can be sent to."""
        return self.peers.linked()

    def up(self, event: PeerUp) -> bool:
        """Take a new link; False when the peer may not be linked."""
        # A link that replaces an older one begins anew: the peer may have been restarted.
        self._forget(event.peer)
        self._out.extend(self.peers.on_up(event, self._out.now_ms))
        if not self.peers.is_linked(event.peer):
            self._tell_neighbours()
            return False
        self.relay.peer_up(event.peer)
        self._tell_neighbours(is_told=False)
        return True

    def greet(self, peer: PeerId, height: Height) -> None:
        """Tell a peer who this node is, what it has, and whom it is linked with."""
        if self._hello is not None:
            self._out.send((peer,), self._hello)
        self._out.send((peer,), Status(height))
        self._out.send((peer,), Neighbours(self.linked()))

    def down(self, event: PeerDown) -> None:
        """Forget a link."""
        self._out.extend(self.peers.on_down(event, self._out.now_ms))
        self._tell_neighbours()

    def fault(self, peer: PeerId, what: str, *, is_forgery: bool = False) -> None:
        """Punish a peer for what no honest node does."""
        now_ms = self._out.now_ms
        self._out.extend(self.peers.fault(peer, what, now_ms, is_forgery=is_forgery))
        self._tell_neighbours()

    def tick(self) -> None:
        """Ping, dial, and ask again for what did not come."""
        self._out.extend(self.peers.tick(self._out.now_ms))
        self._tell_neighbours()
        self._out.extend(self.fetches.tick(self.linked(), self._out.now_ms))

    def broadcast(self, message: Message) -> None:
        """Send to all peers."""
        self._out.send(self.linked(), message)

    def flush(self) -> None:
        """Send the transactions that wait for company."""
        self._out.extend(self.relay.flush(self.linked()))

    def _tell_neighbours(self, *, is_told: bool = True) -> None:
        """Notice links that are gone, and tell the others when anything has changed."""
        linked = self.linked()
        if linked == self._told and is_told:
            return
        for peer in self._told:
            if peer not in linked:
                self._forget(peer)
        self._told = linked
        self._out.send(linked, Neighbours(linked))

    def _forget(self, peer: PeerId) -> None:
        self.topology.forget(peer)
        self.reach.forget(peer)
        self.relay.peer_down(peer)
        self.catch_up.forget(peer)


def hello_of(chain_id: str, own_id: PeerId, signer: Signer | None) -> Hello | None:
    """Make the greeting of a validator's node; a follower has none."""
    if signer is None:
        return None
    proof = signer.sign(hello_sign_bytes(chain_id, own_id))
    return Hello(signer.public_key, proof)
