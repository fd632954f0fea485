"""What does this node say itself?

Makes the own proposals and votes, has them signed, and counts them as if received, once the
barrier that stores them is among the effects. Do not add when to speak: `algorithm.py` orders it.
"""

from collections.abc import Generator, Iterator

from aitbc_node.blocks import PREVOTE
from aitbc_node.consensus.algorithm import Offer
from aitbc_node.consensus.height import HeightRecord
from aitbc_node.consensus.inputs import BuildValue, CastVote, ConsensusEffect, Propose, Step
from aitbc_node.consensus.messages import Proposal, Vote
from aitbc_node.consensus.signing import NO_SIGNATURE, SignGuard
from aitbc_node.events import Note
from aitbc_node.limits import INT_MAX
from aitbc_node.types import BlockId


class Voice:
    """Speak with the guard's key."""

    def __init__(self, guard: SignGuard) -> None:
        self._guard = guard

    def offer(self, record: HeightRecord, offer: Offer) -> Iterator[ConsensusEffect]:
        """Propose a value, or wait until it is here: after a restart it may be under way."""
        state = record.state
        checked = record.checked.get(offer.block_id)
        record.offer = offer if checked is None else None
        if checked is None or state.step is not Step.PROPOSE:
            return
        if not checked.valid:
            # Valid before a restart, not any more: another release judges now. The lock still
            # guards the votes, so a new value may be offered.
            yield Note("proposal.invalid_now", (("round", state.round),))
            yield BuildValue(state.height, state.round)
            return
        unsigned = Proposal(
            height=state.height,
            round=state.round,
            valid_round=offer.valid_round,
            block_id=offer.block_id,
            signature=NO_SIGNATURE,
        )
        signed = yield from self._sign(record, unsigned)
        if isinstance(signed, Proposal) and record.own_index is not None:
            yield from self.propose(record, signed, record.own_index)

    def propose(
        self, record: HeightRecord, proposal: Proposal, own_index: int
    ) -> Iterator[ConsensusEffect]:
        """Send a signed proposal, for the first time or again."""
        yield Propose(proposal)
        record.accept(proposal, own_index)

    def vote(
        self, record: HeightRecord, kind: int, value: BlockId, *, wall_ms: int
    ) -> Iterator[ConsensusEffect]:
        """Vote for a value or nil, if this node may."""
        if record.own_index is None:
            return
        unsigned = Vote(
            kind=kind,
            height=record.state.height,
            round=record.state.round,
            block_id=value,
            time_ms=0 if kind == PREVOTE else _time_ms(record, value, wall_ms),
            validator=record.own_index,
            signature=NO_SIGNATURE,
        )
        signed = yield from self._sign(record, unsigned)
        if isinstance(signed, Vote):
            yield from self.cast(record, signed)

    def cast(self, record: HeightRecord, vote: Vote) -> Iterator[ConsensusEffect]:
        """Send a signed vote, for the first time or again."""
        yield CastVote(vote)
        if record.book.standing(vote, favoured=frozenset((vote.block_id,))) != "known":
            record.book.add(vote)

    def _sign(
        self, record: HeightRecord, unsigned: Proposal | Vote
    ) -> Generator[ConsensusEffect, None, Proposal | Vote | None]:
        outcome = self._guard.sign(unsigned, lock=record.state, proof=record.proof)
        if isinstance(outcome, Note):
            yield outcome
            return None
        yield from outcome.effects
        return outcome.message


def _time_ms(record: HeightRecord, value: BlockId, wall_ms: int) -> int:
    """Return the wall time, but later than the block voted for. Source: rules 2.4."""
    checked = record.checked.get(value)
    block_time_ms = record.last_time_ms if checked is None else checked.time_ms
    return min(max(wall_ms, block_time_ms + 1), INT_MAX)
