"""How are the transactions of a swarm made? Most are transfers of one unit, in order of nonces.

They are signed as they will be handed in. When that is, is the dispatcher's business.
"""

from collections.abc import Iterable, Iterator, Sequence
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
    owners: Iterable[tuple[int, int]],
) -> Iterator[bytes]:
    """Sign one transfer for each of `owners`: an account, and how many of its come before.

    Raises: ViewOnlyError.
    """
    body = Transfer((Output(payee, NATIVE, Amount(UNITS)),), "")
    drafts = [
        a_draft(account, terms, body, brings_policy=opening.is_new)
        for account, opening in zip(accounts, openings, strict=True)
    ]
    for account, before in owners:
        nonce = openings[account].nonce + before
        draft = msgspec.structs.replace(drafts[account], nonce=nonce)
        yield sign(draft, [accounts[account].key])


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
