"""What does this node give peers of the states that it has kept?

One file read per peer at a time and a bounded number of bytes between two ticks, so that whoever
fetches slows nothing down that matters here. Do not add what is kept, or when.
"""

from collections.abc import Callable

from aitbc_node import limits
from aitbc_node.events import OfferRead, PieceRead, ReadOffer, ReadPiece
from aitbc_node.gossip.messages import OfferFound, OfferWanted, Piece, PieceWanted, send
from aitbc_node.mesh import Mesh
from aitbc_node.outbox import Outbox
from aitbc_node.types import PeerId

OFFER_BYTES = limits.PIECE_BYTES
"""What an offer is taken for until it is read."""


class Lending:
    """Answer peers; `is_closed` says when nothing may be read."""

    def __init__(self, outbox: Outbox, mesh: Mesh, *, is_closed: Callable[[], bool]) -> None:
        self._out = outbox
        self._mesh = mesh
        self._is_closed = is_closed
        self._reading: dict[PeerId, None] = {}
        self._waiting: dict[PeerId, PieceWanted] = {}

    @property
    def is_reading(self) -> bool:
        """Tell whether something is being read for a peer."""
        return bool(self._reading)

    def on_offer_wanted(self, peer: PeerId, message: OfferWanted) -> None:
        """Have a look at what there is."""
        if self._is_closed():
            self._out.send((peer,), OfferFound(None, None))
        elif self._takes(peer, OFFER_BYTES):
            self._out.add(ReadOffer(peer, message.above, message.trusted))

    def on_piece_wanted(self, peer: PeerId, message: PieceWanted) -> None:
        """Have a piece read, at the next tick if the peer has had enough until then."""
        if self._is_closed():
            self._out.send((peer,), Piece(message.name, message.index, b""))
        elif self._takes(peer, limits.PIECE_BYTES):
            self._out.add(ReadPiece(peer, message.name, message.index))
        else:
            self._waiting[peer] = message

    def tick(self) -> None:
        """Come back to who had to wait."""
        waiting, self._waiting = self._waiting, {}
        for peer, message in waiting.items():
            if self._mesh.peers.is_linked(peer):
                self.on_piece_wanted(peer, message)

    def on_read(self, event: OfferRead | PieceRead) -> None:
        """Send what was read."""
        self._reading.pop(event.peer, None)
        if not self._mesh.peers.is_linked(event.peer):
            return
        match event:
            case OfferRead(offer=offer, trusted=trusted):
                (answer,) = send((event.peer,), OfferFound(offer, trusted))
                # Paid for now, when its size is known: what is over is missing from the next ones.
                self._mesh.peers.may_get(event.peer, max(0, len(answer.payload) - OFFER_BYTES))
                self._out.add(answer)
            case PieceRead(name=name, index=index, data=data):
                self._out.send((event.peer,), Piece(name, index, data))

    def _takes(self, peer: PeerId, size: int) -> bool:
        if peer in self._reading or not self._mesh.peers.may_get(peer, size):
            return False
        self._reading[peer] = None
        return True
