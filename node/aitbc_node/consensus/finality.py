"""Which precommits made the newest block final, and which came late but still count?

The next block carries all of them, so that a slow validator's vote is seen in the chain. Do not
add rounds or steps here. Source: rules 2.6.
"""

from collections.abc import Iterable, Iterator

from aitbc_node.blocks import PRECOMMIT, Certificate, CommitVote
from aitbc_node.consensus.electorate import Electorate
from aitbc_node.consensus.messages import Vote
from aitbc_node.types import BlockId, Height, Round


class FinalVotes:
    """Collect the precommits for one decided block."""

    def __init__(
        self,
        electorate: Electorate,
        *,
        height: Height,
        round_: Round,
        block_id: BlockId,
        votes: Iterable[Vote],
    ) -> None:
        self.electorate = electorate
        self.height = height
        self.round = round_
        self.block_id = block_id
        self._votes = {vote.validator: vote for vote in votes if vote.block_id == block_id}

    def lacks(self, vote: Vote) -> bool:
        """Tell whether this unverified vote would add to the certificate."""
        return (
            vote.kind == PRECOMMIT
            and vote.round == self.round
            and vote.block_id == self.block_id
            and vote.validator not in self._votes
        )

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
