"""Moving amounts: exactly one balance changes, and never below zero."""

import pytest

from aitbc_node.ledger.balances import fill, move
from aitbc_node.ledger.objects import NATIVE, TREASURY, balance
from aitbc_node.ledger.state import Draft
from aitbc_sim.town import WEALTH, Town, address


def test_an_account_gains_and_loses(town: Town) -> None:
    """Nonce and policy stay; a new account begins with the amount."""
    draft = Draft(town.state)

    move(draft, address("alice"), NATIVE, -5)
    move(draft, address("carol"), NATIVE, 5)

    assert balance(draft.account(address("alice")).balances, NATIVE) == WEALTH - 5
    assert draft.account(address("alice")).policy is not None
    assert balance(draft.account(address("carol")).balances, NATIVE) == 5


def test_a_pool_gains_and_loses(town: Town) -> None:
    """A pool that was never filled begins empty."""
    draft = Draft(town.state)

    fill(draft, TREASURY, NATIVE, 7)
    fill(draft, TREASURY, NATIVE, -3)

    assert balance(draft.pool(TREASURY).balances, NATIVE) == 4


def test_below_zero_is_our_own_mistake(town: Town) -> None:
    """Callers check first; the assertion is the last line of defence."""
    with pytest.raises(AssertionError, match="below zero"):
        move(Draft(town.state), address("carol"), NATIVE, -1)
