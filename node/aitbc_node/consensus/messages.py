"""What validators say to each other about one height.

Three records travel: a proposal, a vote, and a summary of what a node already holds, by which a
peer learns what to send again. Do not add judgement here: `replica.py` decides what counts.
"""

from typing import Annotated

from msgspec import Meta

from aitbc_node.blocks import PRECOMMIT, PREVOTE, proposal_sign_bytes, vote_sign_bytes
from aitbc_node.canonical import Record
from aitbc_node.limits import INT_MAX, ROUND_MAX, VALIDATORS_MAX
from aitbc_node.types import BlockId, Height, Round, Signature

NO_ROUND = Round(-1)
"""Stands for *no round*: nothing locked, nothing valid, a value proposed for the first time."""

Proof = tuple[tuple[int, Signature], ...]
"""The prevotes that made a value valid: validators in the set, and their signatures."""

ID_BYTES = 32
SUMMARY_ROWS_MAX = 8
BITMAP_BYTES_MAX = (VALIDATORS_MAX + 7) // 8


class Proposal(Record, frozen=True):
    """Offer one value for a round; `valid_round` is -1 or the round that saw it accepted."""

    height: Height
    round: Round
    valid_round: Round
    block_id: BlockId
    signature: Signature

    def sign_bytes(self, chain_id: str) -> bytes:
        """Return what the proposer signed."""
        return proposal_sign_bytes(
            chain_id,
            height=self.height,
            round_=self.round,
            valid_round=self.valid_round,
            block_id=self.block_id,
        )


class Vote(Record, frozen=True):
    """Be a prevote or a precommit for a value or for nil.

    Shape: `validator` is the 0-based place in the height's validator set; `time_ms` is 0 in a
    prevote. Source: rules 2.4.
    """

    kind: int
    height: Height
    round: Round
    block_id: BlockId
    time_ms: int
    validator: int
    signature: Signature

    def sign_bytes(self, chain_id: str) -> bytes:
        """Return what the voter signed."""
        return vote_sign_bytes(
            chain_id,
            self.kind,
            height=self.height,
            round_=self.round,
            block_id=self.block_id,
            time_ms=self.time_ms,
        )


Row = tuple[Round, Annotated[bytes, Meta(max_length=BITMAP_BYTES_MAX)]]
Rows = Annotated[tuple[Row, ...], Meta(max_length=SUMMARY_ROWS_MAX)]


class RoundSummary(Record, frozen=True):
    """Tell a peer what this node holds of a height, so that it can send what is missing.

    Shape: a row is a round and a bitmap; bit `i % 8` of byte `i // 8` is validator `i`. The rounds
    in rows are those of which votes are kept. `proposals` are the rounds whose proposal is here.
    Source: rules 2.7.
    """

    height: Height
    round: Round
    step: int
    proposals: Annotated[tuple[Round, ...], Meta(max_length=SUMMARY_ROWS_MAX)]
    prevotes: Rows
    precommits: Rows
    locked_round: Round
    valid_round: Round


ConsensusMessage = Proposal | Vote | RoundSummary


def is_sane_proposal(proposal: Proposal) -> bool:
    """Tell whether the fields make sense at all; costs no signature check."""
    return (
        0 <= proposal.round <= ROUND_MAX
        and NO_ROUND <= proposal.valid_round < proposal.round
        and len(proposal.block_id) == ID_BYTES
    )


def is_sane_vote(vote: Vote, *, validator_count: int) -> bool:
    """Tell whether the fields make sense at all; costs no signature check."""
    kind, time_ms = vote.kind, vote.time_ms
    return (
        0 <= vote.validator < validator_count
        and 0 <= vote.round <= ROUND_MAX
        and len(vote.block_id) in {0, ID_BYTES}
        and (time_ms == 0 if kind == PREVOTE else kind == PRECOMMIT and 0 <= time_ms <= INT_MAX)
    )
