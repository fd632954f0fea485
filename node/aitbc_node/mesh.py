"""Whom is this node linked with, and what do the two ends of a link tell each other first?

Binds the parts of `gossip` together: a link that comes or goes is told to all of them, and the
peers learn of it. Do not add what is done with blocks, votes or transactions.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import assert_never

import msgspec

from aitbc_node import limits
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import Signer, Verifier
from aitbc_node.events import Dial, PeerDown, PeerUp, SaveBans, WireFull
from aitbc_node.gossip.catch_up import CatchUp
from aitbc_node.gossip.courier import Courier
from aitbc_node.gossip.exchange import Exchange
from aitbc_node.gossip.fetch import Fetches
from aitbc_node.gossip.messages import (
    Hello,
    Message,
    Neighbours,
    PeersKnown,
    PeersWanted,
    RoomNeeded,
    Status,
)
from aitbc_node.gossip.news import News
from aitbc_node.gossip.peers import Peers
from aitbc_node.gossip.reach import Reach, hello_of
from aitbc_node.gossip.records import OwnRecord
from aitbc_node.gossip.relay import TxRelay
from aitbc_node.gossip.shaping import Shaping
from aitbc_node.gossip.spread import Spread
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.gossip.topology import LinkSight, Surroundings, Topology
from aitbc_node.outbox import Outbox
from aitbc_node.types import Height, PeerId
from aitbc_node.validators import ValidatorSet

AboutPeers = Hello | Neighbours | PeersKnown | PeersWanted | RoomNeeded

BANS_MS = 5_000
"""Bans are written at most so often: each time the disk is waited for."""


class Meeting(msgspec.Struct, frozen=True, kw_only=True):
    """Hold how this node gets to know others; without `own_record` it tells nobody of anybody."""

    bootstrap: tuple[tuple[PeerId, str], ...]
    listed_only: bool
    subnets: Subnets
    own_record: OwnRecord | None
    peers_max: int = limits.PEERS_MAX


class Mesh:
    """Hold one node's view of the mesh."""

    def __init__(
        self,
        outbox: Outbox,
        peers: Peers,
        reach: Reach,
        hello: Hello | None,
        exchange: Exchange,
        topology: Topology,
    ) -> None:
        self._out = outbox
        self.exchange = exchange
        self._hello, self._shaping = hello, Shaping()
        self._held = self._told = tuple[PeerId, ...]()
        self._bans, self._bans_at_ms = tuple[bytes, ...](), 0
        self.peers = peers
        self.reach = reach
        self.topology = topology
        self.relay = TxRelay(self.topology, peers.speeds)
        self.courier = Courier(self.topology, peers.speeds)
        self.spread = Spread()
        self.fetches = Fetches()
        self.catch_up = CatchUp(peers.is_named)
        self.news = News()

    def linked(self) -> tuple[PeerId, ...]:
        """Return the peers that can be sent to."""
        return self.peers.linked()

    def up(self, event: PeerUp) -> bool:
        """Take a new link; False when the peer may not be linked."""
        # A link that replaces an older one begins anew: the peer may have been restarted.
        self._forget(event.peer)
        self._out.extend(self.peers.on_up(event, self._out.now_ms))
        self._forget_who_is_gone()
        if is_up := self.peers.is_linked(event.peer):
            self.relay.peer_up(event.peer, is_own=event.outbound, release=event.version)
            self.courier.peer_up(event.peer, release=event.version)
        return is_up

    def greet(self, peer: PeerId, height: Height) -> None:
        """Tell a peer who this node is, what it has, and whom it is linked with."""
        if self._hello is not None:
            self._out.send((peer,), self._hello)
        self._out.send((peer,), Status(height))
        self.news.greeted(peer, height)
        self._out.send((peer,), Neighbours(self.linked()))

    def become(self, chain_id: str, signer: Signer | None) -> None:
        """Be the validator of this key from now on, and tell the peers so."""
        if signer is None or self.reach.own_key == signer.public_key:
            return
        hello = self._hello = hello_of(chain_id, self.peers.own_id, signer)
        self.reach.own_key = signer.public_key
        self.broadcast(hello)

    def introduce(self, peer: PeerId) -> None:
        """Tell a new peer where this node and others can be reached."""
        now_ms, wall_ms = self._out.now_ms, self._out.wall_ms
        self._out.extend(self.exchange.up(peer, now_ms=now_ms, wall_ms=wall_ms))

    def heard(self, peer: PeerId, message: AboutPeers) -> None:
        """Take what a peer says about itself and others. Raises: PeerFault for what is false."""
        now_ms, wall_ms = self._out.now_ms, self._out.wall_ms
        match message:
            case Hello():
                self.reach.told(peer, message)
            case Neighbours(peers=peers):
                self.topology.told(peer, peers)
            case PeersKnown(records=records):
                told = self.exchange.told(peer, records, now_ms=now_ms, wall_ms=wall_ms)
                self._out.extend(told)
            case PeersWanted():
                self._out.extend(self.exchange.asked(peer, now_ms=now_ms, wall_ms=wall_ms))
            case RoomNeeded():
                self.peers.book.rest(peer, now_ms)
            case _:
                assert_never(message)

    def surroundings(self) -> Surroundings:
        """Show the links and what lies behind them to a reader."""
        book = self.peers.book
        links = tuple(
            LinkSight(
                peer=link.peer,
                address=link.address,
                outbound=link.outbound,
                rtt_ms=link.rtt_ms,
                source=book.source(link.peer),
                neighbours=self.topology.neighbours(link.peer),
            )
            for link in self.peers.held(self._out.now_ms, self.topology.degree)
        )
        vouched = sum(entry.vouched for entry in book)
        record = self.exchange.own_record(self._out.wall_ms)
        return Surroundings(links=links, known=len(book), vouched=vouched, record=record)

    def grown(self, height: Height) -> None:
        """Tell who waits for it that there is another block; `tick` tells the others."""
        self._out.send(self.news.at_once(height), Status(height))

    def discover(self) -> int:
        """Ask all peers now which others there are; return how many are asked."""
        self._out.extend(asked := self.exchange.ask_all(self.linked()))
        return len(asked)

    def recover(self) -> int:
        """Dial everybody that is wanted now, however often it was in vain; return how many."""
        self.peers.book.dial_all_now(self._out.now_ms)
        effects = self.peers.tick(self._out.now_ms)
        self._out.extend(effects)
        return sum(isinstance(effect, Dial) for effect in effects)

    def worse(self, event: PeerDown | WireFull) -> None:
        """Forget a link, or note that it carries less than it is given."""
        if isinstance(event, WireFull):
            self.peers.speeds.full(event.peer, self._out.now_ms)
            return
        self._out.extend(self.peers.on_down(event, self._out.now_ms))
        self._forget_who_is_gone()

    def fault(self, peer: PeerId, what: str, *, is_forgery: bool = False) -> None:
        """Punish a peer for what no honest node does."""
        self._out.extend(self.peers.fault(peer, what, self._out.now_ms, is_forgery=is_forgery))
        self._forget_who_is_gone()

    def part_with(self, revoked: AbstractSet[PeerId], heirs: Mapping[PeerId, PeerId]) -> None:
        """Have nothing more to do with nodes whose keys have ended, but with their heirs."""
        self._out.extend(self.peers.part_with(revoked, self._out.now_ms, heirs=heirs))
        self._forget_who_is_gone()

    def refusal(self, voters: ValidatorSet) -> Refusal | None:
        """Say why no transaction is taken: too little power is within reach to make a block."""
        power = self.reach.power(voters, self._out.now_ms)
        if voters.is_quorum(power):
            return None
        message = f"only {power} of {voters.total_power} voting power is within reach"
        return Refusal(Code.E_NO_QUORUM, "", message)

    def restore(self, *, peers: Iterable[bytes], bans: tuple[bytes, ...]) -> None:
        """Take back what the disk has kept; bans count from `start` on, which knows the time."""
        self.exchange.restore(peers, self._out.now_ms)
        self._bans = bans

    def start(self) -> None:
        """Begin to dial, but nobody who was banned before a restart."""
        now_ms, wall_ms = self._out.now_ms, self._out.wall_ms
        self.peers.standing.restore(self._bans, now_ms=now_ms, wall_ms=wall_ms)
        self.tick()

    def tick(self) -> None:
        """Ping, dial, and ask again for what did not come."""
        now_ms = self._out.now_ms
        self._out.extend(self.peers.tick(now_ms))
        self._make_room()
        self._forget_who_is_gone()
        self._tell_neighbours()
        self._out.send(self.news.by_and_by(now_ms), Status(self.news.newest))
        self._keep_bans()
        linked, is_short = self.linked(), self.peers.is_short
        self._out.extend(self.exchange.tick(linked, is_short=is_short, now_ms=now_ms))
        self._out.extend(self.fetches.tick(linked, now_ms))

    def broadcast(self, message: Message) -> None:
        """Send to all peers."""
        self._out.send(self.linked(), message)

    def flush(self) -> None:
        """Send the transactions and messages of accounts that wait for company."""
        self._out.extend(self.relay.flush(self.linked(), self._out.now_ms))
        self._out.extend(self.courier.flush(self.linked(), self._out.now_ms))

    def _make_room(self) -> None:
        """Let a single link go, if there is reason to."""
        now_ms = self._out.now_ms
        chosen = self._shaping.spare(self.peers, self.topology.degree, self.reach.voters, now_ms)
        if chosen is not None:
            self._out.extend(self.peers.let_go(chosen, now_ms))

    def _forget_who_is_gone(self) -> None:
        """Notice which links are gone, whatever has ended them."""
        held, self._held = self._held, self.linked()
        for peer in () if held is self._held else held:
            if peer not in self._held:
                self._forget(peer)

    def _tell_neighbours(self) -> None:
        """Tell the peers who is linked here; now and then, for strangers may come and go."""
        linked = self.linked()
        if linked != self._told:
            self._told = linked
            self._out.send(linked, Neighbours(linked))

    def _keep_bans(self) -> None:
        """Store new bans; all of some seconds at once, so that a crowd of culprits costs little."""
        if self._out.now_ms < self._bans_at_ms:
            return
        bans = self.peers.standing.news(now_ms=self._out.now_ms, wall_ms=self._out.wall_ms)
        if bans is not None:
            self._bans_at_ms = self._out.now_ms + BANS_MS
            self._out.add(SaveBans(bans))

    def _forget(self, peer: PeerId) -> None:
        self.exchange.forget(peer)
        self.topology.forget(peer)
        self.reach.forget(peer)
        self.relay.peer_down(peer)
        self.courier.peer_down(peer)
        self.catch_up.forget(peer)
        self.news.forget(peer)


def mesh_of(
    outbox: Outbox,
    *,
    own_id: PeerId,
    chain_id: str,
    meeting: Meeting,
    signer: Signer | None,
    verify: Verifier,
    interval_ms: int,
) -> Mesh:
    """Put the parts together; `signer` has the consensus key of a node that votes."""
    own_key = None if signer is None else signer.public_key
    topology = Topology()
    peers = Peers(
        own_id,
        meeting.bootstrap,
        listed_only=meeting.listed_only,
        votes=signer is not None,
        peers_max=meeting.peers_max,
        subnets=meeting.subnets,
        fame=topology.fame,
    )
    reach = Reach(chain_id=chain_id, own_key=own_key, verify=verify, interval_ms=interval_ms)
    exchange = Exchange(
        peers.book, meeting.own_record, chain_id=chain_id, verify=verify, draw=peers.draw
    )
    hello = None if signer is None else hello_of(chain_id, own_id, signer)
    return Mesh(outbox, peers, reach, hello, exchange, topology)
