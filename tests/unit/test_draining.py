"""Draining: a validator is stopped right after its own block, and then lets its turns pass."""

import pytest

from aitbc_node.crypto import SigningKey
from aitbc_node.draining import HOLD_MS, Outlook, outlook
from aitbc_node.events import DrainAsked, Drained
from aitbc_node.machine import MachineConfig
from aitbc_node.types import Address, Power, Round
from aitbc_node.validators import Validator, ValidatorSet, validator_set
from aitbc_sim.pump import Pump

KEYS = sorted(SigningKey(bytes([place]) * 32).public_key for place in range(1, 5))


def a_set(*powers: int) -> ValidatorSet:
    """Build a set of so many validators, in the order of their keys."""
    operator = Address(bytes(20))
    return validator_set(
        Validator(operator, key, Power(power)) for key, power in zip(KEYS, powers, strict=False)
    )


def proposer_of(pump: Pump, height: int) -> bytes:
    """Return who proposed a final block."""
    store = pump.nodes[0].store
    assert store is not None
    final = store.block(height)  # type: ignore[arg-type]  # a test's plain number
    assert final is not None
    return final.block.header.proposer


def whose_turn_is_in(pump: Pump, heights: int) -> int:
    """Return the node that proposes after so many others."""
    walked = pump.machine(0).view.validators
    for _ in range(heights):
        walked = walked.rotated()
    key = walked.proposer(Round(0)).key
    return next(index for index in range(4) if pump.machine(index).view.own_key == key)


def drained(
    pump: Pump, index: int, *, deadline_ms: int = 60_000, limit_ms: int = 60_000
) -> Drained:
    """Have a node drained and return its answer."""
    request = pump.order(index, DrainAsked, deadline_ms=deadline_ms)
    answer = pump.answer(index, request, limit_ms=limit_ms)
    assert isinstance(answer, Drained)
    return answer


@pytest.mark.parametrize("powers", [(1, 1, 1, 1), (5, 1, 1, 1), (3, 2, 1), (1,)])
def test_the_outlook_is_the_rotation_itself(powers: tuple[int, ...]) -> None:
    """When the own turn comes is told for the whole way ahead, without walking it."""
    validators = a_set(*powers)

    for _ in range(12):
        for key in KEYS[: len(powers)]:
            walked, steps = validators, 0
            while walked.proposer(Round(0)).key != key:
                walked, steps = walked.rotated(), steps + 1
            ahead = outlook(validators, key)
            assert ahead is not None
            assert ahead.next_turn_in == steps
        validators = validators.rotated()


def test_the_longest_pause_between_two_turns() -> None:
    """Of four equal validators each pauses three heights; a sole one never does."""
    assert outlook(a_set(1, 1, 1, 1), KEYS[2]) == Outlook(2, 3)
    assert outlook(a_set(1), KEYS[0]) == Outlook(0, 0)
    assert outlook(a_set(1, 1), KEYS[3]) is None


@pytest.mark.parametrize("index", range(4))
def test_a_drain_answers_when_the_own_proposal_is_final(index: int) -> None:
    """The newest block is the node's own, and three others come before its next turn."""
    pump = Pump().start()
    pump.run_to(3)
    own = pump.machine(index).view.own_key

    answer = drained(pump, index)

    assert (answer.next_turn_in, answer.in_time) == (3, True)
    pump.run_to(answer.height)
    assert proposer_of(pump, answer.height) == own
    assert pump.notes("round.begins") == 0


@pytest.mark.parametrize("index", range(4))
def test_check_16_a_short_restart_costs_no_round(index: int) -> None:
    """A node that is back before its next turn is not missed: every block is of round 0."""
    pump = Pump().start()
    pump.run_to(3)

    answer = drained(pump, index)
    pump.crash(index)
    pump.wait(300)
    pump.restart(index)
    pump.run_to(answer.height + 3)

    assert pump.notes("round.begins") == 0


@pytest.mark.parametrize("index", range(4))
def test_check_16_a_long_restart_costs_one_round(index: int) -> None:
    """While a drained node is away, the others lose a round when its turn comes, and no other."""
    pump = Pump().start()
    pump.run_to(3)

    answer = drained(pump, index)
    pump.crash(index)
    pump.run_to(answer.height + 5)

    others = [node for node in pump.nodes if node.index != index]
    assert [node.notes["round.begins"] for node in others] == [1, 1, 1]


def test_a_drained_node_lets_its_turns_pass_for_a_bounded_time() -> None:
    """Nobody stops it: the others make its blocks in a second round, then it proposes again."""
    pump = Pump().start()
    pump.run_to(3)
    own = pump.machine(0).view.own_key

    answer = drained(pump, 0)
    pump.wait(HOLD_MS)
    held_to = min(pump.heights())
    pump.wait(10_000)

    first = answer.height + 1
    assert own not in {proposer_of(pump, height) for height in range(first, held_to)}
    assert own in {proposer_of(pump, height) for height in range(held_to, min(pump.heights()))}
    assert pump.nodes[0].notes["drain.over"] == 1


def test_a_far_turn_is_not_waited_for() -> None:
    """With blocks every ten seconds one restart fits before the next turn: stop at once."""
    config = MachineConfig(block_interval_ms=10_000)
    pump = Pump(config=config).start()
    pump.run_to(2, limit_ms=60_000)
    pump.wait(5_000)

    answers = [
        drained(pump, index, limit_ms=1)
        for index in range(4)
        if pump.machine(index).view.proposer() != pump.machine(index).view.own_key
    ]

    assert len(answers) == 3
    assert all(answer.in_time and answer.next_turn_in >= 1 for answer in answers)


def test_the_deadline_ends_the_wait() -> None:
    """A chain that stands still makes no proposal final; the operator is told that it was late."""
    pump = Pump().start()
    pump.run_to(3)
    index = whose_turn_is_in(pump, 1)

    answer = drained(pump, index, deadline_ms=0, limit_ms=1)

    assert (answer.next_turn_in, answer.in_time) == (1, False)


def test_nothing_to_wait_for_is_answered_at_once() -> None:
    """A follower has no turn; a node without quorum could not make its proposal final."""
    pump = Pump(followers=1).start()
    pump.run_to(3)
    follower = drained(pump, 4, limit_ms=1)

    pump.partition((0,), (1, 2, 3, 4))
    pump.wait(5_000)
    alone = drained(pump, 0, limit_ms=1)

    assert (follower.next_turn_in, follower.in_time) == (None, True)
    assert alone.in_time


def test_a_sole_validator_is_drained_between_two_blocks() -> None:
    """Each turn is its own, so the moment after a commit is the best there is; then it rests."""
    pump = Pump(powers=(1,)).start()
    pump.run_to(3)

    answer = drained(pump, 0)
    pump.wait(HOLD_MS // 2)

    assert (answer.next_turn_in, answer.in_time) == (0, True)
    assert pump.heights() == [answer.height]


def test_who_asks_again_takes_the_place_of_the_first() -> None:
    """A deployer that lost its connection asks once more; the first question is answered too."""
    pump = Pump().start()
    pump.run_to(3)
    index = whose_turn_is_in(pump, 2)

    first = pump.order(index, DrainAsked, deadline_ms=60_000)
    second = pump.order(index, DrainAsked, deadline_ms=60_000)

    assert not pump.answer(index, first, limit_ms=1).in_time  # type: ignore[attr-defined]  # a drain's
    assert pump.answer(index, second).in_time  # type: ignore[attr-defined]  # a drain's
