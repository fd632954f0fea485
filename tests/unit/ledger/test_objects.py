"""Objects of the state: balances as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitbc_node.ledger.objects import Balances, adjusted, balance

TICKERS = ("AIT", "BBB", "mUSDA")
STEPS = st.lists(st.tuples(st.sampled_from(TICKERS), st.integers(-20, 20)), max_size=30)


@given(steps=STEPS)
def test_balances_are_the_same_whatever_their_history(steps: list[tuple[str, int]]) -> None:
    """Ascending, without zeroes, and equal to what a plain dict of sums would hold."""
    balances: Balances = ()
    sums = dict.fromkeys(TICKERS, 0)
    for ticker, delta in steps:
        if sums[ticker] + delta < 0:
            continue
        sums[ticker] += delta
        balances = adjusted(balances, ticker, delta)

    assert balances == tuple((ticker, sums[ticker]) for ticker in TICKERS if sums[ticker])
    assert all(balance(balances, ticker) == sums[ticker] for ticker in TICKERS)


@pytest.mark.parametrize("balances", [(), (("AIT", 4),), (("BBB", 9),)])
def test_a_debt_is_our_bug(balances: Balances) -> None:
    """Rules check first; a negative balance never gets into the state."""
    with pytest.raises(AssertionError, match="below zero"):
        adjusted(balances, "AIT", -5)
