"""How one connection to a peer is proved, filled, bounded and closed.

Handshake first, then frames. A slow peer pays for itself: when its queue is full, or it has read
nothing for long, it is dropped; nobody waits. Which are kept is `links.py`. Interpret no payloads.
"""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable
from typing import Protocol, cast

import msgspec

from aitbc_node.crypto import peer_id
from aitbc_node.errors import PeerFault
from aitbc_node.events import Lane
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.limits import (
    ALL_QUEUES_BYTES_MAX,
    FRAME_BYTES_MAX,
    PEER_QUEUE_BYTES_MAX,
    PEERS_MAX,
    SUBNET_LINKS_MAX,
)
from aitbc_node.transport import handshake, kernel
from aitbc_node.transport.addresses import format_address
from aitbc_node.transport.frames import FrameDecoder, framed
from aitbc_node.transport.handshake import Identity, Peer
from aitbc_node.transport.outgoing import SLICE_BYTES, Outgoing
from aitbc_node.transport.tls import peer_key
from aitbc_node.types import PeerId, PublicKey

HANDSHAKE_S = 5.0
STUCK_S = 20.0
"""Who takes less than a buffer in this time is too slow for any block."""
ALREADY_LINKED = "already linked"

log = logging.getLogger(__name__)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Be what a node offers and accepts on its links; `admits` judges a proved peer.

    Who `is_banned` is refused as well, for a while, who `is_revoked` for ever. `named` are the
    peers for which room is kept; of others at most `subnet_links` come from one of the networks
    that `subnets` tells apart. `homes` is from which hosts named peers come, as far as is known.
    """

    identity: Identity
    acceptor_context: ssl.SSLContext
    dialer_context: ssl.SSLContext
    admits: Callable[[PeerId], bool] = lambda _: True
    is_banned: Callable[[PeerId], bool] = lambda _: False
    is_revoked: Callable[[PeerId], bool] = lambda _: False
    named: frozenset[PeerId] = frozenset()
    peers_max: int = PEERS_MAX
    queue_bytes_max: int = PEER_QUEUE_BYTES_MAX
    all_queues_bytes_max: int = ALL_QUEUES_BYTES_MAX
    subnets: Subnets = Subnets()
    subnet_links: int = SUBNET_LINKS_MAX
    homes: dict[PeerId, str] = {}


class Keeper(Protocol):
    """Be what a connection reports to."""

    terms: Terms
    bytes_received: int
    bytes_sent: int
    bytes_queued: int

    def greet(self, link: "Connection") -> None:
        """Keep a connection that has proved nothing yet."""

    def check(self, link: "Connection", peer: Peer) -> None:
        """Raise PeerFault with what to tell a proved peer that may not stay."""

    def up(self, link: "Connection", peer: Peer) -> None:
        """Take a proved connection into use."""

    def received(self, peer: PeerId, payload: bytes) -> None:
        """Take one payload."""

    def full(self, peer: PeerId) -> None:
        """Learn that the wire to a peer takes less than it is given."""

    def gone(self, link: "Connection", peer: PeerId | None, reason: str) -> None:
        """Forget a closed connection; `peer` is set when it was up."""


class Connection(asyncio.Protocol):
    """Be one connection: handshake first, then frames."""

    def __init__(self, links: Keeper, *, dialled: PeerId | None) -> None:
        self.is_outbound = dialled is not None
        self.address = ""
        # Set when the handshake has ended: "" when the link is up, else the reason why not.
        self.settled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._links = links
        self._dialled = dialled
        self._nonce = secrets.token_bytes(handshake.NONCE_BYTES)
        # The acceptor is proved before it can send; only a dialer is a stranger with a small limit.
        limit = FRAME_BYTES_MAX if self.is_outbound else handshake.HANDSHAKE_BYTES_MAX
        self._decoder = FrameDecoder(limit)
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None
        self._is_up = self._flush_is_due = False
        self._deadline: asyncio.TimerHandle | None = None
        self._queue = Outgoing()
        self._stuck: asyncio.TimerHandle | None = None
        self._watch: kernel.Watch | None = None
        self._reason = ""

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake; TLS is done."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=SLICE_BYTES)
        sock = kernel.tuned(transport.get_extra_info("socket"))
        self._watch = kernel.Watch(sock, self._tell_full)
        self.address = format_address(*transport.get_extra_info("peername")[:2])
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_S, self.close, "no handshake in time")
        try:
            self._links.greet(self)
            if self._dialled is not None:
                self._check_pin(self._dialled)
            else:
                self._write(handshake.hello(self._links.terms.identity, self._nonce))
        except PeerFault as fault:
            self._refuse(fault.what)

    def data_received(self, data: bytes) -> None:
        """Take what came, frame by frame."""
        self._links.bytes_received += len(data)
        try:
            for payload in self._decoder.feed(data):
                self._take(payload)
        except PeerFault as fault:
            self._refuse(fault.what)

    def pause_writing(self) -> None:
        """Keep frames here while the peer does not take them; not for ever."""
        loop = asyncio.get_running_loop()
        self._stuck = loop.call_later(STUCK_S, self.abort, "it has read nothing for long")

    def resume_writing(self) -> None:
        """Go on."""
        self._forget_stuck()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell what became of the link."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._forget_stuck()
        self._forget_queue()
        if self._watch is not None:
            self._watch.end()
        # Why we closed it says more than what the closing ran into.
        self._reason = self._reason or (said(exc) if exc else "closed by the peer")
        if not self.settled.done():
            self.settled.set_result(self._reason)
        self._transport = None
        self._links.gone(self, self._peer.id if self._peer and self._is_up else None, self._reason)

    # The keeper calls these.

    @property
    def bytes_queued(self) -> int:
        """Return how much waits here for the peer to read."""
        return self._queue.byte_count

    def send(self, frame: bytes, lane: Lane = Lane.NEXT_BLOCK) -> None:
        """Queue a frame; frames of one turn of the loop leave in one write, lane behind lane."""
        if self._transport is None or self._transport.is_closing():
            return
        self._links.bytes_queued += self._queue.put(frame, lane)
        if self.bytes_queued > self._links.terms.queue_bytes_max:
            self.abort("its queue is full: it reads too slowly")
        elif not self._flush_is_due and self._stuck is None:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def close(self, reason: str) -> None:
        """Close after what is queued has left."""
        if self._transport is not None and not self._transport.is_closing():
            self._reason = reason
            if self._stuck is None:
                self._flush(whole=True)
            self._transport.close()

    def abort(self, reason: str) -> None:
        """Close at once; what is queued is lost."""
        if self._transport is not None:
            self._reason = reason
            self._forget_queue()
            self._transport.abort()

    # The handshake.

    def _take(self, payload: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._is_up:
            assert self._peer is not None, "a link is up only with a peer"
            self._links.received(self._peer.id, payload)
        elif not self.is_outbound:
            self._take_proof(payload)
        elif self._peer is None:
            self._take_hello(payload)
        else:
            handshake.check_welcome(payload)
            self._links.check(self, self._peer)
            self._become_up(self._peer)

    def _take_proof(self, payload: bytes) -> None:
        peer = handshake.judge(self._links.terms.identity, payload, nonce=self._nonce)
        self._links.check(self, peer)
        self._peer = peer
        self._write(handshake.verdict())
        self._decoder.bytes_max = FRAME_BYTES_MAX
        self._become_up(peer)

    def _take_hello(self, payload: bytes) -> None:
        identity = self._links.terms.identity
        self._peer, proof = handshake.prove(identity, payload, acceptor_key=self._acceptor_key())
        self._write(proof)

    def _become_up(self, peer: Peer) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._is_up = True
        self._links.up(self, peer)
        if not self.settled.done():
            self.settled.set_result("")

    def _check_pin(self, dialled: PeerId) -> None:
        shown = peer_id(self._acceptor_key())
        if shown != dialled:
            raise PeerFault(f"the node there is {shown.hex()}, not {dialled.hex()}")

    def _acceptor_key(self) -> PublicKey:
        assert self._transport is not None, "the certificate is read while the link stands"
        tls = self._transport.get_extra_info("ssl_object")
        return peer_key(tls.getpeercert(binary_form=True))

    def _refuse(self, what: str) -> None:
        """Tell the other side why, note it here, and hang up."""
        # Two nodes that dial each other refuse one of the links as a matter of course.
        level = logging.DEBUG if what.endswith(ALREADY_LINKED) else logging.WARNING
        log.log(
            level,
            "link.refused",
            extra={"address": self.address, "outbound": self.is_outbound, "reason": what},
        )
        if not self._is_up and not what.startswith("refused by the peer"):
            self._write(handshake.verdict(what))
        self.close(what)

    def _tell_full(self) -> None:
        if self._peer is not None and self._is_up:
            self._links.full(self._peer.id)

    # Bytes out.
    def _write(self, payload: bytes) -> None:
        if self._transport is not None:
            frame = framed(payload)
            self._links.bytes_sent += len(frame)
            self._transport.write(frame)

    def _flush(self, *, whole: bool = False) -> None:
        """Write what waits until the peer takes no more; or, at the end, the `whole` of it."""
        self._flush_is_due = False
        while self._transport and self._watch and (whole or self._stuck is None):
            data = self._queue.take()
            if not data:
                return
            self._links.bytes_sent += len(data)
            self._links.bytes_queued -= len(data)
            self._transport.write(data)
            self._watch.begin()

    def _forget_queue(self) -> None:
        self._links.bytes_queued -= self.bytes_queued
        self._queue.clear()

    def _forget_stuck(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None


def said(error: Exception) -> str:
    """Return the shortest true text of a foreign error."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
