"""Which peers are known, linked and alive, and when to dial or drop one.

The driver keeps one link per peer: `PeerUp` for a linked peer replaces the link, and `PeerDown`
answers every `Disconnect`. How far a peer is trusted is in `standing.py`. Do not add what peers
talk about.
"""

import hashlib

import msgspec

from aitbc_node import limits
from aitbc_node.canonical import encode
from aitbc_node.events import Dial, Disconnect, Effect, Note, PeerDown, PeerUp
from aitbc_node.gossip.messages import Ping, send
from aitbc_node.gossip.standing import Standing
from aitbc_node.types import PeerId

YIELD_MS = 250
"""Of two nodes that know each other the one with the greater id dials this much later."""
DIAL_LOST_MS = 10_000
"""A dial that the driver never answered counts as failed after this time."""
REQUESTS_PER_TICK_MAX = 200
"""A node that catches up asks once per round trip: not more often than once in two milliseconds."""
ANSWER_BYTES_PER_TICK_MAX = limits.BLOCK_BYTES_MAX
"""Nobody needs more than one whole block at a time; who asks for more is answered later."""


class Link(msgspec.Struct):
    """Remember one standing link. Units: milliseconds of the machine's clock."""

    peer: PeerId
    address: str
    outbound: bool
    version: str
    heard_ms: int
    pinged_ms: int
    ping_number: int = 0
    pong_due: bool = False
    rtt_ms: int | None = None
    requests: int = 0
    answered_bytes: int = 0


class PeerView(msgspec.Struct, frozen=True):
    """Show one link to a reader."""

    id: PeerId
    address: str
    direction: str
    rtt_ms: int | None
    score: int
    version: str


class _Known(msgspec.Struct):
    address: str
    dial_at_ms: int
    attempts: int = 0
    dialled_ms: int | None = None


class Peers:
    """Keep the links of one node."""

    def __init__(
        self, own_id: PeerId, bootstrap: tuple[tuple[PeerId, str], ...], *, listed_only: bool
    ) -> None:
        self._own_id = own_id
        self._listed_only = listed_only
        self._known = {
            peer: _Known(address, 0 if own_id < peer else YIELD_MS)
            for peer, address in sorted(bootstrap, key=lambda row: self._draw(row[0]))
            if peer != own_id
        }
        self._links: dict[PeerId, Link] = {}
        self._closing: dict[PeerId, int] = {}
        self.standing = Standing()
        self._ticked_ms: int | None = None

    def linked(self) -> tuple[PeerId, ...]:
        """Return the peers that can be sent to, in the order in which they came."""
        return tuple(self._links)

    def is_linked(self, peer: PeerId) -> bool:
        """Tell whether a peer can be sent to."""
        return peer in self._links

    def is_named(self, peer: PeerId) -> bool:
        """Tell whether the operator named a peer, which strangers cannot imitate."""
        return peer in self._known

    def views(self, now_ms: int) -> tuple[PeerView, ...]:
        """Show all links."""
        return tuple(
            PeerView(
                link.peer,
                link.address,
                "out" if link.outbound else "in",
                link.rtt_ms,
                self.standing.score(link.peer, now_ms),
                link.version,
            )
            for link in self._links.values()
        )

    def on_up(self, event: PeerUp, now_ms: int) -> list[Effect]:
        """Take a new link, unless the peer may not have one; then it is closed."""
        peer = event.peer
        known = self._known.get(peer)
        if known is not None:
            known.dialled_ms = None
            known.attempts = 0
        refusal = self._refusal(peer, now_ms)
        if refusal:
            return self._close(peer, refusal, now_ms)
        self._closing.pop(peer, None)
        self._links.pop(peer, None)
        self._links[peer] = Link(
            peer, event.address, event.outbound, event.version, heard_ms=now_ms, pinged_ms=now_ms
        )
        return [Note("peer.up", (("peer", peer.hex()), ("outbound", event.outbound)))]

    def on_down(self, event: PeerDown, now_ms: int) -> list[Effect]:
        """Forget a link, or a dial that failed, and plan the next dial."""
        if not event.was_up:
            self._plan_dial(event.peer, now_ms)
            return []
        self._closing.pop(event.peer, None)
        was_linked = self._links.pop(event.peer, None) is not None
        self._plan_dial(event.peer, now_ms)
        if not was_linked:
            return []
        return [Note("peer.down", (("peer", event.peer.hex()), ("reason", event.reason)))]

    def heard(self, peer: PeerId, now_ms: int) -> bool:
        """Count a frame as a sign of life; False when the peer has no link any more."""
        link = self._links.get(peer)
        if link is None:
            return False
        link.heard_ms = now_ms
        return True

    def on_pong(self, peer: PeerId, number: int, now_ms: int) -> None:
        """Measure the way there and back, smoothed over about eight pings."""
        link = self._links.get(peer)
        if link is None or not link.pong_due or number != link.ping_number:
            return
        link.pong_due = False
        sample = now_ms - link.pinged_ms
        link.rtt_ms = sample if link.rtt_ms is None else (7 * link.rtt_ms + sample) // 8

    def may_ask(self, peer: PeerId) -> bool:
        """Count a request of a peer; False when it has asked too often since the last tick."""
        link = self._links.get(peer)
        if link is None:
            return False
        link.requests += 1
        return link.requests <= REQUESTS_PER_TICK_MAX

    def may_get(self, peer: PeerId, size: int) -> bool:
        """Count bytes of an answer; False when the peer had enough of them since the last tick."""
        link = self._links.get(peer)
        if link is None or link.answered_bytes >= ANSWER_BYTES_PER_TICK_MAX:
            return False
        link.answered_bytes += size
        return True

    def fault(
        self, peer: PeerId, what: str, now_ms: int, *, is_forgery: bool = False
    ) -> list[Effect]:
        """Note a fault of a peer and drop its link; forgery or a row of faults means a ban."""
        penalty = self.standing.blame(peer, now_ms, is_forgery=is_forgery)
        note = Note("peer.fault", (("peer", peer.hex()), ("what", what), ("penalty", penalty)))
        return [note, *self._close(peer, f"fault: {what}", now_ms)]

    def tick(self, now_ms: int) -> list[Effect]:
        """Ping, drop the silent, dial the missing."""
        # After a pause of this process (a stopped process, a stalled disk) the peers' frames are
        # still in the queues: judging them silent would cut every link of a healthy mesh.
        paused = (
            self._ticked_ms is not None and now_ms - self._ticked_ms > limits.DEAD_AFTER_MS // 2
        )
        self._ticked_ms = now_ms
        effects: list[Effect] = []
        for link in tuple(self._links.values()):
            link.requests = link.answered_bytes = 0
            if paused:
                link.heard_ms = now_ms
            if now_ms - link.heard_ms >= limits.DEAD_AFTER_MS:
                effects += self._close(link.peer, "silent", now_ms)
            elif now_ms - link.pinged_ms >= limits.PING_MS:
                effects += self._ping(link, now_ms)
        return effects + self._dials(now_ms)

    def _ping(self, link: Link, now_ms: int) -> list[Effect]:
        link.ping_number += 1
        link.pinged_ms = now_ms
        link.pong_due = True
        return list(send((link.peer,), Ping(link.ping_number)))

    def _dials(self, now_ms: int) -> list[Effect]:
        effects: list[Effect] = []
        outbound = sum(link.outbound for link in self._links.values())
        for peer, known in self._known.items():
            if known.dialled_ms is not None:
                if now_ms - known.dialled_ms < DIAL_LOST_MS:
                    outbound += 1
                    continue
                self._plan_dial(peer, now_ms)
            if outbound >= limits.OUTBOUND_MAX:
                break
            if peer in self._links or self._is_closing(peer, now_ms) or now_ms < known.dial_at_ms:
                continue
            if self.standing.is_banned(peer, now_ms):
                continue
            known.dialled_ms = now_ms
            outbound += 1
            effects.append(Dial(peer, known.address))
        return effects

    def _plan_dial(self, peer: PeerId, now_ms: int) -> None:
        """Wait twice as long after each failure, up to the cap, plus up to half as jitter.

        The jitter is drawn from the two ids and the attempt, so that a run can be repeated, yet two
        nodes that lost each other do not dial in step for ever.
        """
        known = self._known.get(peer)
        if known is None:
            return
        known.dialled_ms = None
        base = min(limits.REDIAL_BASE_MS << min(known.attempts, 8), limits.REDIAL_CAP_MS)
        jitter = self._draw(peer, known.attempts)[0] * base // 512
        known.attempts += 1
        known.dial_at_ms = now_ms + base + jitter + (0 if self._own_id < peer else YIELD_MS)

    def _close(self, peer: PeerId, reason: str, now_ms: int) -> list[Effect]:
        self._links.pop(peer, None)
        self._closing[peer] = now_ms
        self._plan_dial(peer, now_ms)
        return [
            Disconnect(peer, reason),
            Note("peer.closed", (("peer", peer.hex()), ("reason", reason))),
        ]

    def _refusal(self, peer: PeerId, now_ms: int) -> str:
        if peer == self._own_id:
            return "this node itself"
        if self.standing.is_banned(peer, now_ms):
            return "banned"
        if self._listed_only and peer not in self._known:
            return "not listed"
        if peer not in self._links and len(self._links) >= self._room_for(peer):
            return "too many peers"
        return ""

    def _room_for(self, peer: PeerId) -> int:
        """Bound the links lower for strangers: the named ones must find room when they come back.

        Identities cost nothing, so without this a crowd of them could keep validators apart.
        """
        if peer in self._known:
            return limits.PEERS_MAX
        absent = sum(named not in self._links for named in self._known)
        return limits.PEERS_MAX - min(absent, limits.PEERS_MAX // 2)

    def _is_closing(self, peer: PeerId, now_ms: int) -> bool:
        since_ms = self._closing.get(peer)
        return since_ms is not None and now_ms - since_ms < DIAL_LOST_MS

    def _draw(self, peer: PeerId, attempt: int = 0) -> bytes:
        """Draw bytes that look random, yet are the same in every run."""
        return hashlib.sha256(encode((self._own_id, peer, attempt))).digest()
