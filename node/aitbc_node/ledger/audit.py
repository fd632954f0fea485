"""Which promises of the ledger hold for a state: the invariants, recomputed from scratch.

Costs a walk over all accounts, so it runs in tests, in the simulator and over files at rest; a
running node keeps a tally instead. Do not add repairs here: a violated invariant is a bug to find.
"""

from collections.abc import Iterable
from itertools import pairwise

from aitbc_node.events import TxReceipt
from aitbc_node.ledger.fees import fee_of
from aitbc_node.ledger.objects import NATIVE, Fees, balance, holdings_of
from aitbc_node.ledger.state import State


def audit(state: State) -> list[str]:
    """List the violated invariants, each with its figures; an empty list is a clean bill."""
    return [*_conservation(state), *_supply(state), *_fees(state), *_validators(state)]


def audit_block(before: Fees, state: State, receipts: Iterable[TxReceipt]) -> list[str]:
    """Compare a block's receipts with the fees that its state says were collected (I9).

    `before` holds the price that the block paid; tips are apart.
    """
    owed = sum(fee_of(receipt.gas_used, before.price) for receipt in receipts)
    found = state.fees.collected
    return [] if owed == found else [f"I9: receipts say {owed} of fees, collected {found}"]


def _conservation(state: State) -> list[str]:
    held: dict[str, int] = {}
    faults = []
    for address, account in state.accounts():
        if not all(low < high for low, high in pairwise(account.balances)):
            faults.append(f"I1: account {address.hex()} has balances out of order")
        for ticker, amount in account.balances:
            if amount <= 0:
                faults.append(f"I1: account {address.hex()} holds {amount} of {ticker}")
    for record in state.contents.values():
        for ticker, amount in holdings_of(record):
            held[ticker] = held.get(ticker, 0) + amount
    for ticker, asset in state.assets():
        found = held.pop(ticker, 0)
        if found != asset.supply:
            faults.append(f"I1: {ticker}: held {found}, supply {asset.supply}")
    return [*faults, *(f"I1: {ticker} is held but no asset" for ticker in sorted(held))]


def _supply(state: State) -> list[str]:
    faults = []
    for ticker, asset in state.assets():
        if asset.supply != asset.minted - asset.burned:
            figures = f"supply {asset.supply}, minted {asset.minted}, burned {asset.burned}"
            faults.append(f"I2: {ticker}: {figures}")
    native = state.asset(NATIVE)
    if native is None or native.burned < state.fees.burned:
        faults.append(f"I2: fees burned {state.fees.burned}, more than {NATIVE} lost")
    return faults


def _fees(state: State) -> list[str]:
    fees = state.fees
    shared = fees.to_proposer + fees.to_treasury + fees.burned
    if shared != fees.collected:
        return [f"I9: collected {fees.collected}, shared {shared}"]
    if balance(state.pool("treasury").balances, NATIVE) < 0:
        return ["I9: the treasury is below zero"]
    return []


def _validators(state: State) -> list[str]:
    members = state.validators.members
    if not members or any(member.power <= 0 for member in members):
        return ["I6: a validator without power, or none at all"]
    return []
