"""Whatever validators sign and peers send, a node neither raises nor breaks its own word.

Some of these mixes are beyond one third of liars: then agreement is lost, but no honest node
crashes, hangs, fills its memory, or signs twice.
"""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitbc_node.blocks import NO_BLOCK, PRECOMMIT, PREVOTE
from aitbc_node.consensus.inputs import (
    CastVote,
    ConsensusEvent,
    Decided,
    PeerLinked,
    ProposalReceived,
    Propose,
    Step,
    SummaryReceived,
    Tick,
    TimeoutFired,
    ValueBuilt,
    ValueChecked,
    VoteReceived,
)
from aitbc_node.consensus.messages import Proposal, RoundSummary, Vote
from aitbc_node.events import SaveSignState
from aitbc_node.limits import INT_MAX, ROUND_MAX
from aitbc_node.types import BlockId, Height, PeerId, Round, Signature
from aitbc_sim.testing import a_core, a_proposal, a_value, a_vote

pytestmark = pytest.mark.unit

OWN = 3
PEER = PeerId(b"p" * 20)
VALUES = [a_value("v"), a_value("w"), a_value("x")]

ids = st.sampled_from([*VALUES, NO_BLOCK, BlockId(b"short")])
values = st.sampled_from(VALUES)
heights = st.sampled_from([0, 1, 1, 1, 1, 2, 3, INT_MAX])
rounds = st.sampled_from([-1, 0, 0, 0, 1, 1, 2, 3, 50, ROUND_MAX, INT_MAX])
kinds = st.sampled_from([0, PREVOTE, PRECOMMIT, 9])
signers = st.sampled_from([0, 1, 2])

signed_votes = st.builds(
    lambda kind, value, by, round_, height, time_ms: a_vote(
        kind, value, by=by, round_=round_, height=height, time_ms=time_ms
    ),
    kinds,
    ids,
    signers,
    rounds,
    heights,
    st.sampled_from([0, 7, INT_MAX]),
)
loose_votes = st.builds(
    Vote,
    kinds,
    heights.map(Height),
    rounds.map(Round),
    ids,
    st.integers(-1, 9),
    st.integers(-2, 120),
    st.binary(max_size=70).map(Signature),
)
signed_proposals = st.builds(
    lambda value, by, round_, valid_round, height: a_proposal(
        value, by=by, round_=round_, valid_round=valid_round, height=height
    ),
    ids,
    signers,
    rounds,
    rounds,
    heights,
)
rows = st.lists(st.tuples(rounds.map(Round), st.binary(max_size=13)), max_size=8).map(tuple)
summaries = st.builds(
    RoundSummary,
    heights.map(Height),
    rounds.map(Round),
    st.integers(-3, 9),
    st.lists(rounds.map(Round), max_size=8).map(tuple),
    rows,
    rows,
    rounds.map(Round),
    rounds.map(Round),
)
timeouts = st.builds(
    TimeoutFired, st.sampled_from(list(Step)), heights.map(Height), st.sampled_from([0, 1, 2, 50])
)
events: st.SearchStrategy[ConsensusEvent] = st.one_of(
    st.builds(VoteReceived, signed_votes, st.just(PEER)),
    st.builds(VoteReceived, signed_votes, st.just(PEER)),
    st.builds(VoteReceived, loose_votes, st.sampled_from([PEER, None])),
    st.builds(ProposalReceived, signed_proposals, st.just(PEER)),
    st.builds(SummaryReceived, st.just(PEER), summaries),
    st.builds(ValueChecked, values, st.booleans(), st.integers(0, 9)),
    st.builds(ValueBuilt, heights.map(Height), rounds.map(Round), values, st.integers(0, 9)),
    timeouts,
    st.just(Tick()),
    st.just(PeerLinked(PEER)),
)


def in_chorus(kind: int, value: BlockId, round_: int, *, by: list[int]) -> list[ConsensusEvent]:
    """Return the same vote by several validators, its value judged valid."""
    votes = [VoteReceived(a_vote(kind, value, by=who, round_=round_), PEER) for who in by]
    return [ValueChecked(value, valid=True, time_ms=1), *votes]


choruses = st.builds(
    in_chorus,
    st.sampled_from([PREVOTE, PRECOMMIT]),
    values,
    st.sampled_from([0, 0, 1, 2]),
    by=st.lists(signers, min_size=2, max_size=3, unique=True),
)
courses = st.lists(st.one_of(events.map(lambda event: [event]), choruses), max_size=40).map(
    lambda parts: [event for part in parts for event in part]
)


@given(courses)
@settings(max_examples=300, deadline=None)
def test_no_message_makes_a_node_raise_or_sign_twice(given_events: list[ConsensusEvent]) -> None:
    """Each place is signed once, each signature stands behind its barrier, memory stays bounded."""
    bench = a_core([1, 1, 1, 1], own=OWN)
    signed: dict[tuple[int, int, int], set[BlockId]] = defaultdict(set)
    saved: set[Signature] = set()
    decided = 0

    for event in given_events:
        bench.now_ms += 300
        for effect in bench.feed(event):
            match effect:
                case SaveSignState(state=state):
                    saved.add(state.signature)
                case CastVote(vote=message) | Propose(proposal=message):
                    kind = message.kind if isinstance(message, Vote) else 0
                    signed[message.height, message.round, kind].add(message.block_id)
                    assert message.signature in saved
                case Decided():
                    decided += 1
                case _:
                    pass

    assert all(len(named) == 1 for named in signed.values())
    assert decided <= 1
    assert len(list(bench.core._record.book.votes())) <= 4 * 2 * 5 * 5
    assert len(bench.core._record.proposals) <= 2


@given(st.one_of(signed_votes, loose_votes, signed_proposals))
@settings(max_examples=300, deadline=None)
def test_the_same_message_twice_is_like_once(message: Vote | Proposal) -> None:
    """A repeated message changes nothing that can be seen."""
    bench = a_core([1, 1, 1, 1], own=OWN)
    event: ConsensusEvent = (
        VoteReceived(message, None) if isinstance(message, Vote) else ProposalReceived(message)
    )

    bench.feed(event)
    once = bench.core.summary(), bench.core.state
    bench.feed(event)

    assert (bench.core.summary(), bench.core.state) == once
