"""Who may send a transaction and whether it can pay: the rules before any body is looked at.

The order of the checks is part of the protocol: chain, validity in time, policy and signers,
nonce, fee. A transaction that fails here is in no block. Do not add rules of bodies here.
"""

from typing import Protocol

import msgspec

from aitbc_node import limits
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger.objects import NATIVE, Account, adjusted, balance
from aitbc_node.ledger.policy import Policy, address_of, check_signers
from aitbc_node.ledger.state import Reader
from aitbc_node.ledger.transactions import Parsed, Transaction
from aitbc_node.types import Address, Height


class Terms(msgspec.Struct, frozen=True):
    """Hold what is the same for every transaction of a block."""

    chain_id: str
    height: Height
    ttl_blocks: int
    price: int


def terms_of(reader: Reader, height: Height) -> Terms:
    """Return the terms of the block at a height."""
    return Terms(reader.chain.chain_id, height, reader.params.tx_ttl_blocks, reader.fees.price)


def check_sender(terms: Terms, account: Account, parsed: Parsed) -> Refusal | None:
    """Judge chain, validity in time, and whether the policy's signers signed.

    That their signatures verify is judged elsewhere, once per node; see `signature_checks`.
    """
    tx = parsed.tx
    if tx.chain_id != terms.chain_id:
        message = f"made for chain '{tx.chain_id}', this is '{terms.chain_id}'"
        return Refusal(Code.E_CHAIN, "chain_id", message)
    if tx.valid_until < terms.height:
        message = f"was valid until height {tx.valid_until}, the next block is {terms.height}"
        return Refusal(Code.E_EXPIRED, "valid_until", message)
    if tx.valid_until > terms.height + terms.ttl_blocks:
        message = f"{tx.valid_until} is more than {terms.ttl_blocks} blocks ahead"
        return Refusal(Code.E_TOO_FAR, "valid_until", message)
    if account.policy is not None and tx.policy is None:  # nearly all have one on record
        return check_signers(account.policy, parsed.keys)
    policy = policy_for(account, tx)
    if isinstance(policy, Refusal):
        return policy
    return check_signers(policy, parsed.keys)


class Act(Protocol):
    """Be what an account signs: a transaction, or a message."""

    @property
    def sender(self) -> Address:
        """Return who acts."""

    @property
    def policy(self) -> Policy | None:
        """Return what was brought along."""


def policy_for(account: Account, tx: Act) -> Policy | Refusal:
    """Return the policy that signs for the sender: the recorded one, else the one brought along.

    A brought policy must be the recorded one, or hash to the address. So the first few
    transactions of a new account may all be under way at once, each bringing the same policy.
    """
    if account.policy is not None:
        if tx.policy is not None and tx.policy != account.policy:
            return Refusal(Code.E_POLICY, "policy", "not the policy on record; leave it out")
        return account.policy
    if tx.policy is None:
        message = "the account has none on record yet, so the transaction must carry it"
        return Refusal(Code.E_POLICY, "policy", message)
    if address_of(tx.policy) != tx.sender:
        return Refusal(Code.E_POLICY, "policy", "does not hash to the sender's address")
    return tx.policy


def check_nonce(account: Account, tx: Transaction) -> Refusal | None:
    """Judge that this is exactly the sender's next transaction."""
    if tx.nonce == account.nonce:
        return None
    message = f"{tx.nonce}, the account's next is {account.nonce}"
    return Refusal(Code.E_NONCE, "nonce", message)


def check_nonce_window(account: Account, tx: Transaction) -> Refusal | None:
    """Judge that this may become the sender's next transaction before long."""
    last = account.nonce + limits.MEMPOOL_PER_ACCOUNT_MAX - 1
    if account.nonce <= tx.nonce <= last:
        return None
    message = f"{tx.nonce} is not within {account.nonce}..{last}"
    return Refusal(Code.E_NONCE, "nonce", message)


def check_fee(
    terms: Terms, account: Account, parsed: Parsed, *, cost: int, promised: int = 0
) -> Refusal | None:
    """Judge that the limits cover what the transaction costs now, and the balance the `cost`.

    That is fee and tip; `promised` is what the sender's waiting transactions are going to take
    before this one.
    """
    tx = parsed.tx
    if parsed.gas > tx.gas_limit:
        return Refusal(Code.E_FEE, "gas_limit", f"{tx.gas_limit}, it needs {parsed.gas}")
    if terms.price > tx.max_gas_price:
        message = f"{tx.max_gas_price}, the price is {terms.price}"
        return Refusal(Code.E_FEE, "max_gas_price", message)
    owned = balance(account.balances, NATIVE) - promised
    if cost > owned:
        message = f"fee and tip are {cost}, the account has {owned} base units of {NATIVE} left"
        return Refusal(Code.E_INSUFFICIENT, "fee", message)
    return None


def charged(account: Account, tx: Transaction, cost: int) -> Account:
    """Return the sender with fee and tip paid, the transaction counted, a policy on record."""
    balances = adjusted(account.balances, NATIVE, -cost)
    return Account(account.nonce + 1, account.policy or tx.policy, balances)
