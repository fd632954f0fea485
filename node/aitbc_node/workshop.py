"""Which blocks of the next height are in the making, and which have turned out good or bad?

A block comes as a proposal (header and ids) or whole; here its bodies are gathered, verified once
and executed, and a good block is logged before consensus hears of it. Blocks that consensus may
still want stay here until their height is final, and anybody may fetch them. Do not add votes.
Source: rules 2.2.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from aitbc_node import limits
from aitbc_node.blocks import Block, Proposed, as_proposed, check_form
from aitbc_node.blocks import block_id as block_id_of
from aitbc_node.blocks import tx_id as id_of
from aitbc_node.chain import Candidate, Chain
from aitbc_node.codes import Refusal
from aitbc_node.events import AppendBlock
from aitbc_node.gossip.fetch import Fetches
from aitbc_node.intake import Intake, Judged
from aitbc_node.ledger.transactions import Parsed, parse
from aitbc_node.outbox import Outbox
from aitbc_node.shelf import Shelf
from aitbc_node.types import BlockId, Height, PeerId, PublicKey, TxId

OFFERS_MAX = 32
"""Headers with ids that are here without being judged; the oldest that nobody wants go first."""

OnJudged = Callable[[BlockId, Candidate | None], None]
"""Takes a verdict: the good block, or None for a bad one."""


class _Offer(msgspec.Struct):
    """Gather one block: `bodies` are verified, `lacking` are not here or not verified yet."""

    proposed: Proposed
    source: PeerId | None
    wanted: bool
    bodies: dict[TxId, Parsed]
    lacking: dict[TxId, None]


def _new_offer(proposed: Proposed, source: PeerId | None) -> _Offer:
    return _Offer(proposed, source, wanted=False, bodies={}, lacking=dict.fromkeys(proposed.tx_ids))


class Workshop:
    """Make, gather and judge blocks of the next height."""

    def __init__(
        self,
        outbox: Outbox,
        chain: Chain,
        intake: Intake,
        *,
        fetches: Fetches,
        linked: Callable[[], tuple[PeerId, ...]],
        pinned: Callable[[], Iterable[BlockId]],
        on_judged: OnJudged,
    ) -> None:
        self._out = outbox
        self._chain = chain
        self._intake = intake
        self._fetches = fetches
        self._linked = linked
        self._on_judged = on_judged
        self._offers: dict[BlockId, _Offer] = {}
        self.shelf = Shelf(pinned)
        self._own: Candidate | None = None

    # Questions.

    def proposed(self, block_id: BlockId) -> Proposed | None:
        """Return header and ids of a block, judged or not, to pass a proposal on."""
        candidate = self.shelf.candidate(block_id)
        if candidate is not None:
            return candidate.proposed()
        offer = self._offers.get(block_id)
        return None if offer is None else offer.proposed

    def whole(self, block_id: BlockId) -> Block | None:
        """Return a block that is here with all bodies, the newest final one included."""
        candidate = self.shelf.served(block_id)
        return None if candidate is None else candidate.block

    def bodies_of(self, block_id: BlockId, ids: Sequence[TxId]) -> tuple[bytes, ...]:
        """Return those of the wanted bodies that are here, each once, within a block's bound."""
        offer = self._offers.get(block_id)
        known = dict(offer.bodies) if offer is not None else {}
        candidate = self.shelf.served(block_id)
        if candidate is not None:
            known.update((parsed.id, parsed) for parsed in candidate.txs)
        raws: list[bytes] = []
        room = limits.BLOCK_BYTES_MAX
        for tx_id in dict.fromkeys(ids):
            parsed = known.get(tx_id) or self._intake.find(tx_id)
            if parsed is None:
                continue
            room -= len(parsed.raw)
            if room < 0:
                break
            raws.append(parsed.raw)
        return tuple(raws)

    # What comes in.

    def build(
        self, candidates: Iterable[Parsed], *, proposer: PublicKey, evidence: Sequence[bytes]
    ) -> Candidate:
        """Make the own block for this height, once: later rounds propose the same one again.

        While no round succeeds, a new block each time would fill the log for nothing. An empty one
        is made anew, since by now there may be something to put into it.
        """
        own = self._own
        if own is None or not own.txs:
            own = self._own = self._chain.build(candidates, proposer=proposer, evidence=evidence)
        self._keep(own)
        return own

    def offer(self, proposed: Proposed, source: PeerId) -> BlockId:
        """Remember header and ids until consensus wants the block. Raises: PeerFault."""
        block_id = check_form(proposed)
        if block_id not in self._offers and block_id not in self.shelf:
            self._remember(block_id, _new_offer(proposed, source))
        return block_id

    def want(self, block_id: BlockId) -> None:
        """Judge a block as soon as it is here, and get it here."""
        if block_id in self.shelf:
            self._on_judged(block_id, self.shelf.candidate(block_id))
            return
        offer = self._offers.get(block_id)
        if offer is None:
            self._fetch(block_id, None, source=None)
        elif not offer.wanted:
            self._begin(block_id, offer)

    def supply(self, block: Block, proposed: Proposed, source: PeerId) -> None:
        """Take a whole block that was asked for, and judge it; its form has been checked."""
        block_id = block_id_of(block.header)
        if block_id in self.shelf:
            return
        offer = self._offers.get(block_id)
        if offer is None:
            offer = _new_offer(proposed, source)
            self._remember(block_id, offer)
        if not offer.wanted and not self._begin_judging(block_id, offer):
            return
        self._add_bodies(block_id, offer, block.txs)

    def on_block(self, block: Block, source: PeerId) -> None:
        """Take a whole block from a peer, if it was asked for. Raises: PeerFault."""
        if block_id_of(block.header) in self._fetches:
            proposed = as_proposed(block)
            check_form(proposed)
            self.supply(block, proposed, source)

    def on_bodies(self, block_id: BlockId, raws: Sequence[bytes]) -> None:
        """Take bodies that a peer sent for a block; those that nobody needs are dropped."""
        offer = self._offers.get(block_id)
        if offer is not None and offer.wanted:
            self._add_bodies(block_id, offer, raws)

    def on_verified(self, judged: Judged) -> None:
        """Take note of transactions whose signatures have been judged, however they came."""
        for block_id, offer in tuple(self._offers.items()):
            if not offer.wanted:
                continue
            if any(tx_id in offer.lacking for tx_id in judged.bad):
                self._reject(block_id, offer, "a transaction in it is signed falsely")
                continue
            for parsed in judged.good:
                _fill(offer, parsed)
            self._finish_if_complete(block_id, offer)

    def readmit(self, logged: Iterable[tuple[BlockId, Block]]) -> None:
        """Take back blocks that were logged, but not final, before the restart.

        They were verified before they were logged, and a vote of this node may stand behind one.
        """
        for block_id, block in logged:
            if block.header.height != self._chain.next_height:
                continue
            proposed = as_proposed(block)
            fault = self._chain.fault_of_header(proposed)
            bodies = [parsed for parsed in map(parse, block.txs) if isinstance(parsed, Parsed)]
            judged = fault or self._chain.judge(proposed, bodies)
            if isinstance(judged, Candidate) and judged.id == block_id:
                self.shelf.keep(judged)
            else:
                self._out.note("block.pending_invalid", id=block_id.hex(), fault=str(judged))

    def report_all(self) -> None:
        """Tell consensus of every judged block anew: it has just entered the height."""
        for block_id, candidate in self.shelf.verdicts():
            self._on_judged(block_id, candidate)

    def advance(self, height: Height, final: Candidate | None = None) -> None:
        """Forget what is final now, but for the newest block: others may need it, if it is here."""
        self.shelf.advance(final)
        self._own = None
        self._fetches.clear()
        self._offers = {
            block_id: offer
            for block_id, offer in self._offers.items()
            if offer.proposed.header.height > height
        }

    # From header to verdict.

    def _begin(self, block_id: BlockId, offer: _Offer) -> None:
        if self._begin_judging(block_id, offer):
            self._finish_if_complete(block_id, offer)

    def _begin_judging(self, block_id: BlockId, offer: _Offer) -> bool:
        """Judge the header, and take the bodies that wait in the pool."""
        offer.wanted = True
        fault = self._chain.fault_of_header(offer.proposed)
        if fault:
            self._reject(block_id, offer, fault)
            return False
        offer.bodies |= self._intake.found(offer.lacking)
        offer.lacking = {tx_id: None for tx_id in offer.lacking if tx_id not in offer.bodies}
        return True

    def _add_bodies(self, block_id: BlockId, offer: _Offer, raws: Sequence[bytes]) -> None:
        fresh: dict[TxId, Parsed] = {}
        for raw in raws:
            tx_id = id_of(raw)
            if tx_id not in offer.lacking or tx_id in fresh:
                continue
            if self._intake.is_being_verified(tx_id):
                continue
            parsed = parse(raw, tx_id)
            if isinstance(parsed, Refusal):
                self._reject(block_id, offer, f"a transaction in it is {parsed.code}")
                return
            fresh[tx_id] = parsed
        self._intake.verify_bodies(fresh.values())
        self._finish_if_complete(block_id, offer)

    def _finish_if_complete(self, block_id: BlockId, offer: _Offer) -> None:
        missing = tuple(
            tx_id for tx_id in offer.lacking if not self._intake.is_being_verified(tx_id)
        )
        if missing:
            self._fetch(block_id, missing, source=offer.source)
            return
        self._fetches.done(block_id)
        if offer.lacking:
            return
        txs = [offer.bodies[tx_id] for tx_id in offer.proposed.tx_ids]
        judged = self._chain.judge(offer.proposed, txs)
        if isinstance(judged, str):
            self._reject(block_id, offer, judged)
            return
        del self._offers[block_id]
        self._keep(judged)
        self._on_judged(block_id, judged)

    def _fetch(
        self, block_id: BlockId, missing: tuple[TxId, ...] | None, *, source: PeerId | None
    ) -> None:
        now_ms = self._out.now_ms
        linked = self._linked()
        self._out.extend(
            self._fetches.want(block_id, missing, source=source, linked=linked, now_ms=now_ms)
        )

    def _reject(self, block_id: BlockId, offer: _Offer, fault: str) -> None:
        header = offer.proposed.header
        self._out.note("block.invalid", height=header.height, id=block_id.hex(), fault=fault)
        self._offers.pop(block_id, None)
        self._fetches.done(block_id)
        self.shelf.reject(block_id, fault)
        self._on_judged(block_id, None)

    def _keep(self, candidate: Candidate) -> None:
        """Log a good block: it must be on disk before this node votes for it."""
        if self.shelf.candidate(candidate.id) is None:
            self.shelf.keep(candidate)
            self._out.add(AppendBlock(candidate.id, candidate.block))

    def _remember(self, block_id: BlockId, offer: _Offer) -> None:
        unwanted = [known for known, other in self._offers.items() if not other.wanted]
        if len(self._offers) >= OFFERS_MAX:
            del self._offers[(unwanted or list(self._offers))[0]]
        self._offers[block_id] = offer


def _fill(offer: _Offer, parsed: Parsed) -> None:
    if parsed.id in offer.lacking:
        del offer.lacking[parsed.id]
        offer.bodies[parsed.id] = parsed
