"""Which links this node holds to its peers, and which of two to the same peer it keeps.

At most one link per peer; a peer is who has proved its node key. How one connection works is in
`connection.py`. Do not interpret payloads here.
"""

import asyncio
from collections.abc import Callable, Iterable

from aitbc_node.errors import PeerFault
from aitbc_node.events import Event, FrameReceived, Lane, PeerDown, PeerUp, WireFull
from aitbc_node.gossip.subnets import host_of
from aitbc_node.transport.addresses import parse_address
from aitbc_node.transport.connection import ALREADY_LINKED, Connection, Terms, said
from aitbc_node.transport.door import Door
from aitbc_node.transport.frames import framed
from aitbc_node.transport.handshake import Peer
from aitbc_node.transport.tls import SERVER_NAME
from aitbc_node.types import PeerId

__all__ = ["Links", "Terms"]

DIAL_S = 3.0


class Links:
    """Hold the links of one node, at most one per peer; all calls come from the event loop."""

    def __init__(
        self,
        terms: Terms,
        *,
        feed: Callable[[Event], None],
        wall_ms: Callable[[], int],
        kept: Callable[[], Iterable[PeerId]] = tuple,
    ) -> None:
        self.terms = terms
        self._also_kept = kept
        self.bytes_received = 0
        self.bytes_sent = 0
        self.bytes_queued = 0
        self._feed = feed
        self._wall_ms = wall_ms
        self._up: dict[PeerId, Connection] = {}
        self._strangers: set[Connection] = set()
        self._dials: dict[PeerId, asyncio.Task[None]] = {}
        self._homes = dict(terms.homes)
        self.door = Door(
            terms.acceptor_context,
            lambda: Connection(self, dialled=None),
            network_of=self._network_of,
        )

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """Return who is linked now."""
        return tuple(self._up)

    def listen(self, host: str, port: int) -> int:
        """Accept links from now on; return the port, which matters when 0 was asked.

        Raises: ConfigError when the address is taken or not ours.
        """
        return self.door.open(host, port)

    def dial(self, peer: PeerId, address: str) -> None:
        """Try to open a link; success is `PeerUp`, anything else `PeerDown` that was not up."""
        if peer in self._dials or peer in self._up:
            return
        self._dials[peer] = asyncio.get_running_loop().create_task(self._dial(peer, address))

    def send(self, peers: Iterable[PeerId], payload: bytes, lane: Lane = Lane.NEXT_BLOCK) -> None:
        """Queue one payload for each of these peers; who is not linked gets nothing.

        When all queues together are too much to hold, the longest one goes, with its link.
        """
        links = [link for peer in peers if (link := self._up.get(peer)) is not None]
        if links:
            frame = framed(payload)
            for link in links:
                link.send(frame, lane)
            if self.bytes_queued > self.terms.all_queues_bytes_max:
                slowest = max(self._up.values(), key=lambda link: link.bytes_queued)
                slowest.abort("the queues of all peers are full, and it reads the slowest")

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """Close a link after what is queued on it was handed to the kernel."""
        link = self._up.get(peer)
        if link is not None:
            link.close(reason)

    async def close(self) -> None:
        """Stop listening and dialling and close all links."""
        await self.door.close()
        dials = list(self._dials.values())
        for dial in dials:
            dial.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        for link in [*self._up.values(), *self._strangers]:
            link.close("shutting down")

    async def _dial(self, peer: PeerId, address: str) -> None:
        reason = ""
        try:
            host, port = parse_address(address)
            async with asyncio.timeout(DIAL_S):
                _, link = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self, dialled=peer),
                    host,
                    port,
                    ssl=self.terms.dialer_context,
                    server_hostname=SERVER_NAME,
                    ssl_handshake_timeout=DIAL_S,
                )
                reason = await link.settled
        except TimeoutError:
            reason = "timed out"
        except (OSError, ValueError) as error:
            reason = said(error)
        finally:
            self._dials.pop(peer, None)
        if reason:
            self._report(PeerDown(wall_ms=self._wall_ms(), peer=peer, reason=reason, was_up=False))

    # What the links report.

    def greet(self, link: Connection) -> None:
        """Keep a link that has proved nothing yet, so that it can be closed."""
        self._strangers.add(link)

    def check(self, link: Connection, peer: Peer) -> None:
        """Decide whether a proved peer may stay.

        Raises: PeerFault with what to tell it.
        """
        own = self.terms.identity.id
        old = self._up.get(peer.id)
        if peer.id == own:
            raise PeerFault("this is your own id")
        if self.terms.is_revoked(peer.id):
            raise PeerFault(f"revoked: the ledger says that the key of {peer.id.hex()} has ended")
        if not self.terms.admits(peer.id):
            raise PeerFault(f"{peer.id.hex()} is not admitted here")
        if self.terms.is_banned(peer.id):
            raise PeerFault("banned here, for what it did on an earlier link")
        if old is not None and not _wins(own, peer.id, old=old.is_outbound, new=link.is_outbound):
            raise PeerFault(ALREADY_LINKED)
        if old is None and len(self._up) >= self._room_for(peer.id):
            raise PeerFault("no room for another peer")
        if old is None and not link.is_outbound and self._is_crowd(peer.id, link.address):
            raise PeerFault("no room for another peer of its network")

    def _network_of(self, source: str) -> str:
        """Name the network whose strangers are counted with those of a source; "" for none.

        Where one of those came from for whom room is kept, no neighbour is to keep it out.
        """
        return "" if source in self._homes.values() else self.terms.subnets.of(source)

    def _room_for(self, peer: PeerId) -> int:
        """Bound strangers lower, so that who is kept finds room when it comes back."""
        terms = self.terms
        kept = self._kept()
        if peer in kept:
            return terms.peers_max
        absent = sum(other not in self._up for other in kept)
        return terms.peers_max - min(absent, terms.peers_max // 2)

    def _kept(self) -> frozenset[PeerId]:
        """Name those for whom room is kept: whom the operator names, and whom the ledger does.

        Whose key has ended never comes back, so its place is no longer held free.
        """
        known = self.terms.named.union(self._also_kept())
        return frozenset(peer for peer in known if not self.terms.is_revoked(peer))

    def _is_crowd(self, peer: PeerId, address: str) -> bool:
        """Tell whether strangers of one network have all the links that they may have.

        By where a link really comes from: what a peer says about itself costs it nothing.
        """
        terms = self.terms
        subnet = terms.subnets.of(address)
        kept = self._kept()
        if not subnet or peer in kept:
            return False
        same = (
            other not in kept and not link.is_outbound and terms.subnets.of(link.address) == subnet
            for other, link in self._up.items()
        )
        return sum(same) >= terms.subnet_links

    def up(self, link: Connection, peer: Peer) -> None:
        """Take a link into use, in place of an older one to the same peer."""
        self._strangers.discard(link)
        old = self._up.get(peer.id)
        if old is not None:
            old.close("replaced by a newer link")
            self._down(old, peer.id, "replaced by a newer link")
        self._up[peer.id] = link
        if peer.id in self._kept():
            self._homes[peer.id] = host_of(link.address)
        self._report(
            PeerUp(
                wall_ms=self._wall_ms(),
                peer=peer.id,
                outbound=link.is_outbound,
                address=peer.advertise or link.address,
                version=peer.release,
                source=link.address,
            )
        )

    def received(self, peer: PeerId, payload: bytes) -> None:
        """Hand one payload on."""
        self._report(FrameReceived(wall_ms=self._wall_ms(), peer=peer, payload=payload))

    def full(self, peer: PeerId) -> None:
        """Hand on that bytes stand before the wire to a peer."""
        self._report(WireFull(wall_ms=self._wall_ms(), peer=peer))

    def gone(self, link: Connection, peer: PeerId | None, reason: str) -> None:
        """Forget a link that is closed."""
        self._strangers.discard(link)
        if peer is not None:
            self._down(link, peer, reason)

    def _down(self, link: Connection, peer: PeerId, reason: str) -> None:
        if self._up.get(peer) is link:
            del self._up[peer]
            self._report(PeerDown(wall_ms=self._wall_ms(), peer=peer, reason=reason, was_up=True))

    def _report(self, event: Event) -> None:
        self._feed(event)


def _wins(own: PeerId, peer: PeerId, *, old: bool, new: bool) -> bool:
    """Tell whether a new link to a peer replaces the old one; the flags say who dialled: we did.

    Of two links that were dialled at the same time both sides keep the one of the smaller id. A
    second link from the same dialer means that it lost the first one: the newer stays.
    """
    return new in (old, own < peer)
