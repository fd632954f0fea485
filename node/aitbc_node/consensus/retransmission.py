"""What does a peer miss of a height, going by its summary, and what do we say that we hold?

The paper assumes that a message once sent arrives everywhere in the end; links lose messages, so
somebody has to send them again. Do not add judgement of messages here. Source: rules 2.7.
"""

from collections.abc import Iterable, Iterator, Mapping

from aitbc_node.blocks import PRECOMMIT, PREVOTE
from aitbc_node.consensus.finality import FinalVotes
from aitbc_node.consensus.height import HeightRecord
from aitbc_node.consensus.inputs import Retransmit, Step, Summarise, SummaryReceived
from aitbc_node.consensus.messages import Proposal, RoundSummary, Vote
from aitbc_node.limits import PEERS_MAX, RETRANSMIT_MS
from aitbc_node.types import PeerId, Round

ANSWER_INTERVAL_MS = RETRANSMIT_MS // 4
"""A peer's summaries are answered at most this often: an answer is much larger than a question."""


class Retransmission:
    """Ask and answer, neither too often."""

    def __init__(self) -> None:
        self._asked_ms = 0
        self._answered_ms: dict[PeerId, int] = {}

    def begin_height(self, now_ms: int) -> None:
        """Start anew."""
        self._asked_ms = now_ms
        self._answered_ms.clear()

    def question(
        self, record: HeightRecord, quiet_since_ms: int, now_ms: int
    ) -> Iterator[Summarise]:
        """Say to all what is here, and ask again for values, when nothing has moved for a while."""
        quiet_ms = now_ms - max(quiet_since_ms, self._asked_ms)
        if record.state.step is Step.IDLE or quiet_ms < RETRANSMIT_MS:
            return
        self._asked_ms = now_ms
        record.asked.clear()
        yield Summarise(None, summarise(record))

    def answer(
        self, event: SummaryReceived, record: HeightRecord, final: FinalVotes | None, now_ms: int
    ) -> Iterator[Retransmit]:
        """Send a peer what it misses of this height, or of the one that was decided last."""
        peer, summary = event.sender, event.summary
        last_ms = self._answered_ms.get(peer)
        if last_ms is not None and now_ms - last_ms < ANSWER_INTERVAL_MS:
            return
        if final is not None and summary.height == final.height:
            messages = tuple(missing(summary, final.votes(), {}))
        elif summary.height == record.state.height:
            messages = tuple(missing(summary, record.book.votes(), record.proposals))
        else:
            return
        if messages:
            if len(self._answered_ms) >= 2 * PEERS_MAX:
                self._answered_ms.clear()
            self._answered_ms[peer] = now_ms
            yield Retransmit(peer, messages)


def question_for_proof(record: HeightRecord, peer: PeerId | None) -> Iterator[Summarise]:
    """Ask at once for the prevotes that a re-proposal names: its time-out is running."""
    if record.lacks_proof():
        yield Summarise(peer, summarise(record))


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
