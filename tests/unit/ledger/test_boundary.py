"""The end of a block: what is due is done, whatever the transactions were."""

import pytest

from aitbc_node.ledger import due
from aitbc_node.ledger.records import RecordPut, record_key
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Height
from aitbc_sim.town import Town, address


def test_records_are_freed_even_in_an_empty_block(town: Town) -> None:
    """Nobody has to touch a record for it to go."""
    town.apply(town.tx("alice", RecordPut("blob", b"k", b"v", 1)))

    town.apply()

    assert town.state.record(record_key("blob", b"k", address("alice"))[1]) is None


def test_a_kind_that_nobody_handles_is_our_own_mistake(town: Town) -> None:
    """It would be due for ever."""
    with pytest.raises(AssertionError, match="account"):
        due.plan(Draft(town.state), Height(3), ("account", b"x"))
