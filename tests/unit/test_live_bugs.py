"""Bugs for processes of a live mesh do what they say, as far as whole machines show it."""

from pathlib import Path

import pytest

from aitbc_node.storage.store import Store
from aitbc_sim import bugs, live_bugs
from aitbc_sim.citizens import a_payment, address
from aitbc_sim.pump import Pump


def test_a_fork_is_another_final_block_and_only_when_it_is_asked_for() -> None:
    """One machine makes final what nobody else has; until then all is as it should be."""
    asked = [live_bugs.NEVER]
    with live_bugs.planted(live_bugs.FORK, asked_from=lambda: asked[-1]):
        pump = Pump().start()
        pump.run_to(8)

        asked.append(9)

        with pytest.raises(AssertionError, match="two final blocks at height"):
            pump.run_to(10)


def test_what_is_lost_in_a_crash_was_final() -> None:
    """The newest blocks are gone from one machine when it comes back, and it can go on from there.

    The log holds them no more, so the machine starts again whatever was written behind the loss.
    """
    with live_bugs.planted(live_bugs.LOSE):
        pump = Pump().start()
        pump.run_to(live_bugs.LOST + 5)
        before = pump.heights()[0]

        pump.restart(0)

        assert pump.heights()[0] == before - live_bugs.LOST
        pump.run_to(before + 2)
        caught_up = pump.heights()[0]
        pump.restart(0)
        assert pump.heights()[0] == caught_up - live_bugs.LOST


def test_who_ends_well_loses_nothing() -> None:
    """A deploy stops a node in order, so it does not show the bug; nor does who only reads."""
    with live_bugs.planted(live_bugs.LOSE):
        pump = Pump().start()
        pump.run_to(live_bugs.LOST + 5)
        node = pump.nodes[0]
        reader = Store(node.data, None)
        reader.recover()
        node.store.flush()

        pump.restart(0)

        assert (reader.last_height, pump.heights()[0]) == (pump.heights()[1],) * 2


def test_coins_come_from_nothing_from_a_height_on() -> None:
    """The blocks below it are those of a sound build: a replay of them finds no difference."""
    asked = [live_bugs.NEVER]
    with live_bugs.planted(live_bugs.MINT_LATER, asked_from=lambda: asked[-1]):
        pump = Pump().start()
        pump.run_to(2)
        asked.append(pump.heights()[0] + 6)

        pump.outcomes(0, a_payment("alice", "bob", 1, nonce=0))
        pump.run_to(asked[-1] - 1)
        before = pump.machine(0).view.state.tally.violations()
        pump.outcomes(0, a_payment("alice", "bob", 1, nonce=1))
        pump.run_to(asked[-1] + 5)

        assert not before
        assert pump.machine(0).view.state.tally.violations()


def test_a_file_asks_from_the_height_in_it(tmp_path: Path) -> None:
    """No file asks for nothing, an empty one at once."""
    path = tmp_path / "asked"
    asked_from = live_bugs.written_in(path)

    before = asked_from()
    path.touch()
    at_once = asked_from()
    path.write_text("40\n", encoding="utf-8")

    assert (before, at_once, asked_from()) == (live_bugs.NEVER, 1, 40)


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
