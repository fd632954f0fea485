"""What the tests of the ledger share."""

import hypothesis
import pytest

from aitbc_sim.town import Town, a_genesis

# A deadline per example would measure the machine's load, not the ledger.
hypothesis.settings.register_profile("ledger", deadline=None)
hypothesis.settings.load_profile("ledger")


@pytest.fixture
def town() -> Town:
    """Found a town where alice, bob and the mint own a thousand coins each."""
    return Town(a_genesis())
