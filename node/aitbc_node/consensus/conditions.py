"""Which condition of the paper holds now, and has not had its effect yet?

The paper's rules are written "upon ...": here they are looked for, the ones that end something
first. A pure question about a `HeightRecord`; do not change anything here.
"""

from aitbc_node.blocks import NO_BLOCK, PRECOMMIT, PREVOTE
from aitbc_node.consensus import algorithm, inputs
from aitbc_node.consensus.algorithm import Condition
from aitbc_node.consensus.height import HeightRecord
from aitbc_node.consensus.messages import NO_ROUND


def enabled(record: HeightRecord) -> Condition | None:
    """Return one condition whose rule would do something, or None when all is settled."""
    state, book = record.state, record.book
    if state.step is inputs.IDLE:
        return None
    condition = _decision(record) if book.won else None
    if condition is None and book.highest > state.round:
        condition = _skip(record)
    if condition is None:
        if state.step is inputs.PROPOSE:
            condition = _proposal(record)
        elif state.step is inputs.PREVOTE:
            condition = _prevotes(record)
        else:
            condition = _late_prevotes(record)
    return condition or _precommits(record) or _earlier_prevotes(record)


def _decision(record: HeightRecord) -> Condition | None:
    """Find line 49, in whatever round its precommits are.

    The proposal itself is not asked for, here and in line 36: a value that is here, checked and
    has the votes is as good, and the first proposal of an equivocator must not hide its second.
    """
    for round_, kind, winner in record.book.won:
        if kind == PRECOMMIT and record.is_valid(winner):
            return algorithm.PrecommitsForValue(round_, winner)
    return None


def _skip(record: HeightRecord) -> Condition | None:
    round_ = record.book.round_of_others()
    if round_ <= record.state.round:
        return None
    return algorithm.OthersAhead(round_, record.proposes_in(round_))


def _proposal(record: HeightRecord) -> Condition | None:
    """Find lines 22 and 28."""
    proposal = record.proposals.get(record.state.round)
    checked = None if proposal is None else record.checked.get(proposal.block_id)
    if proposal is None or checked is None:
        return None
    if proposal.valid_round == NO_ROUND:
        return algorithm.FreshProposal(proposal.block_id, checked.valid)
    if not record.has_proof_of(proposal):
        return None
    return algorithm.Reproposal(proposal.block_id, checked.valid, proposal.valid_round)


def _prevotes(record: HeightRecord) -> Condition | None:
    """Find lines 36, 44 and 34, in the step that waits for them."""
    winner = record.book.round(record.state.round).prevotes.winner
    if winner is not None and record.is_valid(winner):
        return algorithm.PrevotesForValue(winner)
    if winner == NO_BLOCK:
        return algorithm.PrevotesForNil()
    if algorithm.PrevotesAny not in record.done and record.book.has_quorum_past(
        PREVOTE, record.state.round
    ):
        return algorithm.PrevotesAny()
    return None


def _late_prevotes(record: HeightRecord) -> Condition | None:
    """Find line 36 after the own precommit: too late to lock, not to know a valid value."""
    winner = record.book.round(record.state.round).prevotes.winner
    if (
        winner is not None
        and record.state.valid_round != record.state.round
        and record.is_valid(winner)
    ):
        return algorithm.PrevotesForValue(winner)
    return None


def _precommits(record: HeightRecord) -> Condition | None:
    """Find line 47."""
    if algorithm.PrecommitsAny not in record.done and record.book.has_quorum_past(
        PRECOMMIT, record.state.round
    ):
        return algorithm.PrecommitsAny()
    return None


def _earlier_prevotes(record: HeightRecord) -> Condition | None:
    """Find line 36 of a round that is over, because its last prevotes came too late for it."""
    state = record.state
    for round_, kind, winner in record.book.won:
        is_news = kind == PREVOTE and state.valid_round < round_ < state.round
        if is_news and record.is_valid(winner):
            return algorithm.EarlierPrevotes(round_, winner)
    return None
