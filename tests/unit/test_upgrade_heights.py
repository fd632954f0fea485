"""Whole machines and an upgrade height: who knows the rules goes on, who does not stops cleanly."""

import pytest

from aitbc_node.chain import Chain
from aitbc_node.events import Halt, Persist, Timer, TimerFired
from aitbc_node.ledger.motions import ScheduleUpgrade
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.types import Height, Round
from aitbc_sim.citizens import an_act
from aitbc_sim.pump import Pump
from aitbc_sim.testing import fake_verify

FOUNDERS = ("v0", "v1", "v2", "v3")
NEXT = APP_VERSION + 1
AT = Height(12)


def a_mesh(*, know: tuple[int, ...]) -> Pump:
    """Run four validators, some of a build that knows the next rules, that decide on height 12."""
    pump = Pump(rich=FOUNDERS, followers=1)
    pump.knows_rules = dict.fromkeys(know, NEXT)
    pump.start(0, 1, 2, 3)
    pump.run_to(1)
    motion = ProposalSubmit(ScheduleUpgrade(AT, NEXT))
    assert pump.outcomes(0, an_act("v0", motion, nonce=0)) == ["ok"]
    pump.run_to(3)
    [(_, name)] = [key for key, _ in pump.machine(0).view.state.items() if key[0] == "proposal"]
    for index in range(3):
        vote = an_act(FOUNDERS[index], ProposalVote(name, yes=True), nonce=int(index == 0))
        assert pump.outcomes(index, vote) == ["ok"]
    pump.run_to(8)
    assert pump.machine(0).view.state.upgrade is not None
    return pump


@pytest.mark.proves("E42")
def test_a_node_that_does_not_know_the_rules_stops_before_their_height() -> None:
    """It says what it needs, has every block up to there, and the others go on."""
    pump = a_mesh(know=(0, 1, 2))

    pump.run(lambda: bool(pump.nodes[3].halted))
    pump.run_to(AT + 5)
    pump.settle()

    assert pump.nodes[3].halted == [Halt(NEXT, AT)]
    assert pump.nodes[3].store.last_height == AT - 1
    headers = [pump.nodes[0].store.block(Height(h)).block.header for h in (AT - 1, AT)]
    assert [header.app_version for header in headers] == [APP_VERSION, NEXT]
    assert len(pump.roots()) == 1


def test_until_its_process_has_ended_such_a_node_stands_still() -> None:
    """It says why, takes no transaction, and enters no height."""
    pump = a_mesh(know=(0, 1, 2))
    machine = pump.machine(3)
    pump.run(lambda: bool(pump.nodes[3].halted))
    ticks = TimerFired(wall_ms=0, timer=Timer("tick", Height(0), Round(0)))

    effects = [
        effect
        for after_ms in range(0, 5_000, 250)
        for effect in machine.step(ticks, now_ms=pump.now_ms + after_ms)
    ]

    assert machine.view.diverged == f"upgrade-needed {NEXT}"
    assert (machine.view.height, machine.view.step) == (AT - 1, "idle")
    assert not any(isinstance(effect, Persist) for effect in effects)


def test_a_restart_of_the_same_build_says_the_same_and_a_newer_one_goes_on() -> None:
    """On the same data: nothing has to be fetched again or removed."""
    pump = a_mesh(know=(0, 1, 2))
    pump.run(lambda: bool(pump.nodes[3].halted))

    pump.restart(3)
    again = list(pump.nodes[3].halted)
    pump.knows_rules[3] = NEXT
    pump.restart(3)
    pump.run_to(AT + 8)
    pump.settle()

    assert again == [Halt(NEXT, AT)] * 2
    assert len(pump.heights()) == 4
    assert len(pump.roots()) == 1


def test_who_comes_later_applies_what_it_knows_and_stops_there() -> None:
    """Catching up ends at the same place, however far ahead the others are."""
    pump = a_mesh(know=(0, 1, 2))
    pump.run(lambda: bool(pump.nodes[3].halted))
    pump.run_to(AT + 5)

    pump.start(4)
    pump.run(lambda: bool(pump.nodes[4].halted))

    assert pump.nodes[4].halted == [Halt(NEXT, AT)]
    assert pump.nodes[4].store.last_height == AT - 1


def test_when_hardly_anybody_knows_the_rules_the_chain_waits_for_them() -> None:
    """Nobody makes a block of rules that it does not know; new builds go on where all stopped."""
    pump = a_mesh(know=(0,))
    pump.run(lambda: all(pump.nodes[index].halted for index in (1, 2, 3)))
    pump.wait(5_000)
    waited = pump.machine(0).view.height

    pump.knows_rules = dict.fromkeys(range(4), NEXT)
    for index in (1, 2, 3):
        pump.restart(index)
    pump.run_to(AT + 3, limit_ms=60_000)
    pump.settle()

    assert waited == AT - 1
    assert len(pump.roots()) == 1


def test_no_block_of_unknown_rules_is_judged() -> None:
    """Not even by the chain alone, as a replay of the log would."""
    pump = a_mesh(know=(0, 1, 2))
    pump.run_to(AT - 1)
    pump.run(lambda: bool(pump.nodes[3].halted))
    pump.run_to(AT + 1)
    chain = Chain(pump.genesis, fake_verify)
    blocks = pump.nodes[0].store.finals_above(Height(0))

    for final in blocks:
        if chain.upgrade_needed:
            assert chain.fault_of_final(final) == ""
            with pytest.raises(Exception, match=f"upgrade-needed {NEXT}"):
                chain.replay(final)
            break
        chain.replay(final)

    assert (chain.height, chain.upgrade_needed) == (AT - 1, NEXT)
