"""Teeth: planted bugs turn the named checker red, and the same seed without the bug is green."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from aitbc_sim.bugs import BUGS
from aitbc_sim.history import History
from aitbc_sim.options import Options
from aitbc_sim.run import PASS, find_bug, run
from aitbc_sim.world import World

pytestmark = pytest.mark.sim

MORE_SEEDS = range(1_000, 1_040)
"""Where a bug is looked for when a change of the node has moved it away from its known seeds."""

BUGS_MIN = 12

ROWS = [
    (int(row[0]), row[1])
    for line in (Path(__file__).parent / "seeds.txt").read_text().splitlines()
    if line and not line.startswith("#")
    for row in [line.split(maxsplit=2)]
]


FINDINGS = {
    "a certificate that what was stored behind it, evidence, did not make durable": (
        159,
        Options(
            full_nodes=1,
            blocks=10,
            timeout_ms=500,
            delay_ms=(1, 5),
            duplicate=0.05,
            clog=0.01,
            sync_ms=(5, 60),
            crash_every_ms=5_000,
            crash_all=0.2,
            power_loss=0.0,
            full_every_ms=4_000,
            partition_every_ms=4_000,
            byzantine=((0, "equivocate"),),
            tx_every_ms=60,
        ),
    ),
    "a node that missed the last block, without whose vote there was no next one": (
        36,
        Options(
            powers=(3, 2, 2, 2),
            interval_ms=100,
            loss=(
                ("prevote", 0.5),
                ("precommit", 0.9),
                ("summary", 0.7),
                ("status", 0.7),
                ("finals", 0.7),
            ),
            duplicate=0.05,
            crash_every_ms=2_000,
            power_loss=0.0,
        ),
    ),
}


@pytest.mark.parametrize("what", sorted(FINDINGS))
def test_a_day_that_found_something_ends_well_now(what: str) -> None:
    """What it showed is mended: no violation, and the healed nodes go on together."""
    seed, options = FINDINGS[what]

    World(seed, options, History()).run()


def test_at_least_a_dozen_bugs_can_be_planted() -> None:
    """Each has a checker that must catch it; the ids of the tests below list both."""
    assert len(BUGS) >= BUGS_MIN
    assert {bug.checker for bug in BUGS.values()} == {
        "agreement",
        "certificate",
        "height_monotone",
        "liveness",
        "no_double_sign",
        "no_honest_slash",
        "rules_known",
        "state_root_equal",
        "supply_conserved",
        "tx_once",
        "validator_set",
    }


@pytest.mark.parametrize(
    "bug", [pytest.param(bug, id=f"{bug} by {BUGS[bug].checker}") for bug in sorted(BUGS)]
)
def test_a_planted_bug_turns_its_checker_red_and_its_seed_is_green_without_it(
    bug: str, record_property: Callable[[str, object], None]
) -> None:
    """The named checker says so, not just any, and it is the bug's doing."""
    known = [seed for seed, name in ROWS if name == bug]

    found = find_bug(bug, chain(known, MORE_SEEDS))

    assert found is not None, f"{len(known) + len(MORE_SEEDS)} seeds and {bug} was not noticed"
    runs, outcome = found
    record_property("found", f"run {runs}: {outcome.repeat_command}: {outcome.message}")
    assert outcome.verdict == BUGS[bug].checker
    assert run(outcome.case.without_bug()).verdict == PASS
