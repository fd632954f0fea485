"""Which precommits made the newest block final, and which came late but still count?

The next block carries all of them, so that a slow validator's vote is seen in the chain. Do not
add rounds or steps here. Source: rules 2.6.
"""

from collections.abc import Iterator

from aitbc_node.blocks import PRECOMMIT, Certificate, CommitVote
from aitbc_node.consensus.height import HeightRecord
from aitbc_node.consensus.messages import Vote
from aitbc_node.types import BlockId, Round


class FinalVotes:
    """Collect the precommits for one decided block."""

    def __init__(self, record: HeightRecord, *, round_: Round, block_id: BlockId) -> None:
        self.electorate = record.electorate
        self.height = record.state.height
        self.round = round_
        self.block_id = block_id
        self.equivocators = record.equivocators
        """Whose offence at this height was reported."""
        self._round = record.book.round(round_)
        precommits = self._round.precommits.votes()
        self._votes = {vote.validator: vote for vote in precommits if vote.block_id == block_id}

    def lacks(self, vote: Vote) -> bool:
        """Tell whether this unverified vote would add to the certificate."""
        return (
            vote.kind == PRECOMMIT
            and vote.round == self.round
            and vote.block_id == self.block_id
            and vote.validator not in self._votes
        )

    def contradicted_by(self, vote: Vote) -> Vote | None:
        """Return what an unverified vote of the deciding round would contradict, if it is news."""
        first = self.like(vote)
        if first is None or vote.validator in self.equivocators:
            return None
        known = self._round.of(vote.kind).variants(vote.validator)
        return None if vote.block_id in {first.block_id, *known} else first

    def like(self, vote: Vote) -> Vote | None:
        """Return a vote of the same validator in the same place, if it is of the deciding round."""
        if vote.round != self.round:
            return None
        known = self._round.of(vote.kind).variants(vote.validator)
        late = self._votes.get(vote.validator) if vote.kind == PRECOMMIT else None
        return late or next(iter(known.values()), None)

    def add(self, vote: Vote) -> None:
        """Add a verified vote that was lacking."""
        self._votes[vote.validator] = vote

    def votes(self) -> Iterator[Vote]:
        """Go through the votes in the order of their validators."""
        return (self._votes[index] for index in sorted(self._votes))

    def certificate(self) -> Certificate:
        """Return the proof of finality with everything that is here now."""
        return Certificate(
            self.height,
            self.round,
            self.block_id,
            tuple(
                CommitVote(vote.validator, vote.time_ms, vote.signature) for vote in self.votes()
            ),
        )
