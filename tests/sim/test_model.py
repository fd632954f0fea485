"""Every order of messages of four validators, one of them a liar, over a few rounds."""

from typing import get_args

import pytest
from msgspec.structs import replace

from aitbc_node.blocks import NO_BLOCK
from aitbc_node.consensus import algorithm
from aitbc_node.consensus.algorithm import Condition, Order, Reproposal, State
from aitbc_node.consensus.electorate import Electorate
from aitbc_node.consensus.messages import NO_ROUND
from aitbc_sim.model import VALUES, Advance, Votes, explore

pytestmark = pytest.mark.sim

STATES_MIN = 15_000

A, B = VALUES
NIL = NO_BLOCK
FIRST_ROUNDS: dict[str, tuple[Votes, ...]] = {
    "prevotes for a that nobody saw": ((A, NIL), (A, NIL), (NIL, NIL)),
    "one locked": ((A, A), (A, NIL), (NIL, NIL)),
    "one locked, one for b": ((A, A), (A, NIL), (B, NIL)),
    "two locked: a may be final": ((A, A), (A, A), (B, NIL)),
}
"""How round 0 may have ended."""


def skip_lock(state: State, condition: Condition) -> tuple[State, tuple[Order, ...]]:
    """Judge proposals as if nothing was locked."""
    free = replace(state, locked_round=NO_ROUND, locked_id=NO_BLOCK)
    is_proposal = isinstance(condition, algorithm.FreshProposal | Reproposal)
    return algorithm.advance(free if is_proposal else state, condition)


def ignore_valid_round(state: State, condition: Condition) -> tuple[State, tuple[Order, ...]]:
    """Give the lock up for prevotes of whatever round, also of one before the lock."""
    if isinstance(condition, Reproposal):
        condition = replace(condition, valid_round=state.round)
    return algorithm.advance(state, condition)


def lock_nothing(state: State, condition: Condition) -> tuple[State, tuple[Order, ...]]:
    """Precommit without keeping the lock."""
    after, orders = algorithm.advance(state, condition)
    return replace(after, locked_round=NO_ROUND, locked_id=NO_BLOCK), orders


def lock_late(state: State, condition: Condition) -> tuple[State, tuple[Order, ...]]:
    """Take prevotes of a round that is over for a lock, and give up a newer one for them."""
    after, orders = algorithm.advance(state, condition)
    if isinstance(condition, algorithm.EarlierPrevotes):
        after = replace(after, locked_round=condition.round, locked_id=condition.block_id)
    return after, orders


def test_no_order_of_messages_makes_two_values_final() -> None:
    """All states that two rounds can reach, whatever the liar and the network do."""
    result = explore(rounds=2)

    assert result.conflict == ""
    assert result.states >= STATES_MIN


@pytest.mark.parametrize("first", FIRST_ROUNDS)
def test_two_more_rounds_change_nothing(first: str) -> None:
    """Three rounds, the first of which has ended in a certain way."""
    result = explore(rounds=3, first=FIRST_ROUNDS[first])

    assert result.conflict == ""
    assert result.states > 1_000


@pytest.mark.parametrize("bug", [skip_lock, lock_nothing])
def test_without_the_lock_two_values_can_be_final(bug: Advance) -> None:
    """The lock is needed: without it, or its keeping, two rounds are enough for a fork."""
    assert explore(rounds=2, advance=bug).conflict.startswith("two values can be final")


def test_a_lock_must_not_yield_to_older_prevotes() -> None:
    """To ignore the valid round is a fork: prevotes of round 0 undo a lock of round 1."""
    first = FIRST_ROUNDS["prevotes for a that nobody saw"]

    assert explore(rounds=3, first=first, advance=ignore_valid_round).conflict


def test_prevotes_of_a_round_that_is_over_must_not_undo_a_newer_lock() -> None:
    """What becomes valid late is there to be proposed; as a lock it would be a fork."""
    first = FIRST_ROUNDS["prevotes for a that nobody saw"]

    assert explore(rounds=3, first=first, advance=lock_late).conflict


def test_two_votes_of_four_are_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quorum of 2f makes two values final within one round."""
    monkeypatch.setattr(Electorate, "is_quorum", lambda _self, power: power >= 2)

    assert explore(rounds=1).conflict


def test_the_model_knows_every_rule_of_the_table() -> None:
    """A condition that is added to the algorithm must be added to the model, too."""
    known = {
        "FreshProposal",
        "Reproposal",
        "PrevotesForValue",
        "EarlierPrevotes",
        "PrevotesForNil",
        "TimeoutPropose",
        "TimeoutPrevote",
        "TimeoutPrecommit",
        "OthersAhead",
    }
    implied = {"RoundBegins", "ValueArrives", "PrevotesAny", "PrecommitsAny", "PrecommitsForValue"}

    assert {kind.__name__ for kind in get_args(Condition)} == known | implied
