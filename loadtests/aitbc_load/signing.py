"""How are the transactions of a swarm made? Most are transfers of one unit, in order of nonces.

All of an account's lie behind each other, so that the number of a transaction says whose it is.
Which of them are handed in when is the dispatcher's business.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from aitbc_load.identities import Identity, ViewOnly
from aitbc_load.orders import Terms
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.fees import fee_of
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transactions import Transaction, gas_of, sign
from aitbc_node.ledger.transfers import TRANSFER_GAS, Output, Transfer
from aitbc_node.types import Address, Amount, Gas, Height

UNITS = 1


@dataclass(frozen=True, slots=True)
class Opening:
    """Hold what the chain knows of an account before the run."""

    nonce: int
    is_new: bool
    """It has no policy on record yet, so its transactions carry it."""


def cost_max(terms: Terms, *, gas: int = TRANSFER_GAS) -> int:
    """Return what one transfer can take of its account at most; fee and tip are rounded up."""
    return UNITS + fee_of(gas, terms.gas_price_max) + fee_of(gas, terms.tip_price)


def transfers(
    accounts: Sequence[Identity | ViewOnly],
    openings: Sequence[Opening],
    terms: Terms,
    *,
    payee: Address,
    each: int,
) -> Iterator[bytes]:
    """Sign `each` transfers of every account, account by account. Raises: ViewOnlyError."""
    body = Transfer((Output(payee, NATIVE, Amount(UNITS)),), "")
    for account, opening in zip(accounts, openings, strict=True):
        draft = a_draft(account, terms, body, brings_policy=opening.is_new)
        for nonce in range(opening.nonce, opening.nonce + each):
            yield sign(msgspec.structs.replace(draft, nonce=nonce), [account.key])


def signed(
    account: Identity | ViewOnly, terms: Terms, body: Body, *, nonce: int, **changed: Any
) -> bytes:
    """Sign one transaction as the ledger wants it, but for the fields that are `changed`.

    Raises: ViewOnlyError.
    """
    draft = a_draft(account, terms, body, brings_policy=True)
    return sign(msgspec.structs.replace(draft, nonce=nonce, **changed), [account.key])


def a_draft(
    account: Identity | ViewOnly, terms: Terms, body: Body, *, brings_policy: bool
) -> Transaction:
    """Write what an account is about to sign; a policy may always be brought along."""
    draft = Transaction(
        chain_id=terms.chain_id,
        sender=account.account,
        nonce=0,
        valid_until=Height(terms.height + terms.ttl_blocks),
        gas_limit=Gas(0),
        max_gas_price=terms.gas_price_max,
        tip=Amount(0),
        policy=account.policy if brings_policy else None,
        bundle=False,
        bodies=(body,),
    )
    gas = gas_of(draft)
    return msgspec.structs.replace(draft, gas_limit=gas, tip=fee_of(gas, terms.tip_price))
