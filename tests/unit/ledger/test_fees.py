"""Fees: what a transaction costs, who gets it, and how the price follows demand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitbc_node.codes import Code
from aitbc_node.ledger import fees
from aitbc_node.ledger.objects import Fees, balance
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.transactions import gas_of
from aitbc_node.ledger.transfers import TRANSFER_GAS, Output, Transfer
from aitbc_node.types import Amount, Gas
from aitbc_sim.town import VALIDATOR_NAMES, WEALTH, Town, a_genesis, address, pay, supply


def test_a_transfer_at_the_base_price_costs_210() -> None:
    """21 000 gas at 10 000 thousandths per 1000 gas."""
    assert fees.fee_of(TRANSFER_GAS, Params().gas_base_price) == 210


def test_a_fraction_of_a_base_unit_is_paid_as_a_whole_one() -> None:
    """Nothing is ever free by rounding."""
    assert fees.fee_of(1, 1) == 1
    assert fees.fee_of(0, 10_000) == 0


def test_gas_grows_with_outputs_and_bodies(town: Town) -> None:
    """Each further output and each body of a bundle is paid for."""
    outs = tuple(Output(address("bob"), "AIT", Amount(1)) for _ in range(3))

    assert gas_of(town.draft("alice", Transfer(outs))) == 21_000 + 2 * 5_000
    assert gas_of(town.draft("mint", supply("bob", 1), pay("bob", 1))) == 40_000 + 21_000


def test_each_further_signature_is_paid_for(town: Town) -> None:
    """Verifying is what costs everyone most, so sixteen signatures are not the price of one."""
    tx = town.draft("alice", pay("bob", 1))

    assert gas_of(tx, signatures=16) == 21_000 + 15 * 5_000
    assert gas_of(tx, signatures=0) == gas_of(tx) == 21_000


def test_a_blocks_fees_are_shared_to_the_last_unit(town: Town) -> None:
    """Collected = proposer + treasury + burnt (I9); burning shrinks the supply (I2)."""
    proposer = town.context().proposer
    operator = next(v.operator for v in town.state.validators.members if v.key == proposer)
    native = town.state.asset("AIT")
    assert native is not None

    town.apply(town.tx("alice", pay("bob", 1)), town.tx("bob", pay("alice", 1)))

    shares = town.state.fees
    assert (shares.collected, shares.to_proposer) == (420, 210)
    assert (shares.to_treasury, shares.burned) == (126, 84)
    account = town.state.account(operator)
    assert account is not None
    assert balance(account.balances, "AIT") == 210
    assert balance(town.state.pool("treasury").balances, "AIT") == 126
    after = town.state.asset("AIT")
    assert after is not None
    assert native.supply - after.supply == after.burned == 84


def test_the_tip_goes_to_the_proposers_operator_alone(town: Town) -> None:
    """Tip on top of the fee; nothing of it is burnt or taxed."""
    town.apply(town.tx("alice", pay("bob", 1), tip=Amount(1000)))

    earned = sum(town.owns(name) for name in VALIDATOR_NAMES)
    assert earned == 105 + 1000
    assert town.owns("alice") == WEALTH - 1 - 210 - 1000


def test_a_failing_body_pays_and_counts(town: Town) -> None:
    """Whoever makes everyone work pays, and the nonce is spent."""
    receipt = town.apply(town.tx("alice", pay("bob", 1, "NOPE"))).receipts[0]

    assert (receipt.fee, receipt.gas_used) == (210, 21_000)
    assert town.owns("alice") == WEALTH - 210


def test_a_bundle_is_all_or_nothing(town: Town) -> None:
    """A failing second body takes the first one back, and all bodies' gas is paid."""
    good, bad = pay("bob", 5), pay("bob", 1, "NOPE")

    receipt = town.apply(town.tx("alice", good, bad)).receipts[0]

    assert receipt.code == Code.E_ASSET
    assert receipt.events[0][:2] == ("failed", "1")
    assert town.owns("bob") == WEALTH
    assert town.owns("alice") == WEALTH - 420


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"gas_limit": Gas(20_999)}, Code.E_FEE, "gas_limit"),
        ({"max_gas_price": 9_999}, Code.E_FEE, "max_gas_price"),
        ({"tip": Amount(WEALTH)}, Code.E_INSUFFICIENT, "fee"),
    ],
)
def test_a_fee_that_cannot_be_paid_keeps_a_transaction_out(
    town: Town, changes: dict[str, int], code: Code, field: str
) -> None:
    """Such a transaction is in no block, so it costs its sender nothing."""
    tx = town.tx("alice", pay("bob", 1), **changes)

    refusal = town.refusal(tx)

    assert (refusal.code, refusal.field) == (code, field)
    assert town.admit(tx) == refusal


def test_ten_full_blocks_raise_the_price_by_a_tenth_each() -> None:
    """Steps are rounded up, so that a low price moves at all. Source: rules 2.13."""
    params = Params()
    price = params.gas_base_price
    for _ in range(10):
        price = fees.next_price(price, (params.max_block_gas,), params)

    assert price == 25_941


@pytest.mark.proves("E26")
def test_the_price_follows_real_blocks_equally_on_all_nodes() -> None:
    """Ten blocks over 80 % full raise it by a tenth each, rounded up; idle ones lower it again.

    It stops at the floor. The price is state, so nodes that agree on the root agree on it.
    """
    params = Params(max_block_gas=2_000_000)
    nodes = [Town(a_genesis(params=params)) for _ in range(2)]
    prices = []
    for _ in range(10):
        first = nodes[0].tx("alice", _many(256))
        second = nodes[0].tx("bob", _many(100))
        roots = {node.apply(first, second).state_root for node in nodes}
        assert len(roots) == 1
        prices.append(nodes[0].state.fees.price)

    expected = [10_000]
    while len(expected) <= 10:
        expected.append(-(-expected[-1] * 11 // 10))
    assert prices == expected[1:]
    while nodes[0].state.fees.price > params.gas_min_price:
        before = nodes[0].state.fees.price
        assert len({node.apply().state_root for node in nodes}) == 1
        assert before * 10 // 11 <= nodes[0].state.fees.price <= before * 11 // 10
    nodes[0].apply()
    assert nodes[0].state.fees.price == params.gas_min_price


def test_an_estimate_outlives_as_many_full_blocks_as_it_says() -> None:
    """The limit for ten full blocks is the price after them; the bound ends every rise."""
    params = Params()

    assert fees.price_after(10_000, params, full_blocks=0) == 10_000
    assert fees.price_after(10_000, params, full_blocks=10) == 25_941
    assert fees.price_after(999_999, params, full_blocks=30) == params.gas_max_price


def test_empty_blocks_lower_the_price_to_its_floor_and_no_further() -> None:
    """An idle chain is cheap; the floor is a parameter."""
    params = Params()
    price = params.gas_base_price
    for _ in range(100):
        price = fees.next_price(price, (0,) * 10, params)

    assert price == params.gas_min_price


def test_one_quiet_block_among_busy_ones_does_not_lower_the_price() -> None:
    """The mean of the last ten blocks decides, and an eleventh is forgotten."""
    params = Params()
    busy = params.max_block_gas * 7 // 10
    state = Fees(10_000)
    for gas in [0, *[busy] * 9, 0]:
        state = fees.after_block(state, params, gas=gas, collected=0)

    assert state.recent_gas == (*[busy] * 9, 0)
    assert fees.next_price(10_000, state.recent_gas, params) == 10_000
    assert fees.next_price(10_000, (0, 0, *state.recent_gas[2:]), params) == 9_090


def test_a_busy_but_not_full_block_leaves_the_price() -> None:
    """Between the two marks nothing moves."""
    params = Params()
    gas = params.max_block_gas * 7 // 10

    assert fees.next_price(10_000, (gas,) * 10, params) == 10_000


def test_the_price_moves_between_blocks_only() -> None:
    """All transactions of one block pay the same price; the next block pays the new one."""
    params = Params(max_block_gas=2_000_000)
    town = Town(a_genesis(params=params))
    txs = [town.tx("alice", pay("bob", 1), nonce=nonce) for nonce in range(80)]

    first = town.apply(*txs)
    second = town.apply(town.tx("alice", pay("bob", 1)))

    assert {receipt.fee for receipt in first.receipts} == {210}
    assert second.receipts[0].fee == 231


@given(fee=st.integers(0, 10**15), proposer=st.integers(0, 10_000), burn=st.integers(0, 10_000))
def test_shares_never_lose_or_make_a_unit(fee: int, proposer: int, burn: int) -> None:
    """Whatever the shares, they sum to the fee and none is negative."""
    burn = min(burn, 10_000 - proposer)
    treasury = 10_000 - proposer - burn
    params = Params(fee_proposer_bps=proposer, fee_treasury_bps=treasury, fee_burn_bps=burn)

    shares = fees.split(fee, params)

    assert sum(shares) == fee
    assert all(share >= 0 for share in shares)


def _many(count: int) -> Transfer:
    return Transfer(tuple(Output(address("bob"), "AIT", Amount(1)) for _ in range(count)))


@pytest.mark.parametrize(("above", "grows"), [(0, False), (1, True)])
def test_a_block_raises_the_price_only_above_its_threshold(above: int, *, grows: bool) -> None:
    """Exactly at it the price stays, one gas more and it steps up."""
    params = Params()
    full = params.max_block_gas * params.gas_high_bps // 10_000

    price = fees.next_price(20_000, (full + above,), params)

    assert (price > 20_000) is grows


@pytest.mark.parametrize(("below", "falls"), [(0, False), (1, True)])
def test_the_price_falls_only_below_its_threshold(below: int, *, falls: bool) -> None:
    """The mean of the last blocks counts; exactly at the threshold the price stays."""
    params = Params()
    low = params.max_block_gas * params.gas_low_bps // 10_000

    price = fees.next_price(20_000, (low + 7, low - 7 - below), params)

    assert (price < 20_000) is falls


def test_what_fills_a_block_exactly_may_come_in() -> None:
    """One gas more fits into no block at all, and the bodies are named."""
    most = Params().max_block_gas

    refusal = fees.check_gas(most + 1, Params())

    assert fees.check_gas(most, Params()) is None
    assert refusal is not None
    assert (refusal.code, refusal.field) == (Code.E_SIZE, "bodies")
