"""What does a node tell whoever wants to pay? The record of `GET /fees/estimate`."""

from msgspec import field

from aitbc_node.rpc.schema import Answer, Digits


class FeeEstimate(Answer, frozen=True, kw_only=True):
    """Tell what gas costs now, and which `max_gas_price` outlives how much of a rise.

    Units: prices in thousandths of a base unit per 1000 gas; what is paid is the price of the
    block, never more than the transaction's `max_gas_price`. `slow` outlives one full block,
    `standard` ten in a row, `fast` thirty. `full_bps` is how full the last blocks were, up to ten.
    `fees` are what `gas` costs, now and at most under each limit: that of the query, else a
    transfer's. A full block takes those who tip most per gas: `tips` go on top of the fee, `slow`
    was enough for half of the full ones, `standard` for three of four, `fast` for nine of ten and
    for what waits here; `tip_prices` are the same per gas, as prices. `full_blocks` of the last
    `blocks_seen` had no room; where there is room a tip buys nothing.
    """

    height: int
    price: int
    slow: int
    standard: int
    fast: int
    transfer_fee: Digits
    base_price: int = 0
    min_price: int = 0
    max_price: int = 0
    full_bps: int = 0
    gas: int = 0
    fees: dict[str, Digits] = field(default_factory=dict)
    tips: dict[str, Digits] = field(default_factory=dict)
    tip_prices: dict[str, int] = field(default_factory=dict)
    full_blocks: int = 0
    blocks_seen: int = 0
