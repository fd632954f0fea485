"""Which peers are linked and alive, and when is a link opened or closed?

The driver keeps one link per peer: `PeerUp` for a linked peer replaces the link, and `PeerDown`
answers every `Disconnect`. Who is known is in `book.py`, who of them is dialled in `choice.py`, how
far a peer is trusted in `standing.py`. Do not add what peers talk about.
"""

import hashlib
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import partial

from aitbc_node import limits
from aitbc_node.canonical import encode
from aitbc_node.events import Dial, Disconnect, Effect, Note, PeerDown, PeerUp
from aitbc_node.gossip.book import DIAL_LOST_MS, Book
from aitbc_node.gossip.choice import Held, StrangeDials, dials
from aitbc_node.gossip.entries import Entry
from aitbc_node.gossip.links import Link, PeerView
from aitbc_node.gossip.messages import Ping, RoomNeeded, send
from aitbc_node.gossip.speed import Speeds
from aitbc_node.gossip.standing import Standing
from aitbc_node.gossip.subnets import Subnets, host_of
from aitbc_node.types import PeerId

REVOKED = "revoked"
"""Why a link is closed or refused when the ledger says that the peer's key has ended."""
TAKEN_BACK = "its place was taken back"
"""Why the link to who had been put into another's place is closed."""

MEASURE_MS = 4 * limits.PING_MS
"""How often the way to a peer and back is measured where nothing else asks for it."""


class Peers:
    """Keep the links of one node."""

    def __init__(
        self,
        own_id: PeerId,
        bootstrap: tuple[tuple[PeerId, str], ...],
        *,
        listed_only: bool,
        votes: bool = False,
        peers_max: int = limits.PEERS_MAX,
        subnets: Subnets | None = None,
        fame: Callable[[PeerId], int] = lambda _: 0,
    ) -> None:
        self.own_id = own_id
        self._listed_only = listed_only
        self._peers_max = peers_max
        self._subnets = subnets or Subnets()
        self._fame = fame
        self.book = Book(own_id, bootstrap, draw=self.draw, votes=votes, subnets=subnets)
        self._links: dict[PeerId, Link] = {}
        self._linked: tuple[PeerId, ...] | None = ()
        """Who is in there, as far as that was asked for since it changed."""
        self._closing: dict[PeerId, int] = {}
        self.standing = Standing()
        self._parted = 0, 0
        """How many keys had ended, and how many in favour of another, when that was looked at."""
        self._strange_dials = StrangeDials()
        self.speeds = Speeds()
        self._ticked_ms: int | None = None

    def linked(self) -> tuple[PeerId, ...]:
        """Return the peers that can be sent to, in the order in which they came."""
        if self._linked is None:
            self._linked = tuple(self._links)
        return self._linked

    def is_linked(self, peer: PeerId) -> bool:
        """Tell whether a peer can be sent to."""
        return peer in self._links

    def is_named(self, peer: PeerId) -> bool:
        """Tell whether the operator named a peer, which strangers cannot imitate."""
        return self.book.is_named(peer)

    def dialled_count(self, *, but: PeerId | None = None) -> int:
        """Count the links that this node dialled."""
        return sum(link.outbound for peer, link in self._links.items() if peer != but)

    def candidates(self, now_ms: int) -> int:
        """Count those that could be linked with instead of one that is."""
        return sum(self._may_dial(entry, now_ms) for entry in self.book)

    @property
    def is_short(self) -> bool:
        """Tell whether more peers are wanted, and there may be some.

        In a small mesh there is nobody else, and asking again and again finds nobody.
        """
        count, known = len(self._links), len(self.book)
        has_few = self.dialled_count() < limits.OUTBOUND_TARGET
        return has_few and (count < limits.DEGREE_MIN or known > count)

    @property
    def is_too_full(self) -> bool:
        """Tell whether strangers have places that are kept for others, who were named later."""
        count = len(self._links)  # for others half of the places are kept at most
        return count > self._peers_max // 2 and count > self._stranger_room()

    def held(
        self,
        now_ms: int,
        degree_of: Callable[[PeerId], int],
        *,
        voters: frozenset[PeerId] = frozenset(),
    ) -> list[Held]:
        """Show all links to who chooses among them; those of `voters` are kept."""
        return [
            Held(
                peer=link.peer,
                address=link.address,
                crowd=self._subnets.of(link.source) or host_of(link.source),
                outbound=link.outbound,
                rtt_ms=link.rtt_ms,
                age_ms=now_ms - link.since_ms,
                degree=degree_of(link.peer),
                is_kept=link.peer in voters or self.book.is_kept(link.peer),
            )
            for link in self._links.values()
        ]

    def views(self, now_ms: int) -> tuple[PeerView, ...]:
        """Show all links."""
        return tuple(
            link.view(
                score=self.standing.score(link.peer, now_ms),
                speed=self.speeds.kind(link.peer).shown,
            )
            for link in self._links.values()
        )

    def on_up(self, event: PeerUp, now_ms: int) -> list[Effect]:
        """Take a new link, unless the peer may not have one; then it is closed."""
        peer = event.peer
        refusal = self._refusal(peer, now_ms, outbound=event.outbound)
        if refusal:
            return self._close(peer, refusal, now_ms)
        self.book.up(peer, now_ms, outbound=event.outbound, source=event.source)
        self._closing.pop(peer, None)
        self._links.pop(peer, None)
        self._linked = None
        self.speeds.begin(peer)
        self._links[peer] = Link(
            peer,
            event.address,
            event.outbound,
            event.version,
            event.source or event.address,
            since_ms=now_ms,
            heard_ms=now_ms,
            pinged_ms=now_ms,
        )
        return [Note("peer.up", (("peer", peer.hex()), ("outbound", event.outbound)))]

    def on_down(self, event: PeerDown, now_ms: int) -> list[Effect]:
        """Forget a link, or a dial that failed, and plan the next dial."""
        if not event.was_up:
            self.book.plan_dial(event.peer, now_ms)
            return []
        self._closing.pop(event.peer, None)
        link = self._links.pop(event.peer, None)
        self._linked = None
        self.speeds.forget(event.peer)
        self.book.down(event.peer)
        self.book.plan_dial(event.peer, now_ms)
        if link is None:
            return []
        return [Note("peer.down", (("peer", event.peer.hex()), ("reason", event.reason)))]

    def heard(self, peer: PeerId, now_ms: int) -> Link | None:
        """Count a frame as a sign of life; None when the peer has no link any more."""
        link = self._links.get(peer)
        if link is not None:
            link.heard_ms = now_ms
            link.frames += 1
        return link

    def on_pong(self, peer: PeerId, number: int, now_ms: int) -> None:
        """Take the answer to a ping."""
        self.speeds.pong(peer, number, now_ms)
        link = self._links.get(peer)
        if link is not None and link.pong(number, now_ms):
            self.book.met(peer, now_ms, link.rtt_ms)

    def may_ask(self, peer: PeerId) -> bool:
        """Count a request of a peer; False when it has asked too often since the last tick."""
        link = self._links.get(peer)
        return link is not None and link.may_ask()

    def may_show(self, peer: PeerId) -> bool:
        """Count evidence that a peer shows; False when it was too much since the last tick."""
        link = self._links.get(peer)
        return link is not None and link.may_show()

    def may_get(self, peer: PeerId, size: int) -> bool:
        """Count bytes of an answer; False when the peer had enough of them since the last tick."""
        link = self._links.get(peer)
        return link is not None and link.may_get(size)

    def fault(
        self, peer: PeerId, what: str, now_ms: int, *, is_forgery: bool = False
    ) -> list[Effect]:
        """Note a fault of a peer and drop its link; forgery or a row of faults means a ban."""
        penalty = self.standing.blame(peer, now_ms, is_forgery=is_forgery)
        self.book.distrust(peer)
        note = Note("peer.fault", (("peer", peer.hex()), ("what", what), ("penalty", penalty)))
        return [note, *self._close(peer, f"fault: {what}", now_ms)]

    def part_with(
        self,
        revoked: AbstractSet[PeerId],
        now_ms: int,
        *,
        heirs: Mapping[PeerId, PeerId] | None = None,
    ) -> list[Effect]:
        """Close the links of nodes whose keys have ended, and forget who they were.

        Who took the place of one that the operator named is named from now on, and who lost it
        again comes back as a stranger, if at all. No key comes back, and who has given way to
        nobody gives way no more: so as many as before are the same as before.
        """
        heirs = heirs or {}
        if self._parted == (len(revoked), len(heirs)):
            return []
        self._parted = len(revoked), len(heirs)
        effects: list[Effect] = []
        for peer in sorted(revoked - self.book.struck):
            self.book.strike(peer)
            if peer in self._links:
                effects += self._close(peer, REVOKED, now_ms)
            elif peer == self.own_id:
                effects.append(Note("node.revoked", (("peer", peer.hex()),)))
        for peer in self.book.hand_on(heirs):
            if peer in self._links:
                effects += self._close(peer, TAKEN_BACK, now_ms)
        return effects

    def is_revoked(self, peer: PeerId) -> bool:
        """Tell whether the key of a peer has ended."""
        return peer in self.book.struck

    def let_go(self, peer: PeerId, now_ms: int) -> list[Effect]:
        """Close a good link, so that another can take its place."""
        goodbye = send((peer,), RoomNeeded())
        self.book.rest(peer, now_ms)
        return [*goodbye, *self._close(peer, "makes room for another", now_ms)]

    def tick(self, now_ms: int) -> list[Effect]:
        """Ping, drop the silent, dial the missing."""
        # After a pause of this process (a stopped process, a stalled disk) the peers' frames are
        # still in the queues: judging them silent would cut every link of a healthy mesh.
        since_ms = 0 if self._ticked_ms is None else now_ms - self._ticked_ms
        paused = since_ms > limits.DEAD_AFTER_MS // 2
        allowed = since_ms * limits.PEER_FRAMES_PER_S // 1_000
        self._ticked_ms = now_ms
        for peer in [peer for peer in self._closing if not self._is_closing(peer, now_ms)]:
            del self._closing[peer]
        effects: list[Effect] = []
        for link in tuple(self._links.values()):
            link.begin_tick(allowed)
            if paused:
                link.heard_ms = now_ms
            if now_ms - link.heard_ms >= limits.DEAD_AFTER_MS:
                effects += self._close(link.peer, "silent", now_ms)
            elif now_ms - link.pinged_ms >= limits.PING_MS and self._is_ping_due(link, now_ms):
                effects += send((link.peer,), Ping(link.ping(now_ms)))
                self.speeds.ping(link.peer, link.ping_number, now_ms)
        return effects + self._dials(now_ms)

    def _is_ping_due(self, link: Link, now_ms: int) -> bool:
        """Tell whether there is reason to ask: what else a peer says shows that it lives, too."""
        return (
            now_ms - link.heard_ms >= limits.PING_MS
            or now_ms - link.pinged_ms >= MEASURE_MS
            or link.rtt_ms is None
            or self.speeds.is_watched(link.peer)
        )

    def _dials(self, now_ms: int) -> list[Effect]:
        for peer in self.book.lost_dials(now_ms):
            self.book.plan_dial(peer, now_ms)
        may_dial = partial(self._may_dial, now_ms=now_ms)
        outbound = [link.address for link in self._links.values() if link.outbound]
        effects: list[Effect] = []
        for entry in dials(self.book, outbound, may_dial=may_dial, fame=self._fame, draw=self.draw):
            if self._strange_dials.may(entry, now_ms):
                self.book.dial(entry, now_ms)
                effects.append(Dial(entry.peer, entry.address))
        return effects

    def _may_dial(self, entry: Entry, now_ms: int) -> bool:
        peer = entry.peer
        return (
            peer not in self._links
            and entry.dialled_ms is None
            and now_ms >= entry.dial_at_ms
            and not self._is_closing(peer, now_ms)
            and not self.standing.is_banned(peer, now_ms)
        )

    def _close(self, peer: PeerId, reason: str, now_ms: int) -> list[Effect]:
        self._links.pop(peer, None)
        self._linked = None
        self.speeds.forget(peer)
        self._closing[peer] = now_ms
        self.book.down(peer)
        self.book.plan_dial(peer, now_ms)
        return [
            Disconnect(peer, reason),
            Note("peer.closed", (("peer", peer.hex()), ("reason", reason))),
        ]

    def _refusal(self, peer: PeerId, now_ms: int, *, outbound: bool) -> str:
        if peer == self.own_id:
            return "this node itself"
        if self.is_revoked(peer):
            return REVOKED
        if self.standing.is_banned(peer, now_ms):
            return "banned"
        if self._listed_only and not self.book.is_named(peer):
            return "not listed"
        if peer not in self._links and len(self._links) >= self._room_for(peer):
            return "too many peers"
        if outbound and self.dialled_count(but=peer) >= limits.OUTBOUND_MAX:
            return "enough links of this node's own"
        return ""

    def _room_for(self, peer: PeerId) -> int:
        """Bound the links of strangers lower, who cost nothing: those that are kept find room.

        That is who the operator names, and for a validator who the ledger names for another one.
        """
        return self._peers_max if self.book.is_kept(peer) else self._stranger_room()

    def _stranger_room(self) -> int:
        absent = sum(entry.peer not in self._links for entry in self.book.near)
        return self._peers_max - min(absent, self._peers_max // 2)

    def _is_closing(self, peer: PeerId, now_ms: int) -> bool:
        since_ms = self._closing.get(peer)
        return since_ms is not None and now_ms - since_ms < DIAL_LOST_MS

    def draw(self, peer: PeerId, attempt: int = 0) -> bytes:
        """Draw bytes that look random, yet are the same in every run."""
        return hashlib.sha256(encode((self.own_id, peer, attempt))).digest()
