"""What the toolkit's own transactions pay: the fee, and a tip where blocks are full."""

from types import SimpleNamespace
from typing import Any

import pytest

from aitbc_node.crypto import SigningKey
from aitbc_node.ledger.transactions import Parsed, parse
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.rpc.estimates import FeeEstimate
from aitbc_node.types import Address, Amount
from aitbc_toolkit.wallet import Wallet, look

BODY = Transfer((Output(Address(b"r" * 20), "AIT", Amount(1)),))
FAST = 100_000


def a_node(**told: Any) -> Any:
    """Be a node whose estimate of fees says this."""
    priced = {"height": 9, "price": 10_000, "slow": 11_000, "standard": 20_000, "fast": FAST}
    fees = FeeEstimate(**priced, transfer_fee="210", **told)
    rules = {"tx_ttl_blocks": SimpleNamespace(value=300)}
    return SimpleNamespace(
        status=lambda: SimpleNamespace(chain_id="aitbc-test-1", hrp="aitt", height=9),
        fees=lambda: fees,
        parameters=lambda: SimpleNamespace(params=rules),
    )


@pytest.mark.parametrize(
    ("told", "tip"),
    [
        ({}, 0),
        ({"tip_prices": {"slow": 0, "standard": 0, "fast": 0}}, 0),
        ({"tip_prices": {"slow": 1, "standard": 9, "fast": 50_001}}, 1_051),
        ({"tip_prices": {"slow": 1, "standard": 9, "fast": 10**9}}, 2_100),
    ],
    ids=["an older node", "room", "full blocks", "who asks for too much"],
)
def test_a_tip_is_paid_where_blocks_are_full(told: Any, tip: int) -> None:
    """Rounded up, and never above the fee limit: a proposer can fill blocks with its own tips."""
    chain = look(a_node(**told), interval_ms=1_000)

    raw = Wallet(SigningKey(b"k" * 32)).act(chain, nonce=0, new=True, bodies=[BODY])

    found = parse(raw)
    assert isinstance(found, Parsed)
    assert (found.tx.gas_limit, found.tx.max_gas_price, found.tx.tip) == (21_000, FAST, tip)
