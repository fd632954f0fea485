"""What validators decide at once: other rules from a height on, and the end of an epoch."""

import pytest

from aitbc_node.codes import Code
from aitbc_node.events import TxReceipt
from aitbc_node.ledger import motions
from aitbc_node.ledger.motions import (
    CancelUpgrade,
    ChangeParameter,
    EndEpoch,
    Motion,
    PauseAsset,
    ScheduleUpgrade,
)
from aitbc_node.ledger.objects import DECIDED, Upgrade
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.types import Height
from aitbc_sim.town import VALIDATOR_NAMES, Town, a_genesis

NEXT = APP_VERSION + 1


@pytest.fixture
def hall() -> Town:
    """Found a town of four equals with epochs of fifty blocks."""
    params = Params(epoch_blocks=50, proposal_blocks=20, unbonding_blocks=1_200)
    return Town(a_genesis(rich=VALIDATOR_NAMES, params=params))


def submit(town: Town, motion: Motion) -> TxReceipt:
    """Let north ask for a decision."""
    return town.apply(town.tx("north", ProposalSubmit(motion))).receipts[0]


def vote(town: Town, asked: TxReceipt, *voters: str) -> list[TxReceipt]:
    """Let some say yes in one block."""
    name = bytes.fromhex(asked.events[0][1])
    return list(
        town.apply(*(town.tx(who, ProposalVote(name, yes=True)) for who in voters)).receipts
    )


def decide(town: Town, motion: Motion) -> list[TxReceipt]:
    """Ask, and let three of four say yes."""
    asked = submit(town, motion)
    assert asked.code == Code.OK
    return vote(town, asked, "north", "east", "south")


def test_three_of_four_set_the_height_of_other_rules(hall: Town) -> None:
    """Planned at once, in force from that height on, whatever epoch that is."""
    done = decide(hall, ScheduleUpgrade(Height(7), NEXT))

    assert done[2].events[1][0] == "proposal.passed"
    assert hall.state.upgrade == Upgrade(Height(7), NEXT)
    while hall.height < 5:
        hall.apply()
    assert hall.state.chain.app_version == APP_VERSION
    hall.apply()
    assert (hall.state.chain.app_version, hall.state.upgrade) == (NEXT, None)


def test_half_of_the_power_plans_nothing(hall: Town) -> None:
    """More than two thirds of all of it are needed."""
    vote(hall, submit(hall, ScheduleUpgrade(Height(30), NEXT)), "north", "east")

    assert hall.state.upgrade is None


def test_a_plan_is_taken_back_by_another_decision(hall: Town) -> None:
    """As long as its height is ahead."""
    decide(hall, ScheduleUpgrade(Height(30), NEXT))
    decide(hall, CancelUpgrade())

    while hall.height < 31:
        hall.apply()

    assert hall.state.chain.app_version == APP_VERSION


def test_a_vote_that_comes_too_late_decides_nothing(hall: Town) -> None:
    """The height has passed: who votes learns it, and no node stops for it."""
    asked = submit(hall, ScheduleUpgrade(Height(4), NEXT))
    vote(hall, asked, "north", "east")
    hall.apply()

    late = vote(hall, asked, "south")[0]

    assert (late.code, late.events) == (Code.E_EXPIRED, (("failed", "0", "id"),))
    assert hall.state.upgrade is None


def test_of_two_plans_for_the_same_rules_the_second_comes_too_late(hall: Town) -> None:
    """Rules that are in force already cannot be planned."""
    second = submit(hall, ScheduleUpgrade(Height(19), NEXT))
    decide(hall, ScheduleUpgrade(Height(6), NEXT))
    while hall.height < 6:
        hall.apply()

    late = vote(hall, second, "north", "east", "south")[2]

    assert late.code == Code.E_EXPIRED
    assert hall.state.upgrade is None


def test_an_epoch_ends_with_the_block_that_decides_it(hall: Town) -> None:
    """What waits for its end takes effect, rewards are paid, and nothing of it is left."""
    decide(hall, ChangeParameter("tx_ttl_blocks", 77))
    assert hall.state.params.tx_ttl_blocks != 77

    decide(hall, EndEpoch())

    assert hall.state.params.tx_ttl_blocks == 77
    assert hall.state.epoch_log.rows == ()
    assert hall.state.lookup((DECIDED, b"")) is None
    assert hall.height < 50


@pytest.mark.parametrize(
    ("motion", "code", "field"),
    [
        (ScheduleUpgrade(Height(30), APP_VERSION), Code.E_AMOUNT, "motion.app_version"),
        (ScheduleUpgrade(Height(1), NEXT), Code.E_EXPIRED, "motion.height"),
        (CancelUpgrade(), Code.E_UNKNOWN, "motion"),
    ],
)
def test_refusals(hall: Town, motion: Motion, code: Code, field: str) -> None:
    """Each rule has its code and names its field."""
    receipt = submit(hall, motion)

    assert (receipt.code, receipt.events) == (code, (("failed", "0", field),))


def test_a_pause_and_plans_act_at_once_and_parameters_do_not() -> None:
    """Parameters and seats keep to the ends of epochs, so that one epoch has one set of rules."""
    assert motions.acts_at_once(PauseAsset("AIT", paused=True))
    assert motions.acts_at_once(EndEpoch())
    assert not motions.acts_at_once(ChangeParameter("tx_ttl_blocks", 77))
