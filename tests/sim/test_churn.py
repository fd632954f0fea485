"""Validators that come and go, and rules that change: nobody forks, and those who vote go on."""

import pytest

from aitbc_sim.run import PASS, Case, Summary, run, sweep

pytestmark = pytest.mark.sim

SEEDS = {"fast": 4, "ci": 4, "nightly": 200}


@pytest.fixture(scope="module")
def swept(pytestconfig: pytest.Config) -> Summary:
    """Run days on which hardly anybody stays, once for all tests of this file."""
    count = SEEDS[pytestconfig.getoption("--tier")]
    return sweep([Case(seed, profile="churn") for seed in range(count)])


def test_a_set_that_changes_all_the_time_is_safe_and_goes_on(swept: Summary) -> None:
    """Each height is judged by its own voters; bonds, keys and votes on members move them."""
    found = [f"{o.repeat_command}: {o.verdict}: {o.message}" for o in swept.violations]

    assert found == []
    assert swept.counts["set changed"] >= 3 * swept.seeds


def test_builds_that_lack_the_rules_end_before_them_and_are_replaced() -> None:
    """Some have them in advance; the others halt at the height, and the chain is taken up again."""
    outcome = run(Case(1, profile="churn", changes={"upgrades": True}))

    assert (outcome.verdict, outcome.message) == (PASS, "")
    assert outcome.counts["halted before unknown rules"] > 0


def test_an_epoch_is_ended_at_once_where_that_is_decided(swept: Summary) -> None:
    """The set changes between two regular ends, and the checker knows why."""
    assert swept.counts["epoch ended by decision"] > 0
