"""What does a peer miss of a height, going by its summary, and what do we say that we hold?

The paper assumes that a message once sent arrives everywhere in the end; links lose messages, so
somebody has to send them again. Do not add timing here: `replica.py` says when. Source: rules 2.7.
"""

from collections.abc import Iterable, Iterator, Mapping

from aitbc_node.blocks import PRECOMMIT, PREVOTE
from aitbc_node.consensus.height import HeightRecord
from aitbc_node.consensus.messages import Proposal, RoundSummary, Vote
from aitbc_node.types import Round


def summarise(record: HeightRecord) -> RoundSummary:
    """Say what is here.

    In the round that justifies a re-proposal only the prevotes for its value are named: of an
    equivocator the other vote may be here, and the one that is needed must not seem present.
    """
    state, book = record.state, record.book
    current = record.proposals.get(state.round)
    justifying = {} if current is None else {current.valid_round: current.block_id}
    return RoundSummary(
        height=state.height,
        round=state.round,
        step=int(state.step),
        proposals=tuple(sorted(record.proposals)),
        prevotes=tuple(
            (round_, book.bitmap(PREVOTE, round_, justifying.get(round_))) for round_ in book.rounds
        ),
        precommits=tuple((round_, book.bitmap(PRECOMMIT, round_)) for round_ in book.rounds),
        locked_round=state.locked_round,
        valid_round=state.valid_round,
    )


def missing(
    summary: RoundSummary, votes: Iterable[Vote], proposals: Mapping[Round, Proposal]
) -> Iterator[Proposal | Vote]:
    """Choose what the peer can use: rounds that it keeps, and votes of rounds ahead of it."""
    proposal = proposals.get(summary.round)
    if proposal is not None and summary.round not in summary.proposals:
        yield proposal
    held = {PREVOTE: dict(summary.prevotes), PRECOMMIT: dict(summary.precommits)}
    for vote in votes:
        bitmap = held[vote.kind].get(vote.round)
        if bitmap is None:
            wanted = vote.round > summary.round
        else:
            wanted = not _has_bit(bitmap, vote.validator)
        if wanted:
            yield vote


def _has_bit(bitmap: bytes, index: int) -> bool:
    return index // 8 < len(bitmap) and bool(bitmap[index // 8] >> index % 8 & 1)
