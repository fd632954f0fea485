"""Nodes that were away fetch a state in place of blocks, and begin at one that they have kept."""

from functools import cache
from typing import Any

import pytest

from aitbc_sim.run import PASS, Case, run

pytestmark = pytest.mark.sim

BEHIND: dict[str, Any] = {
    "state_every": 3,
    "state_distance": 4,
    "full_nodes": 2,
    "crash_every_ms": 1_500,
    "down_ms": [2_000, 5_000],
    "blocks": 40,
    "interval_ms": 100,
}
SEEDS = 12
"""About every third of them makes a node fetch a state: so many without one would be no chance."""


@cache
def with_a_fetched_state() -> int:
    """Find a seed under which a node fetches a state; every run on the way there must pass."""
    for seed in range(SEEDS):
        outcome = run(Case(seed, profile="hard", changes=BEHIND))
        assert outcome.verdict == PASS, f"{outcome.repeat_command}: {outcome.message}"
        if outcome.counts.get("state fetched", 0):
            return seed
    pytest.fail(f"no node fetched a state in {SEEDS} runs")


def test_who_was_away_goes_on_from_a_state_of_the_others() -> None:
    """The same checkers hold: one chain, one root, and a log that leads to where its node is."""
    assert with_a_fetched_state() in range(SEEDS)


@pytest.mark.nightly
def test_states_are_fetched_under_a_hundred_seeds() -> None:
    """None of them breaks a rule."""
    outcomes = [run(Case(seed, profile="hard", changes=BEHIND)) for seed in range(100)]

    assert [f"{o.repeat_command}: {o.message}" for o in outcomes if o.verdict != PASS] == []
    assert sum(o.counts.get("state fetched", 0) for o in outcomes) > SEEDS


def test_a_trace_with_fetched_states_is_repeated() -> None:
    """A state enters the trace by its root."""
    case = Case(with_a_fetched_state(), profile="hard", changes=BEHIND)

    assert run(case).digest == run(case).digest
