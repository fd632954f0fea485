"""The key signs each step once, also across restarts, and keeps silent when it cannot know."""

import msgspec
import pytest

from aitbc_node.blocks import NO_BLOCK, PRECOMMIT, PREVOTE, Certificate, CommitVote
from aitbc_node.consensus.algorithm import State
from aitbc_node.consensus.inputs import (
    BuildValue,
    CastVote,
    ConsensusEffect,
    ProposalReceived,
    Propose,
    Step,
    TimeoutFired,
    ValueBuilt,
    ValueChecked,
    VoteReceived,
    WantValue,
)
from aitbc_node.consensus.messages import Vote
from aitbc_node.consensus.signing import NO_SIGNATURE, Signed, SignGuard
from aitbc_node.events import Note, OwnKey, SaveSignState, SignState
from aitbc_node.storage.sign_state import NOTHING_SIGNED
from aitbc_node.types import BlockId, Height, Round, Signature
from aitbc_sim.testing import (
    CHAIN_ID,
    Bench,
    FakeSigner,
    a_core,
    a_key,
    a_proposal,
    a_set,
    a_value,
    a_vote,
)

pytestmark = pytest.mark.unit

V = a_value("v")
W = a_value("w")
FOUR = (1, 1, 1, 1)


def votes(effects: list[ConsensusEffect]) -> list[CastVote]:
    """Return the votes among the effects."""
    return [effect for effect in effects if isinstance(effect, CastVote)]


def refusals(effects: list[ConsensusEffect]) -> list[object]:
    """Return the reasons given for not voting."""
    return [
        dict(effect.fields)["reason"]
        for effect in effects
        if isinstance(effect, Note) and effect.name in {"vote.refused", "vote.twin"}
    ]


def a_prevoter() -> Bench:
    """Return validator 3 after its prevote for V in round 0."""
    bench = a_core(FOUR, own=3)
    bench.feed(ValueChecked(V, valid=True, time_ms=1))
    bench.feed(ProposalReceived(a_proposal(V, by=0)))
    return bench


def restarted(bench: Bench, *, height: int = 1) -> tuple[Bench, list[ConsensusEffect]]:
    """Return a new core with nothing but the sign state of the old one."""
    again = a_core(FOUR, own=3, sign_state=bench.core.sign_state, height=None)
    again.now_ms, again.wall_ms = 5_000, 99_000
    return again, again.enter(height)


@pytest.mark.proves("E5")
def test_a_restart_resends_the_stored_prevote_and_nothing_else() -> None:
    """Same step, same id: the very signature again, without another write."""
    bench = a_prevoter()
    stored = bench.core.sign_state
    assert stored is not None

    again, effects = restarted(bench)

    (sent,) = votes(effects)
    assert sent.vote.signature == stored.signature
    assert not any(isinstance(effect, SaveSignState) for effect in effects)
    assert again.core.state.step is Step.PREVOTE


@pytest.mark.proves("E5")
def test_after_a_restart_another_proposal_is_not_prevoted() -> None:
    """Killed between prevote and precommit: W in the same round gets no vote at all."""
    again, _ = restarted(a_prevoter())
    again.feed(ValueChecked(W, valid=True, time_ms=1))

    effects = again.feed(ProposalReceived(a_proposal(W, by=0)))
    effects += again.feed(TimeoutFired(Step.PROPOSE, Height(1), Round(0)))

    assert votes(effects) == []


@pytest.mark.proves("E5")
def test_the_lock_and_its_prevotes_survive_a_restart() -> None:
    """Locked on V in round 0; after a restart W in round 1 gets nil, and V's prevotes are here."""
    bench = a_prevoter()
    for by in (0, 1):
        bench.feed(VoteReceived(a_vote(PREVOTE, V, by=by)))
    assert bench.core.state.locked_id == V

    again, effects = restarted(bench)
    again.feed(TimeoutFired(Step.PRECOMMIT, Height(1), Round(0)))
    again.feed(ValueChecked(W, valid=True, time_ms=1))
    later = again.feed(ProposalReceived(a_proposal(W, by=1, round_=1)))

    assert [(v.vote.kind, v.vote.block_id) for v in votes(effects)] == [(PRECOMMIT, V)]
    assert [(v.vote.kind, v.vote.block_id) for v in votes(later)] == [(PREVOTE, NO_BLOCK)]
    rows = dict(again.core.summary().prevotes)
    assert rows[Round(0)] == bytes((0b1011,))


def test_a_restarted_proposer_sends_its_stored_proposal() -> None:
    """It does not build another value for the same round."""
    bench = a_core(FOUR, own=0)
    (sent,) = (
        effect.proposal
        for effect in bench.feed(ValueBuilt(Height(1), Round(0), V, 5))
        if isinstance(effect, Propose)
    )
    at_proposal = SignState(
        Height(1),
        Round(0),
        1,
        sent.sign_bytes("aitbc-sim-1"),
        sent.signature,
        Round(-1),
        NO_BLOCK,
        Round(-1),
        NO_BLOCK,
    )

    again = a_core(FOUR, own=0, sign_state=at_proposal, height=None)
    effects = again.enter()
    effects += again.feed(ValueBuilt(Height(1), Round(0), W, 5))
    effects += again.feed(ValueChecked(V, valid=True, time_ms=5))

    assert [effect for effect in effects if isinstance(effect, Propose)] == [Propose(sent)]
    assert WantValue(V) in effects
    assert [v.vote.block_id for v in votes(effects)] == [V]


def test_a_sign_state_ahead_of_the_chain_is_silent_until_passed() -> None:
    """The data folder was lost, the key's was not: follow to the stored height, then vote."""
    bench = a_core(FOUR, own=3, sign_state=NOTHING_SIGNED, height=7)
    bench.feed(TimeoutFired(Step.PROPOSE, Height(7), Round(0)))
    again, _ = restarted(bench, height=6)

    behind = again.feed(TimeoutFired(Step.PROPOSE, Height(6), Round(0)))
    same = again.enter(7)
    again.enter(8)
    past = again.feed(TimeoutFired(Step.PROPOSE, Height(8), Round(0)))

    assert (votes(behind), refusals(behind)) == ([], ["sign state is ahead"])
    assert [v.vote.height for v in votes(same)] == [7]
    assert [v.vote.height for v in votes(past)] == [8]


def test_a_key_without_sign_state_follows_a_running_chain_only() -> None:
    """Past height 0 the key may have signed anything; at height 1 it is new with its chain."""
    late = a_core(FOUR, own=3, height=None)
    effects = late.enter(2)
    effects += late.feed(TimeoutFired(Step.PROPOSE, Height(2), Round(0)))
    first = a_core(FOUR, own=3)
    voted = first.feed(TimeoutFired(Step.PROPOSE, Height(1), Round(0)))

    assert (votes(effects), refusals(effects)) == ([], [late.core.refusal])
    assert "no sign state" in late.core.refusal
    assert len(votes(voted)) == 1


def test_a_sign_state_of_another_chain_forbids_voting() -> None:
    """A key that is moved between networks does not take its memory along by mistake."""
    bench = a_prevoter()
    stored = bench.core.sign_state
    assert stored is not None
    other = SignState(
        stored.height,
        stored.round,
        stored.step,
        stored.sign_bytes.replace(b"aitbc-sim-1", b"aitbc-sim-2"),
        stored.signature,
        stored.locked_round,
        stored.locked_id,
        stored.valid_round,
        stored.valid_id,
    )

    effects = a_core(FOUR, own=3, sign_state=other, height=None).enter()

    assert refusals(effects) == ["sign state of another chain"]


TWIN = "another node signs with this key"


def test_an_unknown_vote_of_the_own_key_stops_voting() -> None:
    """Somebody else signs with this key: one of the two must be silent, at once."""
    bench = a_core(FOUR, own=3)

    effects = bench.feed(VoteReceived(a_vote(PREVOTE, W, by=3)))
    effects += bench.feed(TimeoutFired(Step.PROPOSE, Height(1), Round(0)))

    assert votes(effects) == []
    assert set(refusals(effects)) == {TWIN}


def a_precommitter() -> Bench:
    """Return validator 3 after its prevote and precommit for V in round 0."""
    bench = a_prevoter()
    for by in (0, 1):
        bench.feed(VoteReceived(a_vote(PREVOTE, V, by=by)))
    return bench


@pytest.mark.parametrize(
    "foreign",
    [
        VoteReceived(a_vote(PREVOTE, W, by=3)),
        VoteReceived(a_vote(PRECOMMIT, W, by=3, time_ms=9_000)),
        VoteReceived(a_vote(PRECOMMIT, V, by=3, time_ms=9_000)),
        VoteReceived(a_vote(PREVOTE, V, by=3, round_=1)),
        ProposalReceived(a_proposal(W, by=3, round_=3)),
    ],
    ids=["an earlier step", "the newest step", "only its time", "a later round", "a proposal"],
)
def test_whatever_else_the_own_key_says_stops_this_node(
    foreign: VoteReceived | ProposalReceived,
) -> None:
    """It has precommitted V in round 0: anything but an echo of that was signed elsewhere."""
    bench = a_precommitter()
    if isinstance(foreign, ProposalReceived):
        for round_ in range(3):
            bench.feed(TimeoutFired(Step.PROPOSE, Height(1), Round(round_)))
            bench.feed(TimeoutFired(Step.PRECOMMIT, Height(1), Round(round_)))

    effects = bench.feed(foreign)
    again = bench.feed(foreign)
    effects += bench.feed(TimeoutFired(Step.PRECOMMIT, Height(1), bench.core.state.round))
    effects += bench.feed(TimeoutFired(Step.PROPOSE, Height(1), bench.core.state.round))

    assert bench.core.refusal == TWIN
    assert votes(effects) == []
    assert [note.name for note in effects if note == effects[0]] == ["vote.twin"]
    assert again == []


def test_two_proposals_of_the_own_key_stop_this_node() -> None:
    """The proposer of the round sent V; W in the same round comes from a copy of its key."""
    bench = a_core(FOUR, own=0)
    bench.feed(ValueBuilt(Height(1), Round(0), V, 5))

    bench.feed(ProposalReceived(a_proposal(V, by=0)))
    echoed = bench.core.refusal
    bench.feed(ProposalReceived(a_proposal(W, by=0)))

    assert (echoed, bench.core.refusal) == ("", TWIN)


def test_a_late_vote_of_the_own_key_that_it_never_gave_stops_it() -> None:
    """Three others decide height 1; the own precommit for that block arrives all the same."""
    bench = a_core(FOUR, own=3)
    bench.feed(ValueChecked(V, valid=True, time_ms=1))
    for by in range(3):
        bench.feed(VoteReceived(a_vote(PRECOMMIT, V, by=by, time_ms=9)))
    bench.enter(2)

    bench.feed(VoteReceived(a_vote(PRECOMMIT, V, by=3, time_ms=9)))

    assert bench.core.refusal == TWIN


def a_decider() -> Bench:
    """Return validator 3 at height 2, after it has voted for the V that height 1 decided."""
    bench = a_precommitter()
    for by in range(3):
        bench.feed(VoteReceived(a_vote(PRECOMMIT, V, by=by, time_ms=9)))
    bench.enter(2)
    return bench


@pytest.mark.parametrize(
    "foreign",
    [
        a_vote(PREVOTE, W, by=3),
        a_vote(PRECOMMIT, W, by=3, time_ms=9_000),
        a_vote(PRECOMMIT, V, by=3, time_ms=9_000),
    ],
    ids=["another prevote", "another precommit", "only its time"],
)
def test_a_late_vote_of_the_own_key_that_says_something_else_stops_it(foreign: Vote) -> None:
    """The sign state is beyond that place already; what is known of the height still tells."""
    bench = a_decider()
    bench.feed(TimeoutFired(Step.PROPOSE, Height(2), Round(0)))
    assert bench.core.sign_state is not None
    assert bench.core.sign_state.height == 2

    forged = msgspec.structs.replace(foreign, signature=Signature(bytes(64)))
    bench.feed(VoteReceived(forged))
    unmoved = bench.core.refusal
    bench.feed(VoteReceived(foreign))

    assert (unmoved, bench.core.refusal) == ("", TWIN)


def test_late_echoes_of_the_own_votes_are_no_twin() -> None:
    """Peers send what they have of the height before, the own votes with it."""
    bench = a_decider()
    certificate = bench.core.late_votes()
    assert certificate is not None
    time_ms = next(vote.time_ms for vote in certificate.votes if vote.validator == 3)

    for echo in (a_vote(PREVOTE, V, by=3), a_vote(PRECOMMIT, V, by=3, time_ms=time_ms)):
        bench.feed(VoteReceived(echo))

    assert bench.core.refusal == ""


def test_a_forged_vote_of_the_own_key_stops_nobody() -> None:
    """Whoever could silence a validator with a signature that does not hold would."""
    bench = a_precommitter()
    forged = msgspec.structs.replace(
        a_vote(PRECOMMIT, V, by=3, time_ms=9_000), signature=Signature(bytes(64))
    )

    bench.feed(VoteReceived(forged))

    assert bench.core.refusal == ""


def test_an_echo_of_the_own_vote_is_no_twin() -> None:
    """A peer sends back an older own vote after a restart: counted, and voting goes on."""
    bench = a_prevoter()
    for by in (0, 1):
        bench.feed(VoteReceived(a_vote(PREVOTE, V, by=by)))
    again, _ = restarted(bench)

    again.feed(VoteReceived(a_vote(PREVOTE, V, by=3)))
    again.feed(TimeoutFired(Step.PRECOMMIT, Height(1), Round(0)))
    effects = again.feed(TimeoutFired(Step.PROPOSE, Height(1), Round(1)))

    assert again.core.refusal == ""
    assert len(votes(effects)) == 1


def test_a_sign_state_that_only_forbids_is_silent_up_to_its_height() -> None:
    """A restored key with `--not-before-height 8` holds no message and first votes at 8."""
    forbidding = msgspec.structs.replace(
        NOTHING_SIGNED, height=Height(7), round=Round(10_000), step=3
    )
    bench = a_core(FOUR, own=3, sign_state=forbidding, height=None)

    cast = []
    for height in (6, 7, 8):
        bench.enter(height)
        effects = bench.feed(TimeoutFired(Step.PROPOSE, Height(height), Round(0)))
        cast += [vote.vote.height for vote in votes(effects)]

    assert cast == [8]


def own_certificate(*, height: int, round_: int, id_: BlockId = V, voters: range) -> Certificate:
    """Return a certificate with the votes of these validators."""
    rows = tuple(CommitVote(index, 5, Signature(b"judged by the caller")) for index in voters)
    return Certificate(Height(height), Round(round_), id_, rows)


@pytest.mark.parametrize(
    ("certificate", "is_twin"),
    [
        (own_certificate(height=1, round_=0, voters=range(4)), True),
        (own_certificate(height=2, round_=0, voters=range(4)), True),
        (own_certificate(height=2, round_=0, voters=range(3)), False),
        (own_certificate(height=0, round_=0, voters=range(4)), False),
    ],
    ids=["a later step", "a later height", "no own vote", "an echo"],
)
def test_own_votes_in_a_block_that_the_sign_state_does_not_know_stop_it(
    certificate: Certificate, *, is_twin: bool
) -> None:
    """Validator 3 has prevoted at height 1; what it precommitted there, somebody else did."""
    bench = a_prevoter()

    notes = bench.core.note_certificate(certificate, bench.validators)

    assert bool(bench.core.refusal) == is_twin
    assert refusals([*notes]) == [TWIN] * is_twin
    assert bench.core.note_certificate(certificate, bench.validators) == []


def test_a_value_that_is_invalid_since_a_restart_gives_way_to_a_new_one() -> None:
    """Another release judges now: the proposer says so and offers a fresh value of the round."""
    bench = a_core(FOUR, own=1)
    bench.feed(ValueChecked(V, valid=True, time_ms=1))
    bench.feed(ProposalReceived(a_proposal(V, by=0)))
    for by in (0, 2):
        bench.feed(VoteReceived(a_vote(PREVOTE, V, by=by)))
    again = a_core(FOUR, own=1, sign_state=bench.core.sign_state, height=None)
    again.enter()
    again.feed(TimeoutFired(Step.PRECOMMIT, Height(1), Round(0)))

    judged = again.feed(ValueChecked(V, valid=False, time_ms=0))
    offered = again.feed(ValueBuilt(Height(1), Round(1), W, 5))

    assert Note("proposal.invalid_now", (("round", Round(1)),)) in judged
    assert BuildValue(Height(1), Round(1)) in judged
    (sent,) = (effect.proposal for effect in offered if isinstance(effect, Propose))
    assert (sent.block_id, sent.round) == (W, 1)


def a_guard(stored: SignState | None = NOTHING_SIGNED) -> SignGuard:
    """Return the guard of validator 3's key."""
    return SignGuard(chain_id=CHAIN_ID, signer=FakeSigner(a_key(3)), stored=stored)


def unsigned(kind: int, value: BlockId, *, round_: int = 0, time_ms: int = 0) -> Vote:
    """Return a vote of validator 3 that nobody signed yet."""
    vote = a_vote(kind, value, by=3, round_=round_, time_ms=time_ms)
    return msgspec.structs.replace(vote, signature=NO_SIGNATURE)


def signed(guard: SignGuard, message: Vote) -> Signed | Note:
    """Ask a guard for a signature."""
    return guard.sign(message, lock=State(Height(1)), proof=())


def test_a_place_is_signed_once_and_given_again() -> None:
    """The same id gets the stored signature without another write; another id gets none."""
    guard = a_guard()
    first = signed(guard, unsigned(PRECOMMIT, V, time_ms=5))
    assert isinstance(first, Signed)

    again = signed(guard, unsigned(PRECOMMIT, V, time_ms=9))
    other = signed(guard, unsigned(PRECOMMIT, W, time_ms=5))
    earlier = signed(guard, unsigned(PREVOTE, V))
    later = signed(guard, unsigned(PREVOTE, V, round_=1))

    assert again == Signed(first.message, ())
    place = (("height", 1), ("round", 0), ("step", 3))
    assert other == Note("vote.refused", (("reason", "signed otherwise before"), *place))
    assert isinstance(earlier, Note)
    assert dict(earlier.fields)["reason"] == "sign state is ahead"
    assert isinstance(later, Signed)
    assert len(later.effects) == 1


def test_what_is_stored_with_a_signature_is_all_that_a_restart_needs() -> None:
    """Place, bytes, signature, and both the lock and the valid value with its proof."""
    lock = State(
        Height(1), Round(4), locked_round=Round(2), locked_id=V, valid_round=Round(3), valid_id=W
    )
    proof = ((0, Signature(b"0")), (2, Signature(b"2")))
    vote = unsigned(PREVOTE, W, round_=4)

    done = a_guard().sign(vote, lock=lock, proof=proof)

    assert isinstance(done, Signed)
    assert done.message == a_vote(PREVOTE, W, by=3, round_=4)
    assert [effect.state for effect in done.effects] == [
        SignState(
            height=Height(1),
            round=Round(4),
            step=2,
            sign_bytes=vote.sign_bytes(CHAIN_ID),
            signature=done.message.signature,
            locked_round=Round(2),
            locked_id=V,
            valid_round=Round(3),
            valid_id=W,
            prevotes=proof,
        )
    ]


def test_nothing_is_signed_without_a_key_or_after_a_refusal() -> None:
    """A follower says nothing at all; who has to be silent says why at each place."""
    nobody = SignGuard(chain_id=CHAIN_ID, signer=None, stored=None)
    nobody.enter(Height(9))
    silent = a_guard()
    note = silent.stop_for_twin(a_vote(PRECOMMIT, V, by=3, round_=7))

    assert signed(nobody, unsigned(PREVOTE, V)) == Note("vote.follows")
    assert (nobody.key, nobody.stored, nobody.refusal) == (None, None, "")
    assert not nobody.is_foreign(a_vote(PRECOMMIT, V, by=3))
    refused = signed(silent, unsigned(PREVOTE, V))
    place = (("height", 1), ("round", 0), ("step", 2))
    assert refused == Note("vote.refused", (("reason", TWIN), *place))
    seen = (("height", 1), ("round", 7), ("step", 3))
    assert note == Note("vote.twin", (("reason", TWIN), *seen))


def test_each_kind_of_signed_message_comes_back_from_its_bytes() -> None:
    """Proposal, prevote and precommit, each whole; an empty sign state holds none."""
    guard = a_guard()
    proposal = msgspec.structs.replace(a_proposal(V, by=3, valid_round=-1), signature=NO_SIGNATURE)

    assert guard.stored_message(3) is None
    for message, whole in (
        (proposal, a_proposal(V, by=3)),
        (unsigned(PREVOTE, W), a_vote(PREVOTE, W, by=3)),
        (unsigned(PRECOMMIT, V, time_ms=7), a_vote(PRECOMMIT, V, by=3, time_ms=7)),
    ):
        guard.sign(message, lock=State(Height(1)), proof=())
        assert guard.stored_message(3) == whole


def test_a_new_key_begins_at_the_first_height_with_nothing_signed() -> None:
    """At height 1 no file is needed yet; one that is there stays as it is."""
    fresh, old = a_guard(None), a_guard(msgspec.structs.replace(NOTHING_SIGNED, height=Height(5)))

    fresh.enter(Height(1))
    old.enter(Height(1))

    assert fresh.stored is not None
    assert (fresh.stored.height, fresh.stored.round, fresh.stored.step) == (0, -1, 0)
    assert (fresh.stored.locked_round, fresh.stored.valid_round) == (-1, -1)
    assert (fresh.stored.locked_id, fresh.stored.valid_id) == (NO_BLOCK, NO_BLOCK)
    assert (fresh.stored.sign_bytes, fresh.stored.signature, fresh.refusal) == (b"", b"", "")
    assert old.stored is not None
    assert old.stored.height == 5


@pytest.mark.parametrize("time_ms", [5, 6])
def test_the_newest_place_is_compared_with_the_sign_state_alone(time_ms: int) -> None:
    """After a restart nothing else is known: the very bytes are an echo, any others are not."""
    guard = a_guard()
    signed(guard, unsigned(PRECOMMIT, V, time_ms=5))

    assert guard.is_foreign(a_vote(PRECOMMIT, W, by=3, time_ms=5))
    assert guard.is_foreign(a_vote(PRECOMMIT, V, by=3, time_ms=time_ms)) == (time_ms != 5)


def test_a_sign_state_that_only_forbids_calls_nothing_in_its_place_foreign() -> None:
    """It stands for whatever may have been signed up to there; what is beyond was not."""
    forbidding = msgspec.structs.replace(NOTHING_SIGNED, height=Height(1), round=Round(4), step=2)
    guard = a_guard(forbidding)

    assert not guard.is_foreign(a_vote(PREVOTE, V, by=3, round_=4))
    assert guard.is_foreign(a_vote(PRECOMMIT, V, by=3, round_=4))


def test_a_stored_proposal_is_given_again() -> None:
    """A proposal names no place in the set, and needs none."""
    guard = a_guard()
    fresh = msgspec.structs.replace(a_proposal(V, by=3), signature=NO_SIGNATURE)
    guard.sign(fresh, lock=State(Height(1)), proof=())

    again = guard.sign(fresh, lock=State(Height(1)), proof=())

    assert again == Signed(a_proposal(V, by=3), ())


def test_of_several_keys_the_set_says_which_signs_and_each_has_its_own_sign_state() -> None:
    """A key is taken once; where the set has none of them, the one that signed last stays."""
    guard = a_guard()
    guard.add(OwnKey(2, FakeSigner(a_key(5)), NOTHING_SIGNED))
    guard.add(OwnKey(2, FakeSigner(a_key(4)), NOTHING_SIGNED))

    chosen, places = [], []
    for powers in (FOUR, (1,) * 6, (1, 1)):
        guard.choose(a_set(powers))
        chosen.append(guard.key)
        places.append(guard.index_in(a_set(powers)))
    message = signed(guard, unsigned(PREVOTE, V))

    assert chosen == [a_key(3), a_key(5), a_key(5)]
    assert places == [a_set(FOUR).index_of(a_key(3)), a_set((1,) * 6).index_of(a_key(5)), None]
    assert isinstance(message, Signed)
    assert guard.stored is not None
    assert message.effects == (SaveSignState(guard.stored, 2),)
