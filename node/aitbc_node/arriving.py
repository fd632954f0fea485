"""How does a node that is very far behind go on from a state that peers have kept?

It asks everybody what they have, believes an offer whose links lead from what it knows itself to
the header of the state, fetches the pieces from all who offer the same, and has the whole compared
with the root in that header. Whoever lies on the way is banned, and after a few tries there are
still the blocks, one by one. Do not add how a state is built: that is `resuming.py`.
Source: feature E10; what is trusted is in docs/consensus.md.
"""

import msgspec

from aitbc_node.chain import Chain
from aitbc_node.crypto import Verifier
from aitbc_node.errors import PeerFault
from aitbc_node.events import AppendBase, ForgetGathered, GatherPiece, JudgeSnapshot, SnapshotJudged
from aitbc_node.gossip.messages import OfferFound, OfferWanted, Piece
from aitbc_node.gossip.pieces import Pieces
from aitbc_node.intake import Intake
from aitbc_node.lineage import Known, Offer, behind, fault_of_links, joined, joins
from aitbc_node.mesh import Mesh
from aitbc_node.outbox import Outbox
from aitbc_node.resuming import Base
from aitbc_node.types import Hash, Height, PeerId
from aitbc_node.workshop import Workshop

OFFERS_MS = 1_000
"""How long everybody has to be linked with and to say what there is."""
TRIES_MAX = 3
OFFERS_MAX = 8
"""So many are held at a time; whom the operator has named comes first."""
RETRY_MS = 60_000
"""After so many tries the blocks have so long to bring this node nearer."""


class _Offered(msgspec.Struct, frozen=True):
    """Be an offer whose links are proved, where belief in it begins, and its contents' name."""

    offer: Offer
    known: Known
    name: Hash


class Arriving:
    """Fetch one kept state when the mesh is more than `distance` blocks ahead; 0 for never.

    A claim alone only keeps blocks from being asked for, for a second. Once it is proved that this
    node is far behind, it takes no part and gives nobody anything until it is there.
    """

    def __init__(
        self,
        outbox: Outbox,
        chain: Chain,
        mesh: Mesh,
        *,
        workshop: Workshop,
        intake: Intake,
        distance: int,
        verify: Verifier,
    ) -> None:
        self._out = outbox
        self._chain = chain
        self._mesh = mesh
        self._workshop = workshop
        self._intake = intake
        self._distance = distance
        self._verify = verify
        self._is_asking = False
        self._above = Height(0)
        self._until_ms = 0
        self._next_try_ms = 0
        self._tries = 0
        self._asked: dict[PeerId, bool] = {}
        """Who was asked what there is, and whether it still owes the answer."""
        self._offered: dict[PeerId, _Offered] = {}
        self._slow: dict[PeerId, None] = {}
        """From whom nothing came in time; others are chosen before them."""
        self._chosen: Offer | None = None
        self._pieces: Pieces | None = None
        self.base: Base | None = None

    def poll(self) -> None:
        """Begin when there is reason to, and see to it that what was begun ends."""
        if not self._distance:
            return
        now_ms, limit = self._out.now_ms, Height(self._chain.height + self._distance)
        if not self._is_asking and not self.is_proved:
            if now_ms >= self._next_try_ms and self._mesh.catch_up.is_far_behind(limit):
                self._is_asking = self._mesh.catch_up.is_held = True
                self._until_ms, self._above = now_ms + OFFERS_MS, self._lowest()
                self._ask()
        elif self.base is not None:
            self._drop_if_passed()
        elif self._pieces is not None:
            self._fetch(self._pieces)
        elif self._is_asking:
            self._ask()
            if now_ms >= self._until_ms:
                self._choose()

    @property
    def is_proved(self) -> bool:
        """Tell whether it is sure, by more than what peers claim, that this node is far behind."""
        return self._chosen is not None

    @property
    def is_ready(self) -> bool:
        """Tell whether a state is here and proved, and above what is here already."""
        return self.base is not None and self.base.height > self._chain.height

    def arrive(self) -> Base:
        """Go on from the state that was fetched; nobody may be reading the log."""
        base, chain = self.base, self._chain
        assert base is not None, "a state is here"
        self._end()
        self._tries, self._slow = 0, {}
        self._out.note("snapshot.arrived", height=base.height, before=chain.height)
        self._out.add(AppendBase(base.final))
        chain.resume(base.state, base.final, base.voters, base.lineage)
        self._workshop.advance(base.height)
        self._mesh.catch_up.moved()
        self._intake.advance(None)
        self._mesh.grown(chain.height)
        return base

    def on_offer(self, peer: PeerId, message: OfferFound) -> None:
        """Take what a peer says that it has.

        Raises: PeerFault for what no honest node says of this chain.
        """
        if not self._asked.pop(peer, False):
            return  # nobody asked, or it is late, or it has answered
        self._asked[peer] = False
        offer = message.offer
        if offer is None:
            return
        header = offer.links[-1].header
        if offer.contents.chain != self._chain.genesis_hash or offer.height <= self._above:
            raise PeerFault("a kept state that was not asked for")
        known = self._known(offer, message)
        if known is None or not self._chain.knows_rules(header.app_version):
            return
        if joins(behind(offer.links, known), known) and self._has_room(peer):
            self._judge(peer, offer, known)

    def on_piece(self, peer: PeerId, message: Piece) -> None:
        """Take a piece; who sends another than it promised is banned."""
        pieces = self._pieces
        if pieces is None:
            return
        try:
            is_news = pieces.take(peer, message.name, message.index, message.data)
        except PeerFault as fault:
            pieces.drop(peer)
            self._mesh.fault(peer, fault.what, is_forgery=True)
            is_news = False
        if is_news:
            self._out.add(GatherPiece(message.index, message.data))
        self._fetch(pieces)

    def on_judged(self, event: SnapshotJudged) -> None:
        """Hear whether the state is what the header says; if not, all who offered it have lied."""
        if self._chosen is None:
            return
        name = self._chosen.contents.name()
        if isinstance(event.base, Base):
            self.base = event.base
            self._drop_if_passed()
            return
        what = "snapshot.false" if event.is_lie else "snapshot.failed"
        self._out.note(what, height=self._chosen.height, reason=event.fault)
        liars = self._offering(name) if event.is_lie else ()
        self._give_up()
        for peer in liars:
            self._mesh.fault(peer, f"a kept state: {event.fault}", is_forgery=True)

    def _drop_if_passed(self) -> None:
        """Let go of a state that blocks on their way have brought this node past meanwhile."""
        if self.base is not None and self.base.height <= self._chain.height:
            self._out.note("snapshot.passed", height=self.base.height)
            self._end()

    def _lowest(self) -> Height:
        """Return the height that a state must be above to be worth the way."""
        least = self._chain.height + self._distance // 2
        return Height(max(least, self._chain.trusted.height - 1))

    def _ask(self) -> None:
        """Ask everybody who was not asked yet what there is."""
        fresh = tuple(peer for peer in self._mesh.linked() if peer not in self._asked)
        trusted = self._chain.trusted
        wanted = trusted.height if trusted.is_above(self._chain.height) else Height(0)
        self._asked.update(dict.fromkeys(fresh, True))
        self._out.send(fresh, OfferWanted(self._above, wanted))

    def _known(self, offer: Offer, message: OfferFound) -> Known | None:
        """Return where belief begins: the own newest block, or the one that the operator knows.

        None where the peer cannot show the latter. Raises: PeerFault for another history.
        """
        trusted, header = self._chain.trusted, offer.links[-1].header
        if not trusted.is_above(self._chain.height):
            return self._own()
        if trusted.is_above(offer.height):
            return None
        if offer.height == trusted.height:
            # Its hash is known, so its voters are; what they signed is still looked at.
            fault = trusted.fault_of(header)
            known = Known(Height(trusted.height - 1), header.validators_hash)
        elif message.trusted is None:
            return None
        else:
            shown = message.trusted
            fault = trusted.fault_of(shown) if shown.height == trusted.height else "another height"
            known = Known(trusted.height, shown.next_validators_hash)
        if fault:
            raise PeerFault(f"a kept state of another history: {fault}")
        return known

    def _own(self) -> Known:
        return Known(self._chain.height, self._chain.state.validators.digest())

    def _offering(self, name: Hash) -> tuple[PeerId, ...]:
        return tuple(peer for peer, row in self._offered.items() if row.name == name)

    def _has_room(self, peer: PeerId) -> bool:
        rank = self._rank
        return len(self._offered) < OFFERS_MAX or rank(peer) > min(map(rank, self._offered))

    def _rank(self, peer: PeerId) -> tuple[bool, bool]:
        return self._mesh.peers.is_named(peer), peer not in self._slow

    def _judge(self, peer: PeerId, offer: Offer, known: Known) -> None:
        """Hold an offer whose links are proved, in place of another when there are many."""
        links = behind(offer.links, known)
        if not any(behind(row.offer.links, known) == links for row in self._offered.values()):
            chain_id = self._chain.chain_id
            fault = fault_of_links(links, known, chain_id=chain_id, verify=self._verify)
            if fault:
                self._mesh.fault(peer, f"a kept state: {fault}", is_forgery=True)
                return
        if len(self._offered) == OFFERS_MAX:
            del self._offered[min(self._offered, key=self._rank)]
        self._offered[peer] = _Offered(offer, known, offer.contents.name())

    def _choose(self) -> None:
        """Take what most offer, then the newest, which a liar can always have; named ones first."""
        if not self._offered:
            self._tries = TRIES_MAX  # nobody else has anything to offer
            self._give_up()
            return
        row = self._offered[max(self._offered, key=self._worth)]
        links = behind(row.offer.links, row.known)
        if row.known == self._own():  # what is known here leads on from the genesis
            links = joined(self._chain.lineage, links)
        self._begin(msgspec.structs.replace(row.offer, links=links), row.name)

    def _worth(self, peer: PeerId) -> tuple[bool, int, int, PeerId]:
        row = self._offered[peer]
        sources = [each for each in self._offering(row.name) if each not in self._slow]
        is_named = any(map(self._mesh.peers.is_named, sources))
        return is_named, len(sources), row.offer.height, peer

    def _begin(self, offer: Offer, name: Hash) -> None:
        sources = self._offering(name)
        self._is_asking = False
        self._chosen, self._pieces = offer, Pieces(offer.contents, sources)
        size, peers = offer.contents.size, len(sources)
        self._out.note("snapshot.fetched", height=offer.height, bytes=size, peers=peers)
        self._fetch(self._pieces)

    def _fetch(self, pieces: Pieces) -> None:
        for peer in tuple(pieces.sources):
            if not self._mesh.peers.is_linked(peer):
                pieces.drop(peer)
        if pieces.is_whole:
            assert self._chosen is not None, "pieces are of what was chosen"
            self._pieces = None
            self._out.add(JudgeSnapshot(self._chosen))
            return
        self._out.extend(pieces.poll(self._out.now_ms))
        if not pieces.sources or pieces.is_too_slow(self._out.now_ms):
            self._out.note("snapshot.given_up", peers=len(pieces.sources))
            slow = [*self._slow, *pieces.promised]
            self._slow = dict.fromkeys(slow[-TRIES_MAX * OFFERS_MAX :])
            self._give_up()

    def _give_up(self) -> None:
        if self._chosen is not None:
            self._out.add(ForgetGathered())
        self._tries += 1
        if self._tries >= TRIES_MAX:
            self._tries, self._next_try_ms = 0, self._out.now_ms + RETRY_MS
        self._end()

    def _end(self) -> None:
        self._is_asking = self._mesh.catch_up.is_held = False
        self._asked.clear()
        self._offered.clear()
        self._chosen = self._pieces = self.base = None
