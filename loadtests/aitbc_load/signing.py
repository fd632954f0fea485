"""What does a swarm hand in? Transfers of one unit, each account's in the order of its nonces.

All of an account's lie behind each other, so that the number of a transaction says whose it is.
Which of them are handed in when is the dispatcher's business.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from aitbc_load.identities import Identity
from aitbc_load.orders import Terms
from aitbc_node.ledger.fees import fee_of, gas_of
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transactions import Transaction, sign
from aitbc_node.ledger.transfers import TRANSFER_GAS, Output, Transfer
from aitbc_node.types import Address, Amount, Gas, Height

UNITS = 1


@dataclass(frozen=True, slots=True)
class Opening:
    """Hold what the chain knows of an account before the run."""

    nonce: int
    is_new: bool
    """It has no policy on record yet, so its transactions carry it."""


def cost_max(terms: Terms) -> int:
    """Return what one transfer can take of its account at most; fee and tip are rounded up."""
    fee = fee_of(TRANSFER_GAS, terms.gas_price_max)
    return UNITS + fee + fee_of(TRANSFER_GAS, terms.tip_price)


def transfers(
    accounts: Sequence[Identity],
    openings: Sequence[Opening],
    terms: Terms,
    *,
    payee: Address,
    each: int,
) -> Iterator[bytes]:
    """Sign `each` transfers of every account, account by account."""
    body = Transfer((Output(payee, NATIVE, Amount(UNITS)),), "")
    for account, opening in zip(accounts, openings, strict=True):
        draft = Transaction(
            chain_id=terms.chain_id,
            sender=account.account,
            nonce=0,
            valid_until=Height(terms.height + terms.ttl_blocks),
            gas_limit=Gas(0),
            max_gas_price=terms.gas_price_max,
            tip=Amount(0),
            policy=account.policy if opening.is_new else None,
            bundle=False,
            bodies=(body,),
        )
        gas = gas_of(draft)
        tip = fee_of(gas, terms.tip_price)
        for nonce in range(opening.nonce, opening.nonce + each):
            numbered = msgspec.structs.replace(draft, nonce=nonce, gas_limit=gas, tip=tip)
            yield sign(numbered, [account.key])
