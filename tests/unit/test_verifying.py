"""Each transaction of a batch gets the verdicts on its own signatures, or nobody goes on."""

import pytest

from aitbc_node.ledger.transactions import Parsed, parse
from aitbc_node.verifying import Item, Verifying
from aitbc_sim.citizens import a_payment


def signed(sender: str, receiver: str) -> Parsed:
    """Make a payment that one key signs."""
    parsed = parse(a_payment(sender, receiver, 1, nonce=0))
    assert isinstance(parsed, Parsed)
    return parsed


ALICES, BOBS = signed("alice", "bob"), signed("bob", "alice")


def under_way() -> tuple[Verifying, int]:
    """Ask for the verdicts on two transactions of one key each; return the batch's number, too."""
    verifying = Verifying()
    items = [Item(parsed, None, None) for parsed in (ALICES, BOBS)]
    for item in items:
        verifying.add(item)
    (asked,) = verifying.depart(items)
    assert len(asked.checks) == 2
    return verifying, asked.batch


@pytest.mark.parametrize("good", [(True, False), (False, True)])
def test_verdicts_are_of_their_own_transactions(good: tuple[bool, bool]) -> None:
    """A bad signature spoils its own transaction and no other."""
    verifying, number = under_way()

    landed = verifying.land(number, good)

    assert [(item.parsed, is_good) for item, is_good in landed] == [
        (ALICES, good[0]),
        (BOBS, good[1]),
    ]


@pytest.mark.parametrize("good", [(), (True,), (True, True, True)])
def test_signatures_without_a_verdict_are_not_good(good: tuple[bool, ...]) -> None:
    """Too few or too many: which belongs to which is not known."""
    verifying, number = under_way()

    with pytest.raises(AssertionError, match="has a verdict"):
        verifying.land(number, good)
