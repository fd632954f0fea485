"""Teeth: planted bugs turn the named checker red, and the same seed without the bug is green."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from aitbc_sim.bugs import BUGS, CHECKER_OF
from aitbc_sim.run import PASS, Case, find_bug, run

pytestmark = pytest.mark.sim

MORE_SEEDS = range(1_000, 1_040)
"""Where a bug is looked for when a change of the node has moved it away from its known seeds."""

ROWS = [
    (int(row[0]), row[1])
    for line in (Path(__file__).parent / "seeds.txt").read_text().splitlines()
    if line and not line.startswith("#")
    for row in [line.split(maxsplit=2)]
]


@pytest.mark.parametrize("seed", [seed for seed, bug in ROWS if bug == "none"])
def test_a_seed_that_found_something_passes_now(seed: int) -> None:
    """What it showed is mended."""
    outcome = run(Case(seed))

    assert outcome.verdict == PASS, f"{outcome.repeat_command}: {outcome.message}"


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_planted_bug_turns_its_checker_red_and_its_seed_is_green_without_it(
    bug: str, record_property: Callable[[str, object], None]
) -> None:
    """Skipping the lock, or forgetting it at a restart, makes two blocks of one height final."""
    known = [seed for seed, name in ROWS if name == bug]

    found = find_bug(bug, chain(known, MORE_SEEDS))

    assert found is not None, f"{len(known) + len(MORE_SEEDS)} seeds and {bug} was not noticed"
    runs, outcome = found
    record_property("found", f"run {runs}: {outcome.repeat_command}: {outcome.message}")
    assert outcome.verdict == CHECKER_OF[bug]
    assert run(outcome.case.without_bug()).verdict == PASS
