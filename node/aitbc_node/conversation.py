"""Which part of the machine takes which message of a peer?

Every frame of every peer comes through here, so here is also where a peer's fault ends: the link is
closed, the fault counted, and nothing else happens. Do not add what the parts do.
"""

from typing import assert_never

from aitbc_node import limits
from aitbc_node.arriving import Arriving
from aitbc_node.blocks import tx_id
from aitbc_node.broker import Broker
from aitbc_node.chain import Chain
from aitbc_node.errors import PeerFault
from aitbc_node.events import BlocksRead, OfferRead, PieceRead, ReadBlocks, Verified
from aitbc_node.following import Following
from aitbc_node.gossip.links import Link
from aitbc_node.gossip.messages import (
    BlockFound,
    BlockWanted,
    Bodies,
    BodiesWanted,
    EvidenceSeen,
    Finals,
    FinalsWanted,
    Hello,
    Letters,
    Message,
    Neighbours,
    OfferFound,
    OfferWanted,
    PeersKnown,
    PeersWanted,
    Piece,
    PieceWanted,
    Ping,
    Pong,
    ProposalSent,
    RoomNeeded,
    Status,
    SummarySent,
    Transactions,
    TransactionsHanded,
    VotesSent,
    decode_message,
    fitting,
)
from aitbc_node.intake import Intake
from aitbc_node.lending import Lending
from aitbc_node.mesh import Mesh
from aitbc_node.outbox import Outbox
from aitbc_node.types import Height, PeerId
from aitbc_node.voting import Voting
from aitbc_node.witness import Witness
from aitbc_node.workshop import Workshop

SPREADING = frozenset({VotesSent, ProposalSent, Transactions, TransactionsHanded})
Reply = Bodies | BlockFound | Finals | OfferFound | Piece
Request = BodiesWanted | BlockWanted | FinalsWanted | OfferWanted | PieceWanted


class Conversation:
    """Take frames."""

    def __init__(  # noqa: PLR0913 - one for each part that takes messages
        self,
        outbox: Outbox,
        chain: Chain,
        mesh: Mesh,
        *,
        intake: Intake,
        workshop: Workshop,
        voting: Voting,
        following: Following,
        arriving: Arriving,
        witness: Witness,
    ) -> None:
        self._out = outbox
        self._chain = chain
        self._mesh = mesh
        self._intake = intake
        self._workshop = workshop
        self._voting = voting
        self._following = following
        self._arriving = arriving
        self._witness = witness
        self._reading: dict[PeerId, None] = {}
        self.broker = Broker(outbox, chain, mesh)
        self.lending = Lending(outbox, mesh, is_closed=lambda: arriving.is_proved)

    @property
    def is_reading(self) -> bool:
        """Tell whether the disk is being read for a peer."""
        return bool(self._reading) or self.lending.is_reading

    def tick(self, *, speaks: bool) -> None:
        """Come back to who has to wait; a node that `speaks` to nobody now owes it to them."""
        self.lending.tick()
        if speaks:
            self.broker.tick()

    def on_frame(self, link: Link, payload: bytes) -> None:
        """Take a frame; whatever is in it, at worst the link is closed."""
        peer = link.peer
        if link.is_flooding:
            self._mesh.fault(peer, "more frames than any node sends")
            return
        try:
            message = decode_message(payload)
            flooded = link.tally.take(message)
            if flooded:
                raise PeerFault(f"more about {flooded} than any node says")  # noqa: TRY301 - ends here, like all faults
            if type(message) in SPREADING:
                self._mesh.spread.take(payload)
            self._on_message(peer, message)
        except PeerFault as fault:
            self._mesh.fault(peer, fault.what)

    def on_verified(self, event: Verified) -> None:
        """Go on with what was judged; who passed on what is signed falsely is a forger's friend."""
        if self.broker.owns(event):
            culprits = self.broker.on_verified(event)
        else:
            judged = self._intake.on_verified(event)
            self._workshop.on_verified(judged)
            culprits = judged.culprits
        for peer in culprits:
            self._mesh.fault(peer, "passed on what is signed falsely", is_forgery=True)

    def on_read(self, event: BlocksRead | OfferRead | PieceRead) -> None:
        """Send a peer what it asked for, now that the disk gave it."""
        match event:
            case BlocksRead(peer=peer, blocks=blocks):
                self._reading.pop(peer, None)
                if self._mesh.peers.is_linked(peer):
                    self._out.send((peer,), Finals(fitting(blocks)))
            case OfferRead() | PieceRead():
                self.lending.on_read(event)

    def _on_message(self, peer: PeerId, message: Message) -> None:
        if type(message) is VotesSent:  # the others are told apart one by one, which takes longer
            self._voting.on_votes(peer, message)
        elif type(message) is Status:
            self._mesh.catch_up.claim(peer, message.height)
            self._mesh.news.claimed(peer, message.height)
            self.broker.claimed(peer, message.height)
            if not self._following.diverged:
                self._arriving.poll()
            self._following.poll()
        else:
            self._on_seldom(peer, message)

    def _on_seldom(self, peer: PeerId, message: Message) -> None:
        match message:
            case VotesSent() | Status():
                raise AssertionError("taken above")
            case Ping(number=number):
                self._out.send((peer,), Pong(number))
            case Pong(number=number):
                self._mesh.peers.on_pong(peer, number, self._out.now_ms)
            case Transactions(raws=raws):
                self._intake.gossip(peer, raws)
            case ProposalSent():
                self._voting.on_proposal(peer, message)
            case SummarySent():
                self._voting.on_summary(peer, message)
            case TransactionsHanded(raws=raws):
                self._mesh.relay.handed(tx_id(raw) for raw in raws)
                self._intake.gossip(peer, raws)
            case Letters(raws=raws):
                self.broker.hear(peer, raws)
            case EvidenceSeen(raw=raw):
                self._witness.hear(peer, raw)
            case Hello() | Neighbours() | PeersKnown() | PeersWanted() | RoomNeeded():
                self._mesh.heard(peer, message)
            case BodiesWanted() | BlockWanted() | FinalsWanted() | OfferWanted() | PieceWanted():
                self._on_request(peer, message)
            case Bodies() | BlockFound() | Finals() | OfferFound() | Piece():
                self._on_answer(peer, message)
            case _:
                assert_never(message)

    def _on_answer(self, peer: PeerId, message: Reply) -> None:
        match message:
            case Bodies(block_id=block_id, raws=raws):
                self._workshop.on_bodies(block_id, raws)
            case BlockFound(block=block):
                self._workshop.on_block(block, peer)
            case Finals(blocks=blocks):
                self._following.on_finals(peer, blocks)
            case OfferFound():
                self._arriving.on_offer(peer, message)
            case Piece():
                self._arriving.on_piece(peer, message)

    def _on_request(self, peer: PeerId, message: Request) -> None:
        """Answer a peer; each peer gets a bounded number of answers between two ticks."""
        if not self._mesh.peers.may_ask(peer):
            raise PeerFault("more requests than any node needs")
        match message:
            case BodiesWanted(block_id=block_id, ids=ids):
                raws = self._workshop.bodies_of(block_id, ids)
                if self._mesh.peers.may_get(peer, sum(map(len, raws))):
                    self._out.send((peer,), Bodies(block_id, raws))
            case BlockWanted(block_id=block_id):
                block = self._workshop.whole(block_id)
                if block is not None and self._mesh.peers.may_get(peer, sum(map(len, block.txs))):
                    self._out.send((peer,), BlockFound(block))
            case FinalsWanted(first=first, last=last):
                self._mesh.news.asked(peer, last)
                self._read(peer, first, last)
            case OfferWanted():
                self.lending.on_offer_wanted(peer, message)
            case PieceWanted():
                self.lending.on_piece_wanted(peer, message)

    def _read(self, peer: PeerId, first: Height, last: Height) -> None:
        """Have blocks read for a peer, one request at a time."""
        last = Height(min(last, self._chain.height, first + limits.CATCH_UP_BLOCKS_MAX - 1))
        if first > last or self._arriving.is_proved:
            self._out.send((peer,), Finals(()))
        elif peer not in self._reading:
            self._reading[peer] = None
            self._out.add(ReadBlocks(peer, first, last))
