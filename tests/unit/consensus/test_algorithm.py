"""The paper's table, line by line: one condition in one state, and what comes of it."""

import pytest

from aitbc_node.blocks import NO_BLOCK
from aitbc_node.consensus import algorithm as a
from aitbc_node.consensus.algorithm import State, advance
from aitbc_node.consensus.inputs import Step
from aitbc_node.consensus.messages import NO_ROUND
from aitbc_node.types import Height, Round
from aitbc_sim.testing import a_value

pytestmark = pytest.mark.unit

V = a_value("v")
W = a_value("w")
STEPS_OF_A_ROUND = (Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT)


def a_state(
    step: Step, *, round_: int = 2, locked: tuple[int, bytes] = (-1, b""), valid: object = None
) -> State:
    """Return round 2 of a height; what is locked is valid too, unless said otherwise."""
    valid_round, valid_id = valid or locked  # type: ignore[misc]  # a pair like `locked`
    return State(Height(1), Round(round_), step, Round(locked[0]), locked[1], valid_round, valid_id)


def test_a_proposer_without_a_valid_value_fetches_its_own() -> None:
    """Lines 12 to 18: no valid value, so `getValue()`; and the round is timed."""
    state, orders = advance(a_state(Step.IDLE), a.RoundBegins(Round(3), proposing=True))

    assert (state.round, state.step) == (3, Step.PROPOSE)
    assert orders == (a.Wait(Step.PROPOSE), a.FetchOwnValue())


def test_a_proposer_offers_the_valid_value_again() -> None:
    """Lines 15 to 16 and 19: the valid value goes out with its round."""
    state = a_state(Step.IDLE, valid=(Round(1), V))

    _, orders = advance(state, a.RoundBegins(Round(3), proposing=True))

    assert orders == (a.Wait(Step.PROPOSE), a.Offer(V, Round(1)))


def test_others_wait_for_the_proposal() -> None:
    """Line 21: everyone else only starts the time-out."""
    _, orders = advance(a_state(Step.IDLE), a.RoundBegins(Round(0), proposing=False))

    assert orders == (a.Wait(Step.PROPOSE),)


@pytest.mark.parametrize(
    ("locked", "valid", "vote"),
    [
        ((-1, b""), True, V),
        ((-1, b""), False, NO_BLOCK),
        ((1, V), True, V),
        ((1, W), True, NO_BLOCK),
        ((1, V), False, NO_BLOCK),
    ],
)
def test_a_fresh_proposal_is_prevoted_unless_locked_elsewhere(
    locked: tuple[int, bytes], vote: bytes, *, valid: bool
) -> None:
    """Lines 22 to 27."""
    state, orders = advance(a_state(Step.PROPOSE, locked=locked), a.FreshProposal(V, valid))

    assert orders == (a.Prevote(vote),)
    assert state.step is Step.PREVOTE


@pytest.mark.parametrize(
    ("locked", "valid_round", "valid", "vote"),
    [
        ((-1, b""), 0, True, V),
        ((0, W), 1, True, V),
        ((1, W), 1, True, V),
        ((1, W), 0, True, NO_BLOCK),
        ((1, V), 0, True, V),
        ((0, W), 1, False, NO_BLOCK),
    ],
)
def test_a_lock_yields_to_prevotes_at_least_as_new(
    locked: tuple[int, bytes], valid_round: int, vote: bytes, *, valid: bool
) -> None:
    """Lines 28 to 33: unlocking takes a valid round that is not older than the lock."""
    condition = a.Reproposal(V, valid, Round(valid_round))

    state, orders = advance(a_state(Step.PROPOSE, locked=locked), condition)

    assert orders == (a.Prevote(vote),)
    assert state.step is Step.PREVOTE


def test_mixed_prevotes_start_a_time_out() -> None:
    """Lines 34 to 35."""
    state = a_state(Step.PREVOTE)

    assert advance(state, a.PrevotesAny()) == (state, (a.Wait(Step.PREVOTE),))


def test_prevotes_for_a_value_lock_it() -> None:
    """Lines 36 to 43 in the step prevote: lock, valid value, precommit."""
    state, orders = advance(a_state(Step.PREVOTE, locked=(0, W)), a.PrevotesForValue(V))

    assert (state.locked_round, state.locked_id) == (2, V)
    assert (state.valid_round, state.valid_id) == (2, V)
    assert state.step is Step.PRECOMMIT
    assert orders == (a.Precommit(V),)


def test_late_prevotes_make_a_value_valid_but_lock_nothing() -> None:
    """Lines 42 to 43 in the step precommit: the own precommit is spoken already."""
    state, orders = advance(a_state(Step.PRECOMMIT, locked=(0, W)), a.PrevotesForValue(V))

    assert (state.locked_round, state.locked_id) == (0, W)
    assert (state.valid_round, state.valid_id) == (2, V)
    assert orders == ()


def test_prevotes_for_nil_keep_the_lock() -> None:
    """Lines 44 to 46: precommit nil; a lock never yields to nil."""
    state, orders = advance(a_state(Step.PREVOTE, locked=(0, W)), a.PrevotesForNil())

    assert (state.locked_round, state.locked_id) == (0, W)
    assert orders == (a.Precommit(NO_BLOCK),)


@pytest.mark.parametrize("step", STEPS_OF_A_ROUND)
def test_mixed_precommits_start_a_time_out_in_any_step(step: Step) -> None:
    """Lines 47 to 48."""
    state = a_state(step)

    assert advance(state, a.PrecommitsAny()) == (state, (a.Wait(Step.PRECOMMIT),))


@pytest.mark.parametrize("step", STEPS_OF_A_ROUND)
def test_precommits_decide_in_any_step_and_of_any_round(step: Step) -> None:
    """Lines 49 to 54."""
    state, orders = advance(a_state(step), a.PrecommitsForValue(Round(0), V))

    assert orders == (a.Decide(Round(0), V),)
    assert state.step is Step.IDLE


@pytest.mark.parametrize("step", STEPS_OF_A_ROUND)
def test_a_node_follows_others_to_a_higher_round(step: Step) -> None:
    """Lines 55 to 56; never to a lower one, nor to its own again."""
    state, _ = advance(a_state(step), a.OthersAhead(Round(7), proposing=False))

    assert (state.round, state.step) == (7, Step.PROPOSE)
    for round_ in (1, 2):
        stays = advance(a_state(step), a.OthersAhead(Round(round_), proposing=False))
        assert stays == (a_state(step), ())


@pytest.mark.parametrize("step", STEPS_OF_A_ROUND)
def test_prevotes_of_a_round_that_is_over_make_a_value_valid(step: Step) -> None:
    """Lines 42 and 43, late: the step, the round and the lock stay, and nothing is said."""
    state = a_state(step, round_=3, locked=(0, W), valid=(Round(1), W))

    told = a_state(step, round_=3, locked=(0, W), valid=(Round(2), V))
    assert advance(state, a.EarlierPrevotes(Round(2), V)) == (told, ())


@pytest.mark.parametrize("round_", [0, 1, 3, 4])
def test_only_a_newer_round_that_is_over_makes_a_value_valid_late(round_: int) -> None:
    """What is valid already is as new, and the current round has rules of its own."""
    state = a_state(Step.PREVOTE, round_=3, valid=(Round(1), W))

    assert advance(state, a.EarlierPrevotes(Round(round_), V)) == (state, ())


def test_who_has_decided_needs_no_value_any_more() -> None:
    """A height that is over has no turn in which it could be proposed."""
    state = a_state(Step.IDLE, round_=3)

    assert advance(state, a.EarlierPrevotes(Round(2), V)) == (state, ())


def test_a_late_proposal_is_answered_with_a_nil_prevote() -> None:
    """Lines 57 to 60."""
    state, orders = advance(a_state(Step.PROPOSE), a.TimeoutPropose())

    assert (state.step, orders) == (Step.PREVOTE, (a.Prevote(NO_BLOCK),))


def test_late_prevotes_are_answered_with_a_nil_precommit() -> None:
    """Lines 61 to 64."""
    state, orders = advance(a_state(Step.PREVOTE), a.TimeoutPrevote())

    assert (state.step, orders) == (Step.PRECOMMIT, (a.Precommit(NO_BLOCK),))


@pytest.mark.parametrize("step", STEPS_OF_A_ROUND)
def test_late_precommits_lead_to_the_next_round(step: Step) -> None:
    """Lines 65 to 67; the lock goes along."""
    state, _ = advance(a_state(step, locked=(1, V)), a.TimeoutPrecommit(proposing=False))

    assert (state.round, state.step) == (3, Step.PROPOSE)
    assert (state.locked_round, state.locked_id) == (1, V)


@pytest.mark.parametrize(
    ("step", "condition"),
    [
        (Step.PREVOTE, a.FreshProposal(V, valid=True)),
        (Step.PRECOMMIT, a.Reproposal(V, valid=True, valid_round=NO_ROUND)),
        (Step.PROPOSE, a.PrevotesForValue(V)),
        (Step.PROPOSE, a.PrevotesForNil()),
        (Step.PRECOMMIT, a.PrevotesForNil()),
        (Step.PREVOTE, a.TimeoutPropose()),
        (Step.PRECOMMIT, a.TimeoutPropose()),
        (Step.PROPOSE, a.TimeoutPrevote()),
        (Step.PRECOMMIT, a.TimeoutPrevote()),
        (Step.IDLE, a.TimeoutPropose()),
        (Step.IDLE, a.PrecommitsForValue(Round(0), V)),
        (Step.PREVOTE, a.ValueArrives(V)),
    ],
)
def test_a_rule_is_guarded_by_its_step(step: Step, condition: a.Condition) -> None:
    """A condition out of its step changes nothing: nobody votes twice in a step."""
    assert advance(a_state(step), condition) == (a_state(step), ())
