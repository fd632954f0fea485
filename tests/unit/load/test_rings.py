"""Transactions are dealt out in the order of their nonces, each account at one node."""

from hypothesis import given
from hypothesis import strategies as st

from aitbc_load.arrivals import Arrivals
from aitbc_load.rings import Rings, accounts_for, each_for


@given(st.integers(1, 7), st.sampled_from([1, 3, 50]), st.floats(1, 2_000), st.floats(0.5, 5))
def test_a_schedule_never_runs_out(nodes: int, batch: int, rate: float, for_s: float) -> None:
    """Each number is dealt once, an account's in order and at one node; enough were signed."""
    arrivals = Arrivals(rate, for_s, batch)
    accounts = accounts_for(rate, nodes, batch=batch)
    each = each_for(arrivals.count, batch, nodes, accounts)
    rings = Rings(nodes, accounts, each=each)
    last: dict[int, int] = {}
    homes: dict[int, int] = {}

    for _ in range(arrivals.count):
        node, numbers = rings.deal(batch)
        assert len({number // each for number in numbers}) == batch, "one of each account"
        for number in numbers:
            account, place = divmod(number, each)
            assert place == last.get(account, -1) + 1
            last[account] = place
            assert homes.setdefault(account, node) == node == rings.home_of(number)

    assert sum(rings.used()) == arrivals.asked
    assert each * accounts >= arrivals.asked
