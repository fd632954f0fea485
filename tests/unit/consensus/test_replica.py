"""One core on a bench: which messages count, what it asks for, what it says and in which order."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from aitbc_node.blocks import NO_BLOCK, PRECOMMIT, PREVOTE
from aitbc_node.consensus.inputs import (
    Accepted,
    BuildValue,
    CastVote,
    ConsensusEffect,
    Decided,
    Equivocation,
    Fault,
    PeerLinked,
    ProposalReceived,
    Propose,
    Retransmit,
    ScheduleTimeout,
    Step,
    Summarise,
    SummaryReceived,
    Tick,
    TimeoutFired,
    ValueBuilt,
    ValueChecked,
    VoteReceived,
    WantValue,
)
from aitbc_node.consensus.messages import NO_ROUND, Proposal, RoundSummary, Vote
from aitbc_node.consensus.timeouts import Timeouts
from aitbc_node.events import SaveSignState
from aitbc_node.types import BlockId, Height, PeerId, PublicKey, Round, Signature
from aitbc_sim.testing import Bench, a_core, a_key, a_proposal, a_value, a_vote, fake_verify

pytestmark = pytest.mark.unit

V = a_value("v")
W = a_value("w")
PEER = PeerId(b"p" * 20)
FOUR = (1, 1, 1, 1)  # the proposers of rounds 0, 1, 2 ... are 0, 1, 2 ...


def cast(effects: Sequence[ConsensusEffect]) -> list[tuple[int, BlockId]]:
    """Return kind and id of the votes among the effects."""
    return [(e.vote.kind, e.vote.block_id) for e in effects if isinstance(e, CastVote)]


def feed_votes(bench: Bench, *votes: Vote) -> list[ConsensusEffect]:
    """Hand in votes, one by one."""
    return [effect for vote in votes for effect in bench.feed(VoteReceived(vote, PEER))]


def a_locked_core() -> Bench:
    """Return validator 3, locked on V since round 0, now in round 1."""
    bench = a_core(FOUR, own=3)
    bench.feed(ValueChecked(V, valid=True, time_ms=1))
    bench.feed(ProposalReceived(a_proposal(V, by=0)))
    feed_votes(bench, a_vote(PREVOTE, V, by=0), a_vote(PREVOTE, V, by=1))
    assert bench.core.state.locked_id == V
    bench.feed(TimeoutFired(Step.PRECOMMIT, Height(1), Round(0)))
    assert bench.core.state.round == 1
    return bench


def test_the_proposer_builds_signs_and_votes_in_order() -> None:
    """Each own message leaves behind the barrier that stores it, and is then counted."""
    bench = a_core(FOUR, own=0, height=None)

    begun = bench.enter()
    effects = bench.feed(ValueBuilt(Height(1), Round(0), V, 500))

    assert BuildValue(Height(1), Round(0)) in begun
    kinds = [type(effect) for effect in effects]
    assert kinds == [SaveSignState, Propose, SaveSignState, CastVote]
    assert cast(effects) == [(PREVOTE, V)]


def test_one_validator_alone_decides_in_one_step() -> None:
    """With n = 1 the same code proposes, votes and decides by itself."""
    bench = a_core((5,), own=0)

    effects = bench.feed(ValueBuilt(Height(1), Round(0), V, 500))

    (decided,) = (effect for effect in effects if isinstance(effect, Decided))
    assert decided.block_id == V
    assert [vote.time_ms for vote in decided.certificate.votes] == [1_000]


def test_every_vote_is_saved_before_it_is_sent() -> None:
    """Directly before each vote stands the sign state that holds its very signature and lock."""
    bench = a_core(FOUR, own=3)
    bench.feed(ValueChecked(V, valid=True, time_ms=1))

    effects = bench.feed(ProposalReceived(a_proposal(V, by=0)))
    effects += feed_votes(bench, a_vote(PREVOTE, V, by=0), a_vote(PREVOTE, V, by=1))

    places = [index for index, effect in enumerate(effects) if isinstance(effect, CastVote)]
    assert len(places) == 2
    for place in places:
        saved, sent = effects[place - 1], effects[place]
        assert isinstance(saved, SaveSignState)
        assert isinstance(sent, CastVote)
        assert saved.state.signature == sent.vote.signature
    assert saved.state.locked_id == V
    assert saved.state.valid_round == 0
    assert len(saved.state.prevotes) == 3


def test_a_proposal_is_prevoted_once_its_value_is_checked() -> None:
    """The value is asked for, and nothing is voted before it is here and judged."""
    bench = a_core(FOUR, own=3)

    first = bench.feed(ProposalReceived(a_proposal(V, by=0), PEER))
    then = bench.feed(ValueChecked(V, valid=True, time_ms=1))

    assert WantValue(V) in first
    assert cast(first) == []
    assert cast(then) == [(PREVOTE, V)]


def test_an_invalid_value_gets_a_nil_prevote() -> None:
    """A value that this node judged invalid, say by a wrong state root, is not voted for."""
    bench = a_core(FOUR, own=3)
    bench.feed(ProposalReceived(a_proposal(V, by=0)))

    assert cast(bench.feed(ValueChecked(V, valid=False, time_ms=1))) == [(PREVOTE, NO_BLOCK)]


def test_what_an_earlier_round_made_valid_is_proposed_again() -> None:
    """Its prevotes came when the round was over here, as behind a split; others are locked on it.

    What is proposed is stored with the prevotes that justify it.
    """
    bench = a_core(FOUR, own=2)
    bench.feed(ValueChecked(V, valid=True, time_ms=1))
    bench.feed(ProposalReceived(a_proposal(V, by=0)))
    feed_votes(bench, a_vote(PREVOTE, NO_BLOCK, by=3, round_=1), a_vote(PREVOTE, V, by=1, round_=1))
    assert bench.core.state.round == 1

    feed_votes(bench, a_vote(PREVOTE, V, by=0), a_vote(PREVOTE, V, by=1))
    assert (bench.core.state.valid_round, bench.core.state.valid_id) == (0, V)
    assert bench.core.state.locked_id == NO_BLOCK
    begun = feed_votes(bench, *(a_vote(PREVOTE, NO_BLOCK, by=by, round_=2) for by in (0, 1)))

    (offer,) = (effect for effect in begun if isinstance(effect, Propose))
    assert (offer.proposal.round, offer.proposal.block_id) == (2, V)
    assert offer.proposal.valid_round == 0
    saved = next(effect for effect in begun if isinstance(effect, SaveSignState))
    assert (saved.state.valid_round, len(saved.state.prevotes)) == (0, 3)


def test_what_a_later_round_made_valid_is_not_forgotten_for_an_earlier_one() -> None:
    """The newer one goes first, whichever is heard of first."""
    bench = a_core(FOUR, own=3)
    for value in (V, W):
        bench.feed(ValueChecked(value, valid=True, time_ms=1))
    feed_votes(bench, *(a_vote(PREVOTE, W, by=by, round_=1) for by in (0, 1, 2)))
    feed_votes(bench, *(a_vote(PREVOTE, NO_BLOCK, by=by, round_=2) for by in (0, 1)))
    assert (bench.core.state.round, bench.core.state.valid_id) == (2, W)

    feed_votes(bench, *(a_vote(PREVOTE, V, by=by, round_=0) for by in (0, 1, 2)))

    assert (bench.core.state.valid_round, bench.core.state.valid_id) == (1, W)


@pytest.mark.parametrize("value", [NO_BLOCK, W])
def test_nothing_but_a_good_value_becomes_valid_late(value: BlockId) -> None:
    """More than two thirds prevoted nil, or a value that is not here."""
    bench = a_core(FOUR, own=2)
    feed_votes(bench, *(a_vote(PREVOTE, NO_BLOCK, by=by, round_=1) for by in (0, 1)))
    assert bench.core.state.round == 1

    feed_votes(bench, *(a_vote(PREVOTE, value, by=by) for by in (0, 1, 3)))

    assert bench.core.state.valid_round == NO_ROUND


def test_a_lock_is_kept_against_a_fresh_proposal() -> None:
    """Locked on V in round 0, a fresh W in round 1 gets nil."""
    bench = a_locked_core()
    bench.feed(ValueChecked(W, valid=True, time_ms=1))

    assert cast(bench.feed(ProposalReceived(a_proposal(W, by=1, round_=1)))) == [
        (PREVOTE, NO_BLOCK)
    ]


def test_a_lock_yields_when_the_newer_prevotes_are_here() -> None:
    """W of valid round 1 is prevoted in round 2 only once 2f+1 prevotes of round 1 are shown."""
    bench = a_locked_core()
    bench.feed(ValueChecked(W, valid=True, time_ms=1))
    bench.feed(TimeoutFired(Step.PRECOMMIT, Height(1), Round(1)))

    asked = bench.feed(ProposalReceived(a_proposal(W, by=2, round_=2, valid_round=1), PEER))
    before = feed_votes(bench, *(a_vote(PREVOTE, W, by=by, round_=1) for by in (0, 1)))
    after = feed_votes(bench, a_vote(PREVOTE, W, by=2, round_=1))

    assert any(isinstance(effect, Summarise) and effect.peer == PEER for effect in asked)
    assert cast([*asked, *before]) == []
    assert cast(after) == [(PREVOTE, W)]


def test_a_lock_does_not_yield_to_older_prevotes() -> None:
    """Lines 28 to 32: a claim without its prevotes is answered by the time-out, with nil.

    The lock is of round 0 and so is the claim for W: only one third of liars could prove it.
    """
    bench = a_locked_core()
    bench.feed(ValueChecked(W, valid=True, time_ms=1))

    effects = bench.feed(ProposalReceived(a_proposal(W, by=1, round_=1, valid_round=0)))
    effects += bench.feed(TimeoutFired(Step.PROPOSE, Height(1), Round(1)))

    assert cast(effects) == [(PREVOTE, NO_BLOCK)]


def test_the_proposer_offers_the_valid_value_with_its_round() -> None:
    """Validator 1 saw V accepted in round 0, so in round 1 it proposes V, not something new."""
    bench = a_core(FOUR, own=1)
    bench.feed(ValueChecked(V, valid=True, time_ms=1))
    bench.feed(ProposalReceived(a_proposal(V, by=0)))
    feed_votes(bench, a_vote(PREVOTE, V, by=0), a_vote(PREVOTE, V, by=2))

    effects = bench.feed(TimeoutFired(Step.PRECOMMIT, Height(1), Round(0)))

    (offered,) = (effect.proposal for effect in effects if isinstance(effect, Propose))
    assert (offered.block_id, offered.round, offered.valid_round) == (V, 1, 0)
    assert cast(effects) == [(PREVOTE, V)]
    assert not any(isinstance(effect, BuildValue) for effect in effects)


def test_a_late_proposal_leads_to_nil_and_on() -> None:
    """Nothing comes: nil prevote, then nil precommit on 2f+1 nil, then the next round."""
    bench = a_core(FOUR, own=3)

    effects = bench.feed(TimeoutFired(Step.PROPOSE, Height(1), Round(0)))
    effects += feed_votes(bench, *(a_vote(PREVOTE, NO_BLOCK, by=by) for by in (0, 1)))
    effects += feed_votes(bench, *(a_vote(PRECOMMIT, NO_BLOCK, by=by) for by in (0, 1)))
    effects += bench.feed(TimeoutFired(Step.PRECOMMIT, Height(1), Round(0)))

    assert cast(effects) == [(PREVOTE, NO_BLOCK), (PRECOMMIT, NO_BLOCK)]
    assert ScheduleTimeout(Step.PRECOMMIT, Height(1), Round(0), 1_000) in effects
    assert bench.core.state.round == 1


def test_time_outs_start_once_a_round_and_stale_ones_are_nothing() -> None:
    """Line 34 acts for the first time only; a time-out of another round changes nothing."""
    bench = a_core(FOUR, own=3)
    bench.feed(TimeoutFired(Step.PROPOSE, Height(1), Round(0)))

    effects = feed_votes(
        bench,
        a_vote(PREVOTE, V, by=0),
        a_vote(PREVOTE, W, by=1),
        a_vote(PREVOTE, NO_BLOCK, by=2),
    )
    stale = bench.feed(TimeoutFired(Step.PREVOTE, Height(1), Round(1)))

    waits = [e for e in effects if isinstance(e, ScheduleTimeout) and e.step is Step.PREVOTE]
    assert len(waits) == 1
    assert stale == []


def test_time_outs_grow_and_are_capped() -> None:
    """A round waits longer than the one before, up to the cap."""
    timeouts = Timeouts(propose_ms=1_000, vote_ms=500, delta_ms=500, cap_ms=2_000)

    assert [timeouts.delay_ms(Step.PROPOSE, Round(r)) for r in (0, 1, 2, 9_000)] == [
        1_000,
        1_500,
        2_000,
        2_000,
    ]
    assert timeouts.delay_ms(Step.PREVOTE, Round(0)) == 500


def test_a_third_of_the_power_ahead_pulls_a_node_along() -> None:
    """Line 55: one validator of four in round 5 does nothing, a second one does."""
    bench = a_core(FOUR, own=3)

    feed_votes(bench, a_vote(PREVOTE, V, by=0, round_=7))
    assert bench.core.state.round == 0
    feed_votes(bench, a_vote(PREVOTE, V, by=1, round_=5))

    assert bench.core.state.round == 5


def test_precommits_of_an_earlier_round_still_decide() -> None:
    """Line 49 holds for any round: a third precommit of round 0 may come in round 1."""
    bench = a_locked_core()
    feed_votes(bench, a_vote(PRECOMMIT, V, by=0, time_ms=9))

    effects = feed_votes(bench, a_vote(PRECOMMIT, V, by=1, time_ms=9))

    (decided,) = (effect for effect in effects if isinstance(effect, Decided))
    assert (decided.round, decided.block_id) == (0, V)


def test_a_final_block_that_is_not_here_is_fetched_never_skipped() -> None:
    """2f+1 precommits for an unknown id: ask for it, decide when it is here and valid."""
    bench = a_core(FOUR, own=None)

    effects = feed_votes(bench, *(a_vote(PRECOMMIT, V, by=by, time_ms=9) for by in (0, 1, 2)))
    then = bench.feed(ValueChecked(V, valid=True, time_ms=1))

    assert WantValue(V) in effects
    assert not any(isinstance(effect, Decided) for effect in effects)
    assert any(isinstance(effect, Decided) for effect in then)


def test_late_precommits_join_the_certificate_until_the_height_after() -> None:
    """The next block carries every valid precommit seen by then, none of them twice."""
    bench = a_core(FOUR, own=None)
    bench.feed(ValueChecked(V, valid=True, time_ms=1))
    feed_votes(bench, *(a_vote(PRECOMMIT, V, by=by, time_ms=9) for by in (0, 1, 2)))
    bench.enter(2)

    feed_votes(bench, a_vote(PRECOMMIT, V, by=3, time_ms=12))
    feed_votes(bench, a_vote(PRECOMMIT, W, by=3, time_ms=12))

    certificate = bench.core.late_votes()
    assert certificate is not None
    assert [vote.validator for vote in certificate.votes] == [0, 1, 2, 3]


@pytest.mark.parametrize(("kind", "first"), [(PREVOTE, V), (PRECOMMIT, V), (PRECOMMIT, W)])
def test_a_second_vote_is_reported_though_its_height_is_final(kind: int, first: BlockId) -> None:
    """A fast decision does not save an offender, but honest stragglers are no offenders."""
    bench = a_core(FOUR, own=None)
    bench.feed(ValueChecked(V, valid=True, time_ms=1))
    known = a_vote(kind, first, by=3, time_ms=9 * (kind == PRECOMMIT))
    feed_votes(bench, known, a_vote(PREVOTE, V, by=2))
    feed_votes(bench, *(a_vote(PRECOMMIT, V, by=by, time_ms=9) for by in (0, 1, 2)))
    bench.enter(2)
    second = a_vote(kind, a_value("x"), by=3, time_ms=9 * (kind == PRECOMMIT))
    again = a_vote(kind, a_value("y"), by=3, time_ms=9 * (kind == PRECOMMIT))

    effects = feed_votes(bench, known, a_vote(PREVOTE, W, by=1), second, again)

    reports = [effect for effect in effects if isinstance(effect, Equivocation)]
    assert reports == [Equivocation(known, second, a_key(3))]


def test_two_proposals_of_one_block_hide_no_later_offence() -> None:
    """They differ in the round that justifies them: no offence, and none that covers another."""
    bench = a_core(FOUR, own=3)
    pair = [a_proposal(V, by=1, round_=1, valid_round=valid) for valid in (-1, 0)]
    votes = [a_vote(PREVOTE, block_id, by=1) for block_id in (V, W)]

    effects = [effect for one in pair for effect in bench.feed(ProposalReceived(one))]
    effects += feed_votes(bench, *votes)

    reports = [effect for effect in effects if isinstance(effect, Equivocation)]
    assert reports == [Equivocation(*votes, a_key(1))]


def test_who_was_reported_once_costs_no_more_checks() -> None:
    """An offender's further votes on a final height are dropped before anything is verified."""
    judged: list[bytes] = []

    def spy(key: PublicKey, message: bytes, signature: Signature, /) -> bool:
        judged.append(message)
        return fake_verify(key, message, signature)

    bench = a_core(FOUR, own=None, verify=spy)
    bench.feed(ValueChecked(V, valid=True, time_ms=1))
    feed_votes(bench, *(a_vote(PRECOMMIT, V, by=by, time_ms=9) for by in (0, 1, 2)))
    feed_votes(bench, a_vote(PRECOMMIT, W, by=1, time_ms=9))
    before = len(judged)

    feed_votes(bench, a_vote(PRECOMMIT, a_value("x"), by=1, time_ms=9))

    assert len(judged) == before


def test_a_late_vote_that_is_forged_proves_nothing() -> None:
    """Whoever passes it on is blamed, nobody else."""
    bench = a_core(FOUR, own=None)
    bench.feed(ValueChecked(V, valid=True, time_ms=1))
    feed_votes(bench, *(a_vote(PRECOMMIT, V, by=by, time_ms=9) for by in (0, 1, 2)))
    forged = replace(a_vote(PRECOMMIT, W, by=1, time_ms=9), signature=Signature(bytes(64)))

    effects = feed_votes(bench, forged)

    assert [type(effect) for effect in effects] == [Fault]


def test_a_precommit_is_later_than_its_block() -> None:
    """A slow wall clock does not date a precommit before the block it is for."""
    bench = a_core(FOUR, own=3)
    bench.wall_ms = 5
    bench.feed(ValueChecked(V, valid=True, time_ms=70_000))
    bench.feed(ProposalReceived(a_proposal(V, by=0)))

    effects = feed_votes(bench, a_vote(PREVOTE, V, by=0), a_vote(PREVOTE, V, by=1))

    (precommit,) = (e.vote for e in effects if isinstance(e, CastVote))
    assert precommit.time_ms == 70_001


@pytest.mark.parametrize(
    "junk",
    [
        Vote(PREVOTE, Height(1), Round(0), V, 0, 4, Signature(b"")),
        Vote(PREVOTE, Height(1), Round(0), V, 0, -1, Signature(b"")),
        Vote(PREVOTE, Height(1), Round(-1), V, 0, 1, Signature(b"")),
        Vote(PREVOTE, Height(1), Round(0), BlockId(b"short"), 0, 1, Signature(b"")),
        Vote(PREVOTE, Height(1), Round(0), V, 7, 1, Signature(b"")),
        Vote(PRECOMMIT, Height(1), Round(0), V, -7, 1, Signature(b"")),
        Vote(9, Height(1), Round(0), V, 0, 1, Signature(b"")),
        Vote(PREVOTE, Height(1), Round(0), V, 0, 1, Signature(b"")),
        Proposal(Height(1), Round(0), Round(0), V, Signature(b"")),
        Proposal(Height(1), Round(0), Round(-2), V, Signature(b"")),
        Proposal(Height(1), Round(0), Round(-1), NO_BLOCK, Signature(b"")),
        a_proposal(V, by=1),
    ],
)
def test_junk_is_blamed_on_its_sender_and_changes_nothing(junk: Proposal | Vote) -> None:
    """Malformed, unsigned, or by somebody whose turn it is not: a fault, never an assertion."""
    bench = a_core(FOUR, own=3)
    before = bench.core.summary()
    event = VoteReceived(junk, PEER) if isinstance(junk, Vote) else ProposalReceived(junk, PEER)

    effects = bench.feed(event)

    assert [type(effect) for effect in effects] == [Fault]
    assert bench.core.summary() == before


def test_what_is_known_or_useless_is_not_verified_again() -> None:
    """Signature checks are the cost: a repeated vote and one of a stale round cost none."""
    judged: list[bytes] = []

    def spy(key: PublicKey, message: bytes, signature: Signature, /) -> bool:
        judged.append(message)
        return fake_verify(key, message, signature)

    bench = a_core(FOUR, own=3, verify=spy)
    vote = a_vote(PREVOTE, V, by=0, round_=1)

    feed_votes(bench, vote, vote, a_vote(PREVOTE, V, by=0, round_=0))
    bench.feed(ProposalReceived(a_proposal(V, by=0, round_=40)))
    feed_votes(bench, a_vote(PREVOTE, V, by=1, height=9))

    assert len(judged) == 2


def test_an_equivocator_is_reported_once_and_counts_once_for_each_id() -> None:
    """Two prevotes of one validator for two ids are evidence; a third changes nothing."""
    bench = a_core(FOUR, own=3)
    votes = [a_vote(PREVOTE, value, by=0) for value in (V, W, a_value("x"))]

    effects = feed_votes(bench, *votes)

    reports = [effect for effect in effects if isinstance(effect, Equivocation)]
    assert reports == [Equivocation(votes[0], votes[1], a_key(0))]
    assert sum(isinstance(effect, Accepted) for effect in effects) == 2


def test_another_time_in_a_precommit_is_no_equivocation() -> None:
    """Evidence ignores time: the same id with another time is only a known vote."""
    bench = a_core(FOUR, own=3)

    effects = feed_votes(
        bench, a_vote(PRECOMMIT, V, by=0, time_ms=5), a_vote(PRECOMMIT, V, by=0, time_ms=6)
    )

    assert not any(isinstance(effect, Equivocation) for effect in effects)


def test_two_proposals_in_a_round_are_reported() -> None:
    """The first one stands, the pair is evidence."""
    bench = a_core(FOUR, own=3)
    first, second = a_proposal(V, by=0), a_proposal(W, by=0)

    effects = bench.feed(ProposalReceived(first)) + bench.feed(ProposalReceived(second))

    assert Equivocation(first, second, a_key(0)) in effects


def test_a_value_with_quorum_is_locked_though_another_proposal_came_first() -> None:
    """The proposer sent V here and W to the others: their 2f+1 prevotes count all the same."""
    bench = a_core(FOUR, own=3)
    for value in (V, W):
        bench.feed(ValueChecked(value, valid=True, time_ms=1))
    bench.feed(ProposalReceived(a_proposal(V, by=0)))

    effects = feed_votes(bench, *(a_vote(PREVOTE, W, by=by) for by in (0, 1, 2)))

    assert cast(effects) == [(PRECOMMIT, W)]


def test_messages_of_the_next_height_wait_for_it() -> None:
    """A faster peer's proposal and votes are used when the height begins, bounded per sender."""
    bench = a_core(FOUR, own=3)
    bench.feed(ProposalReceived(a_proposal(V, by=0, height=2), PEER))
    for _ in range(1_000):
        feed_votes(bench, a_vote(PREVOTE, V, by=0, height=2))

    effects = bench.enter(2)

    assert WantValue(V) in effects
    assert sum(isinstance(effect, Accepted) for effect in effects) == 2
    assert cast(bench.feed(ValueChecked(V, valid=True, time_ms=1))) == [(PREVOTE, V)]


def test_a_peer_is_sent_what_its_summary_lacks_and_no_more() -> None:
    """The proposal and the votes that are missing there; after that, nothing."""
    rich, poor = a_core(FOUR, own=3), a_core(FOUR, own=2)
    rich.feed(ValueChecked(V, valid=True, time_ms=1))
    rich.feed(ProposalReceived(a_proposal(V, by=0)))
    feed_votes(rich, a_vote(PREVOTE, V, by=0))
    feed_votes(poor, a_vote(PREVOTE, V, by=0))

    (answer,) = rich.feed(SummaryReceived(PEER, poor.core.summary()))

    assert isinstance(answer, Retransmit)
    proposal, vote = answer.messages
    assert isinstance(proposal, Proposal)
    assert (vote.kind, vote.validator) == (PREVOTE, 3)  # type: ignore[union-attr]  # asserted by its fields
    poor.feed(ProposalReceived(proposal))
    feed_votes(poor, vote)  # type: ignore[arg-type]  # as above
    rich.now_ms += 1_000
    assert rich.feed(SummaryReceived(PEER, poor.core.summary())) == []


def test_a_peer_in_an_earlier_round_gets_the_votes_that_pull_it_along() -> None:
    """Two validators' votes of round 5 are enough for it to follow."""
    ahead, behind = a_core(FOUR, own=3), a_core(FOUR, own=2)
    feed_votes(ahead, *(a_vote(PREVOTE, NO_BLOCK, by=by, round_=5) for by in (0, 1)))

    (answer,) = ahead.feed(SummaryReceived(PEER, behind.core.summary()))
    assert isinstance(answer, Retransmit)
    for message in answer.messages:
        assert isinstance(message, Vote)
        feed_votes(behind, message)

    assert behind.core.state.round == 5


def test_a_peer_one_height_behind_gets_the_final_precommits() -> None:
    """It can decide by itself, without a whole catch-up."""
    done, behind = a_core(FOUR, own=None), a_core(FOUR, own=None)
    for bench in (done, behind):
        bench.feed(ValueChecked(V, valid=True, time_ms=1))
    feed_votes(done, *(a_vote(PRECOMMIT, V, by=by, time_ms=9) for by in (0, 1, 2)))
    done.enter(2)

    (answer,) = done.feed(SummaryReceived(PEER, behind.core.summary()))

    assert isinstance(answer, Retransmit)
    effects = [e for vote in answer.messages for e in behind.feed(VoteReceived(vote))]  # type: ignore[arg-type]  # votes only
    assert any(isinstance(effect, Decided) for effect in effects)


def test_answers_are_rare_however_often_a_peer_asks() -> None:
    """An answer is larger than its question: at most one in a quarter second."""
    rich, poor = a_core(FOUR, own=3), a_core(FOUR, own=2)
    feed_votes(rich, a_vote(PREVOTE, V, by=0))
    question = SummaryReceived(PEER, poor.core.summary())

    answers = [effect for _ in range(100) for effect in rich.feed(question)]

    assert len(answers) == 1


def test_a_summary_goes_out_on_link_up_and_each_second_without_a_step() -> None:
    """Not while things move, not more often than each second; what lacks is asked for again."""
    bench = a_core(FOUR, own=3)
    bench.feed(ProposalReceived(a_proposal(V, by=0)))

    up = bench.feed(PeerLinked(PEER))
    said = []
    for _ in range(30):
        bench.now_ms += 100
        said += bench.feed(Tick())

    assert [type(effect) for effect in up] == [Summarise]
    assert sum(isinstance(effect, Summarise) for effect in said) == 3
    assert sum(effect == WantValue(V) for effect in said) == 3


def test_a_summary_survives_the_wire_and_hostile_ones_are_harmless() -> None:
    """Any bitmap, any rounds: the answer is bounded by what is held, nothing is raised."""
    bench = a_core(FOUR, own=3)
    feed_votes(bench, a_vote(PREVOTE, V, by=0))

    for rows in ((), ((Round(0), b""),), ((Round(-5), b"\xff" * 13), (Round(0), b"\xff" * 13))):
        hostile = RoundSummary(
            Height(1), Round(-9), 77, (Round(2**62),), rows, rows, Round(5), Round(5)
        )
        bench.now_ms += 1_000
        for effect in bench.feed(SummaryReceived(PEER, hostile)):
            assert isinstance(effect, Retransmit)
            assert len(effect.messages) <= 2


def test_a_time_out_between_heights_is_nothing() -> None:
    """Decided, and the next height not begun: whatever still runs out has no effect."""
    bench = a_core(FOUR, own=3)
    bench.feed(ValueChecked(V, valid=True, time_ms=1))
    feed_votes(bench, *(a_vote(PRECOMMIT, V, by=by, time_ms=9) for by in (0, 1, 2)))

    for step in (Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT):
        assert bench.feed(TimeoutFired(step, Height(1), Round(0))) == []
