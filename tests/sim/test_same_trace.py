"""The same seed is the same run, whatever order Python's sets happen to have."""

import os
import subprocess
import sys

import pytest

from aitbc_sim.profiles import draw

pytestmark = pytest.mark.sim

CHANGING = 16
"""A seed with other validators and other rules on the way."""

SEEDS = (1, 9, CHANGING)
SCRIPT = (
    "import sys; from aitbc_sim.run import Case, run; "
    "print(*(run(Case(int(seed))).digest for seed in sys.argv[1:]))"
)


def digests(hash_seed: str) -> str:
    """Run the seeds in a process whose sets of bytes are ordered by this hash seed."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, SEEDS)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_a_trace_does_not_depend_on_the_hash_seed() -> None:
    """Two processes with different hash seeds write the same trace."""
    assert digests("1") == digests("4242")


def test_one_of_the_seeds_changes_validators_and_rules() -> None:
    """Else their traces would say nothing of either."""
    assert draw(CHANGING).churn
    assert draw(CHANGING).upgrades


def test_options_are_drawn_from_the_seed_alone() -> None:
    """The same seed draws the same options; different ones draw different days."""
    assert draw(5) == draw(5)
    assert len({repr(draw(seed)) for seed in range(50)}) > 40
