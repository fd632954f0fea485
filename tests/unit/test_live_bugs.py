"""Bugs for processes of a live mesh do what they say, as far as whole machines show it."""

import pytest

from aitbc_sim import bugs, live_bugs
from aitbc_sim.citizens import a_payment, address
from aitbc_sim.pump import Pump


def test_a_fork_is_another_final_block_and_only_when_it_is_asked_for() -> None:
    """One machine makes final what nobody else has; until then all is as it should be."""
    asked: list[bool] = []
    with live_bugs.planted(live_bugs.FORK, is_asked=lambda: bool(asked)):
        pump = Pump().start()
        pump.run_to(8)

        asked.append(True)

        with pytest.raises(AssertionError, match="two final blocks at height"):
            pump.run_to(10)


def test_what_is_lost_at_a_restart_was_final() -> None:
    """The newest blocks are gone from one machine when it comes back."""
    pump = Pump().start()
    pump.run_to(live_bugs.LOST + 5)
    before = pump.heights()[0]
    pump.crash(0)

    with live_bugs.planted(live_bugs.LOSE):
        pump.restart(0)

    assert pump.heights()[0] == before - live_bugs.LOST


def test_what_is_taken_and_lost_is_in_no_block() -> None:
    """One of ten is said to be taken, and neither waits nor comes; those before it are final."""
    raws = [a_payment("alice", "bob", 1, nonce=nonce) for nonce in range(live_bugs.FORGOTTEN_EVERY)]
    with live_bugs.planted(live_bugs.FORGET):
        pump = Pump().start()
        pump.run_to(2)

        assert pump.outcomes(0, *raws) == ["ok"] * len(raws)

        pump.run_to(pump.heights()[0] + 5)
        alice = pump.machine(0).view.state.account(address("alice"))
        assert alice is not None
        assert alice.nonce == len(raws) - 1
        assert not list(pump.machine(0).pending_raws())


@pytest.mark.parametrize("name", live_bugs.SHARED)
def test_a_bug_that_the_simulator_has_too_is_the_same_one(name: str) -> None:
    """It is planted from its table, and gone afterwards."""
    owner, part, replacement = bugs.BUGS[name].parts[0]
    healthy = getattr(owner, part)

    with live_bugs.planted(name):
        assert getattr(owner, part) is replacement
    assert getattr(owner, part) is healthy
