"""Ten validators and forty others lose three in ten at once, then one validator more."""

import pytest

from aitbc_node.consensus.inputs import Step
from aitbc_node.consensus.timeouts import Timeouts
from aitbc_node.machine import MachineConfig
from aitbc_node.types import Round
from aitbc_sim.pump import Pump

VALIDATORS, OTHERS = 10, 40
TIMEOUTS = Timeouts()
HEIGHTS = 12
"""More than there are validators, so that each of the dead has had its turn."""


def timeouts_ms(rounds: int) -> int:
    """Sum what so many rounds take whose proposers are dead: each waits for it, then for votes."""
    steps = (Step.PROPOSE, Step.PRECOMMIT)
    return sum(TIMEOUTS.delay_ms(step, Round(n)) for n in range(rounds) for step in steps)


def longest_gap_ms(pump: Pump, witness: int, heights: int) -> int:
    """Let blocks be made; return the longest time between two as one node sees them."""
    longest, last_ms = 0, pump.now_ms
    for _ in range(heights):
        height = pump.machine(witness).view.height
        grown = pump.run(lambda at=height: pump.machine(witness).view.height > at, limit_ms=60_000)
        assert grown, f"no block behind {height}"
        longest, last_ms = max(longest, pump.now_ms - last_ms), pump.now_ms
    return longest


@pytest.mark.proves("M5")
@pytest.mark.parametrize("first", [0, 4, 7])
def test_three_of_ten_may_die_and_a_fourth_stops_the_mesh_until_it_returns(first: int) -> None:
    """Blocks go on within three rounds' time-outs; without a quorum there is none, never two."""
    config = MachineConfig(timeouts=TIMEOUTS)
    everybody = range(VALIDATORS)
    pump = Pump((1,) * VALIDATORS, followers=OTHERS, config=config, knows=_knows)
    pump.start()
    pump.run_to(3)
    dead = [*range(first, first + 3), *range(VALIDATORS, VALIDATORS + 12)]
    witness = next(index for index in everybody if index not in dead)

    for index in dead:
        pump.crash(index)
    gap_ms = longest_gap_ms(pump, witness, HEIGHTS)
    assert gap_ms <= timeouts_ms(3) + config.block_interval_ms

    fourth = next(index for index in everybody if index not in dead and index != witness)
    pump.crash(fourth)
    pump.wait(5_000)
    stopped_at = max(pump.heights())
    pump.wait(60_000)
    assert max(pump.heights()) == stopped_at, "six of ten are no quorum"

    pump.restart(fourth)
    pump.run_to(stopped_at + 3, limit_ms=60_000)
    pump.settle()
    assert len(pump.roots()) == 1


def _knows(one: int, other: int) -> bool:
    """Let validators know each other, and everybody else three of them."""
    if one == other:
        return False
    if one < VALIDATORS:
        return other < VALIDATORS
    return other < VALIDATORS and (one - other) % 3 == 0
