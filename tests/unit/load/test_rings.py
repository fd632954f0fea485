"""Transactions are dealt out in the order of their nonces, each account at one node."""

from hypothesis import given
from hypothesis import strategies as st

from aitbc_load.arrivals import Arrivals
from aitbc_load.rings import Rings, accounts_for, each_for


@given(st.integers(1, 7), st.sampled_from([1, 3, 50]), st.floats(1, 2_000), st.floats(0.5, 5))
def test_a_schedule_never_runs_out(nodes: int, batch: int, rate: float, for_s: float) -> None:
    """Each number is dealt once, an account's in order and at one node; enough were paid for."""
    arrivals = Arrivals(rate, for_s, batch)
    accounts = accounts_for(rate, nodes, batch=batch)
    each = each_for(arrivals.count, batch, nodes, accounts)
    rings = Rings(nodes, accounts, batch=batch)
    last: dict[int, int] = {}
    homes: dict[int, int] = {}

    for place in range(arrivals.count):
        assert rings.deal() == place
        numbers = range(place * batch, (place + 1) * batch)
        owners = [rings.owner_of(number) for number in numbers]
        assert len({account for account, _ in owners}) == batch, "one of each account"
        for number, (account, before) in zip(numbers, owners, strict=True):
            assert 0 <= account < accounts
            assert before == last.get(account, -1) + 1
            last[account] = before
            home = rings.home_of(number)
            assert homes.setdefault(account, home) == home == place % nodes

    assert max(last.values()) < each


@given(st.integers(1, 7), st.sampled_from([1, 3, 50]), st.integers(0, 300))
def test_what_was_dealt_out_is_found_by_its_account(nodes: int, batch: int, dealt: int) -> None:
    """Each one once, and in the order of the account's nonces; nothing that is still to come."""
    accounts = accounts_for(4 * 60, nodes, batch=batch)
    rings = Rings(nodes, accounts, batch=batch)
    for _ in range(dealt):
        rings.deal()

    found = [
        (number, account) for account in range(accounts) for number in rings.numbers_of(account)
    ]

    assert sorted(number for number, _ in found) == list(range(dealt * batch))
    befores: dict[int, int] = {}
    for number, account in found:
        before = befores.get(account, 0)
        assert rings.owner_of(number) == (account, before)
        befores[account] = before + 1
