"""What the tests of the ledger share."""

import pytest

from aitbc_sim.town import Town, a_genesis


@pytest.fixture
def town() -> Town:
    """Found a town where alice, bob and the mint own a thousand coins each."""
    return Town(a_genesis())
