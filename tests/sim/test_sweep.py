"""A hundred bad days: no invariant breaks, every run recovers, and each kind of mishap occurred."""

import time

import pytest

from aitbc_sim.run import Case, Summary, rerun_difference, sweep

pytestmark = pytest.mark.sim

SEEDS = {"fast": 100, "ci": 100, "nightly": 10_000}
WORKERS = 2
SEEDS_PER_MINUTE_MIN = 100


@pytest.fixture(scope="module")
def swept(pytestconfig: pytest.Config) -> tuple[Summary, float]:
    """Run the sweep once for all tests of this file; return it with its wall time."""
    began_s = time.monotonic()
    count = SEEDS[pytestconfig.getoption("--tier")]
    summary = sweep(map(Case, range(count)), workers=WORKERS)
    return summary, time.monotonic() - began_s


@pytest.mark.proves("M12")
def test_no_seed_breaks_an_invariant_or_gets_stuck(swept: tuple[Summary, float]) -> None:
    """Agreement, equal roots, supply, no double signature, heights, replay: in each of 100 runs.

    Each run ends with a replay of every healed node's log from genesis, to the same root.
    """
    summary, _ = swept

    found = [f"{o.repeat_command}: {o.verdict}: {o.message}" for o in summary.violations]
    assert found == []
    assert summary.seeds >= SEEDS["ci"]


def test_every_kind_of_mishap_was_met(swept: tuple[Summary, float]) -> None:
    """A sweep in which, say, no log was ever torn says nothing about torn logs."""
    summary, _ = swept

    assert summary.never == ()


def test_repeated_seeds_give_the_same_trace(swept: tuple[Summary, float]) -> None:
    """Every twentieth seed ran twice, byte for byte alike."""
    summary, _ = swept

    assert summary.rerun_mismatches == ()


def test_a_hundred_seeds_take_a_minute_at_most(swept: tuple[Summary, float]) -> None:
    """Floor: 100 seeds a minute and core; in CPU time, so that a busy machine does not matter."""
    summary, wall_s = swept

    assert summary.seeds_per_minute_per_core >= SEEDS_PER_MINUTE_MIN, f"{wall_s:.0f} s on the wall"


def test_a_difference_would_be_named() -> None:
    """The same seed has no differing step."""
    assert rerun_difference(Case(7)) == ""
