"""What gas costs, where a fee goes, and how the price of gas follows demand.

The price changes between blocks only. Do not add checks of balances here: they are in `apply.py`.
"""

from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger.objects import Fees
from aitbc_node.ledger.params import BPS, Params
from aitbc_node.types import Amount

PRICE_UNITS = 1_000_000
"""A price is in thousandths of a base unit per 1000 gas."""

RECENT_BLOCKS = 10


def check_gas(gas: int, params: Params) -> Refusal | None:
    """Refuse what fits into no block at all, or it would wait in front of the others for ever."""
    if gas <= params.max_block_gas:
        return None
    message = f"needs {gas} gas, a block has {params.max_block_gas}"
    return Refusal(Code.E_SIZE, "bodies", message)


def fee_of(gas: int, price: int) -> Amount:
    """Return the fee for gas, rounded up: a fraction of a base unit is paid as a whole one."""
    return Amount(-(-gas * price // PRICE_UNITS))


def split(fee: int, params: Params) -> tuple[Amount, Amount, Amount]:
    """Divide a block's fees among proposer, treasury and fire; the treasury takes the rounding."""
    to_proposer = fee * params.fee_proposer_bps // BPS
    burned = fee * params.fee_burn_bps // BPS
    return Amount(to_proposer), Amount(fee - to_proposer - burned), Amount(burned)


def next_price(price: int, recent_gas: tuple[int, ...], params: Params) -> int:
    """Return the price for the next block; `recent_gas` ends with the block just executed.

    A full block raises it, rounded up; a low mean of the last ten lowers it, rounded down.
    """
    high = params.max_block_gas * params.gas_high_bps
    low = params.max_block_gas * params.gas_low_bps
    if recent_gas[-1] * BPS > high:
        price = -(-price * params.gas_step_num // params.gas_step_den)
    elif sum(recent_gas) * BPS < low * len(recent_gas):
        price = price * params.gas_step_den // params.gas_step_num
    return min(max(price, params.gas_min_price), params.gas_max_price)


def price_after(price: int, params: Params, *, full_blocks: int) -> int:
    """Return the price after some full blocks in a row: the most that it can rise."""
    for _ in range(full_blocks):
        price = next_price(price, (params.max_block_gas,), params)
    return price


def after_block(fees: Fees, params: Params, *, gas: int, collected: int) -> Fees:
    """Return the next price, and where the fees of the block just executed go."""
    to_proposer, to_treasury, burned = split(collected, params)
    recent_gas = (*fees.recent_gas, gas)[-RECENT_BLOCKS:]
    return Fees(
        price=next_price(fees.price, recent_gas, params),
        recent_gas=recent_gas,
        collected=Amount(collected),
        to_proposer=to_proposer,
        to_treasury=to_treasury,
        burned=burned,
    )
