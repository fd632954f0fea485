"""Which of the messages that peers send count?

Cheap questions first: known height, a place in the set, of any use; only then the signature. What
counts is put into the record; everything else is dropped, and blamed on its sender where no honest
node would send it. Do not add what follows from a message: `conditions.py`.
"""

from collections.abc import Iterable, Iterator

from aitbc_node.consensus.electorate import Electorate
from aitbc_node.consensus.finality import FinalVotes
from aitbc_node.consensus.height import HeightRecord
from aitbc_node.consensus.inputs import (
    Accepted,
    ConsensusEffect,
    Equivocation,
    Fault,
    ProposalReceived,
    Step,
    VoteReceived,
)
from aitbc_node.consensus.messages import Proposal, Vote, is_sane_proposal, is_sane_vote
from aitbc_node.consensus.retransmission import question_for_proof
from aitbc_node.consensus.signing import SignGuard
from aitbc_node.crypto import Verifier
from aitbc_node.limits import PEERS_MAX, VALIDATORS_MAX
from aitbc_node.types import Height, PeerId

EARLY_PER_SENDER_MAX = 2 * VALIDATORS_MAX + 2
"""Messages of the next height kept per sender: one round's proposal and votes, and a spare."""

Received = ProposalReceived | VoteReceived


class Reception:
    """Judge messages, and keep those of the next height until it begins."""

    def __init__(self, *, chain_id: str, verify: Verifier, guard: SignGuard) -> None:
        self._chain_id = chain_id
        self._verify = verify
        self._guard = guard
        self._early: dict[PeerId | None, list[Received]] = {}

    def take_early(self) -> list[Received]:
        """Hand over what came for the next height before it began here."""
        early, self._early = self._early, {}
        return [event for events in early.values() for event in events]

    def vote(
        self, event: VoteReceived, record: HeightRecord, final: FinalVotes | None
    ) -> Iterable[ConsensusEffect]:
        """Take a vote on the current height, or a late one on the height before."""
        vote, sender = event.vote, event.sender
        if final is not None and vote.height == final.height:
            return self._late_vote(final, vote, sender)
        if vote.height != record.state.height:
            self._keep_early(event, vote.height, record)
            return ()
        if not is_sane_vote(vote, validator_count=len(record.electorate.keys)):
            return _blame(sender, "vote.malformed")
        twin: tuple[ConsensusEffect, ...] = ()
        if vote.validator == record.own_index:
            # Before all that counts: the vote may be for the same block, only at another time.
            foreign = self._guard.is_foreign(vote, known=record.book.like(vote))
            if foreign and not self._is_signed(vote, record.electorate):
                return _blame(sender, "vote.signature")
            if foreign:
                twin = (self._guard.stop_for_twin(vote),)
        standing = record.standing(vote)
        if standing in {"known", "useless"}:
            return twin
        if not self._is_signed(vote, record.electorate):
            return (*twin, *_blame(sender, "vote.signature"))
        found = [*twin]
        if standing == "second":
            found += _report(record, vote.validator, record.book.first_of(vote), vote)
        record.book.add(vote)
        found.append(Accepted(vote, sender))
        return found

    def _late_vote(
        self, final: FinalVotes, vote: Vote, sender: PeerId | None
    ) -> Iterator[ConsensusEffect]:
        if not is_sane_vote(vote, validator_count=len(final.electorate.keys)):
            yield from _blame(sender, "vote.malformed")
            return
        first = final.contradicted_by(vote)
        is_own = final.electorate.keys[vote.validator] == self._guard.key
        is_foreign = is_own and self._guard.is_foreign(vote, known=final.like(vote))
        if first is None and not final.lacks(vote) and not is_foreign:
            return
        if not self._is_signed(vote, final.electorate):
            yield from _blame(sender, "vote.signature")
            return
        if first is not None:
            yield from _report(final, vote.validator, first, vote)
        if is_foreign:
            yield self._guard.stop_for_twin(vote)
        if final.lacks(vote):
            final.add(vote)
            yield Accepted(vote, sender)

    def _is_signed(self, vote: Vote, electorate: Electorate) -> bool:
        key = electorate.keys[vote.validator]
        return self._verify(key, vote.sign_bytes(self._chain_id), vote.signature)

    def proposal(self, event: ProposalReceived, record: HeightRecord) -> Iterator[ConsensusEffect]:
        """Take a proposal for this round or the next."""
        proposal, sender = event.proposal, event.sender
        if proposal.height != record.state.height:
            self._keep_early(event, proposal.height, record)
            return
        if not is_sane_proposal(proposal):
            yield from _blame(sender, "proposal.malformed")
            return
        # Turns beyond the next round are not worked out on a stranger's word.
        if record.state.step is Step.IDLE or proposal.round - record.state.round not in {0, 1}:
            return
        first = record.proposals.get(proposal.round)
        proposer = record.electorate.proposer(proposal.round)
        sign_bytes = proposal.sign_bytes(self._chain_id)
        is_own = proposer == record.own_index
        is_foreign = is_own and self._guard.is_foreign(proposal, known=first)
        is_news = first is None or (
            first.block_id != proposal.block_id and proposer not in record.equivocators
        )
        if not is_news and not is_foreign:
            return
        if not self._verify(record.electorate.keys[proposer], sign_bytes, proposal.signature):
            yield from _blame(sender, "proposal.signature")
            return
        if is_foreign:
            yield self._guard.stop_for_twin(proposal)
        if first is not None:
            yield from _report(record, proposer, first, proposal)
            return
        record.accept(proposal, proposer)
        yield Accepted(proposal, sender)
        yield from question_for_proof(record, sender)

    def _keep_early(self, event: Received, height: Height, record: HeightRecord) -> None:
        """Keep what a faster peer says about the next height; it cannot be judged yet."""
        if height != record.state.height + 1 or len(self._early) > PEERS_MAX:
            return
        waiting = self._early.setdefault(event.sender, [])
        if len(waiting) < EARLY_PER_SENDER_MAX:
            waiting.append(event)


def _report(
    place: HeightRecord | FinalVotes,
    validator: int,
    first: Proposal | Vote,
    second: Proposal | Vote,
) -> Iterator[Equivocation]:
    """Report an equivocator once a height: one pair proves it, more are only work.

    Two proposals of one block are no offence that the ledger knows, so they hide none that comes.
    """
    if first.block_id != second.block_id and validator not in place.equivocators:
        place.equivocators.add(validator)
        yield Equivocation(first, second, place.electorate.keys[validator])


def _blame(sender: PeerId | None, what: str) -> tuple[Fault, ...]:
    return () if sender is None else (Fault(sender, what),)
