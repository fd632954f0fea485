"""Nodes that were away fetch a state in place of blocks, and begin at one that they have kept."""

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
SEEDS = {"fast": (3,), "ci": (3,), "nightly": tuple(range(100))}


def test_who_was_away_goes_on_from_a_state_of_the_others(pytestconfig: pytest.Config) -> None:
    """The same checkers hold: one chain, one root, and a log that leads to where its node is."""
    seeds = SEEDS[pytestconfig.getoption("--tier")]

    outcomes = [run(Case(seed, profile="hard", changes=BEHIND)) for seed in seeds]

    assert [f"{o.repeat_command}: {o.message}" for o in outcomes if o.verdict != PASS] == []
    assert sum(o.counts.get("state fetched", 0) for o in outcomes) > 0


def test_a_trace_with_fetched_states_is_repeated() -> None:
    """A state enters the trace by its root."""
    case = Case(3, profile="hard", changes=BEHIND)

    assert run(case).digest == run(case).digest
