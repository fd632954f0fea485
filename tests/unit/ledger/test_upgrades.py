"""Upgrade heights: the state says from which height on other rules hold."""

from aitbc_node.ledger import upgrades
from aitbc_node.ledger.objects import Upgrade
from aitbc_node.ledger.state import Draft
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.types import Height
from aitbc_sim.town import Town


def test_other_rules_begin_at_their_height_and_not_before(town: Town) -> None:
    """The state after the block before it names them; the plan is gone then."""
    draft = Draft(town.state)
    upgrades.plan(draft, Height(7), APP_VERSION + 1)

    upgrades.activate(draft, Height(5))
    before = (draft.chain.app_version, draft.upgrade)
    upgrades.activate(draft, Height(6))

    assert before == (APP_VERSION, Upgrade(Height(7), APP_VERSION + 1))
    assert (draft.chain.app_version, draft.upgrade) == (APP_VERSION + 1, None)


def test_a_plan_takes_the_place_of_another_and_can_be_taken_back(town: Town) -> None:
    """There is never more than one."""
    draft = Draft(town.state)
    upgrades.plan(draft, Height(7), APP_VERSION + 1)
    upgrades.plan(draft, Height(9), APP_VERSION + 2)
    upgrades.activate(draft, Height(6))
    replaced = draft.upgrade
    upgrades.cancel(draft)

    upgrades.activate(draft, Height(8))

    assert replaced == Upgrade(Height(9), APP_VERSION + 2)
    assert (draft.chain.app_version, draft.upgrade) == (APP_VERSION, None)
