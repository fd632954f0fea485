"""How do many nodes find each other, by their gossip alone, on one clock and without blocks?

Links have a fixed delay, dead nodes do not answer, and everything is drawn from the seed.
"""

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from aitbc_node.crypto import SigningKey, peer_id
from aitbc_node.errors import PeerFault
from aitbc_node.events import Dial, Disconnect, PeerDown, PeerUp, Send
from aitbc_node.gossip.messages import PeersWanted, Ping, Pong, decode_message
from aitbc_node.gossip.records import OwnRecord
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.mesh import Meeting, Mesh, mesh_of
from aitbc_node.outbox import Outbox
from aitbc_node.types import Height, PeerId

CHAIN = "aitbc-test-1"
WALL_MS = 1_800_000_000_000
DELAY_MS, TICK_MS, REFUSED_MS = 20, 250, 5


@dataclass
class Node:
    """Be one node; `life` tells its restarts apart, and what was meant for an earlier one."""

    number: int
    key: SigningKey
    life: int = 0
    mesh: Mesh | None = None
    out: Outbox = field(default_factory=Outbox)

    @property
    def id(self) -> PeerId:
        """Return the node's id."""
        return peer_id(self.key.public_key)


class SmallWorld:
    """Hold nodes that know the first one only."""

    def __init__(self, count: int) -> None:
        self.now_ms = 0
        self.questions = 0
        """How often a node asked a peer for others."""
        self.nodes = [
            Node(number, SigningKey(hashlib.sha256(b"%d" % number).digest()))
            for number in range(count)
        ]
        self._by_id = {node.id: node for node in self.nodes}
        self._links: set[frozenset[int]] = set()
        self._queue: list[tuple[int, int, int, int, Callable[[Node], None]]] = []
        self._order = 0
        for node in self.nodes:
            self.start(node.number)

    def start(self, number: int) -> None:
        """Start a node with nothing but the address of the first one."""
        node = self.nodes[number]
        assert node.mesh is None, "a running node is not started again"
        node.life += 1
        node.out = Outbox()
        node.mesh = mesh_of(
            node.out,
            own_id=node.id,
            chain_id=CHAIN,
            meeting=Meeting(
                bootstrap=((self.nodes[0].id, "10.0.0.0:1"),),
                listed_only=False,
                subnets=Subnets(),
                own_record=OwnRecord(CHAIN, node.key, (f"10.0.0.{number}:1",)),
            ),
            signer=None,
            verify=lambda *_: True,
            interval_ms=1_000,
        )
        # Not all in step, as no real ones are.
        self._later(node, 7 * number % TICK_MS, self._tick)

    def stop(self, number: int) -> None:
        """End a node; the others see their links close."""
        node = self.nodes[number]
        node.mesh = None
        node.life += 1
        for link in [link for link in self._links if number in link]:
            self._unlink(link, "closed by the peer")

    def catch(self, number: int, culprit: int) -> None:
        """Let a node find out another one as a forger."""
        mesh, peer = self.nodes[number].mesh, self.nodes[culprit].id
        assert mesh is not None, "only a running node finds anything out"
        self._act(self.nodes[number], lambda _: mesh.fault(peer, "forged", is_forgery=True))

    def run(self, for_ms: int) -> None:
        """Let time pass."""
        until_ms = self.now_ms + for_ms
        while self._queue and self._queue[0][0] <= until_ms:
            self.now_ms, _, number, life, action = heapq.heappop(self._queue)
            node = self.nodes[number]
            if node.life == life and node.mesh is not None:
                self._act(node, action)
        self.now_ms = until_ms

    def links(self) -> dict[str, list[str]]:
        """Return the links of the nodes that run."""
        found: dict[str, list[str]] = {
            str(node.number): [] for node in self.nodes if node.mesh is not None
        }
        for link in self._links:
            one, other = sorted(link)
            found[str(one)].append(str(other))
        return found

    def _act(self, node: Node, action: Callable[[Node], None]) -> None:
        node.out.now_ms, node.out.wall_ms = self.now_ms, WALL_MS + self.now_ms
        action(node)
        for effect in node.out.take():
            match effect:
                case Send(peers=peers, payload=payload):
                    for peer in peers:
                        self._send(node, self._by_id[peer], payload)
                case Dial(peer=peer):
                    self._dial(node, self._by_id[peer])
                case Disconnect(peer=peer, reason=reason):
                    self._unlink(frozenset((node.number, self._by_id[peer].number)), reason)
                case _:
                    pass  # notes and what is stored

    def _tick(self, node: Node) -> None:
        assert node.mesh is not None, "only a running node acts"
        self._later(node, TICK_MS, self._tick)
        node.mesh.tick()

    def _send(self, node: Node, target: Node, payload: bytes) -> None:
        if frozenset((node.number, target.number)) in self._links:
            self._later(target, DELAY_MS, lambda to: self._receive(to, node.id, payload))

    def _receive(self, node: Node, peer: PeerId, payload: bytes) -> None:
        mesh = node.mesh
        assert mesh is not None, "only a running node hears"
        if not mesh.peers.heard(peer, self.now_ms):
            return
        message = decode_message(payload)
        try:
            match message:
                case Ping(number=number):
                    node.out.send((peer,), Pong(number))
                case Pong(number=number):
                    mesh.peers.on_pong(peer, number, self.now_ms)
                case PeersWanted():
                    self.questions += 1
                    mesh.heard(peer, message)
                case _ if hasattr(message, "height"):
                    pass
                case _:
                    mesh.heard(peer, message)  # type: ignore[arg-type]  # nothing else is sent
        except PeerFault as fault:
            raise AssertionError(f"an honest node is blamed: {fault.what}") from fault

    def _dial(self, node: Node, target: Node) -> None:
        link = frozenset((node.number, target.number))
        if target.mesh is None or link in self._links:
            self._tell_down(node, target, was_up=False)
            return
        self._links.add(link)
        for one, other, outbound in ((node, target, True), (target, node, False)):
            up = PeerUp(
                wall_ms=0,
                peer=other.id,
                outbound=outbound,
                address=f"10.0.0.{other.number}:1",
                version="",
            )
            self._later(one, DELAY_MS, partial(self._up, event=up))

    def _up(self, node: Node, event: PeerUp) -> None:
        mesh = node.mesh
        assert mesh is not None, "only a running node is linked"
        if mesh.up(event):
            mesh.greet(event.peer, Height(1))
            mesh.introduce(event.peer)

    def _unlink(self, link: frozenset[int], reason: str) -> None:
        self._links.discard(link)
        one, other = (self.nodes[number] for number in sorted(link))
        self._tell_down(one, other, was_up=True, reason=reason)
        self._tell_down(other, one, was_up=True, reason=reason)

    def _tell_down(
        self, node: Node, target: Node, *, was_up: bool, reason: str = "refused"
    ) -> None:
        down = PeerDown(wall_ms=0, peer=target.id, reason=reason, was_up=was_up)

        def tell(to: Node) -> None:
            assert to.mesh is not None, "only a running node is told"
            to.mesh.worse(down)

        # Behind what is under way on the same link.
        self._later(node, DELAY_MS if was_up else REFUSED_MS, tell)

    def _later(self, node: Node, delay_ms: int, action: Callable[[Node], None]) -> None:
        self._order += 1
        at_ms = self.now_ms + delay_ms
        heapq.heappush(self._queue, (at_ms, self._order, node.number, node.life, action))
