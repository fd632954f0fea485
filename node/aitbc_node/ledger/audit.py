"""Which promises of the ledger hold for a state: the invariants, recomputed from scratch.

Costs a walk over all accounts, so it runs in tests, in the simulator and over files at rest; a
running node keeps a tally instead. Do not add repairs here: a violated invariant is a bug to find.
"""

from collections.abc import Iterable
from itertools import pairwise

from aitbc_node.events import TxReceipt
from aitbc_node.ledger.fees import fee_of
from aitbc_node.ledger.objects import (
    NATIVE,
    Fees,
    Membership,
    Offence,
    Stake,
    balance,
    holdings_of,
)
from aitbc_node.ledger.staking import earned_by
from aitbc_node.ledger.state import State
from aitbc_node.types import Address


def audit(state: State) -> list[str]:
    """List the violated invariants, each with its figures; an empty list is a clean bill."""
    parts = (_conservation, _supply, _fees, _stakes, _validators, _offences)
    return [fault for part in parts for fault in part(state)]


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


def _stakes(state: State) -> list[str]:
    """Compare what every delegator has with what its validator counts."""
    shares: dict[bytes, int] = {}
    counts: dict[bytes, int] = {}
    owed: dict[bytes, int] = {}
    for (_, name), stake in state.contents.items():
        if type(stake) is Stake:
            operator = Address(name[: len(name) // 2])
            member = state.membership(operator)
            shares[operator] = shares.get(operator, 0) + stake.shares
            counts[operator] = counts.get(operator, 0) + 1
            earned = 0 if member is None else earned_by(member, stake)
            owed[operator] = owed.get(operator, 0) + earned
    faults = []
    for (_, name), known in state.contents.items():
        if type(known) is Membership:
            told = (known.shares, known.delegators)
            found = (shares.pop(name, 0), counts.pop(name, 0))
            if found != told:
                faults.append(f"I1: stakes behind {name.hex()} are {found}, counted {told}")
            if owed.get(name, 0) > known.rewards:
                figures = f"owes {owed[name]} of rewards, has {known.rewards}"
                faults.append(f"I1: {name.hex()} {figures}")
    return [*faults, *(f"I1: stakes behind {name.hex()}, no validator" for name in shares)]


def _validators(state: State) -> list[str]:
    members = state.validators.members
    if not members or any(member.power <= 0 for member in members):
        return ["I6: a validator without power, or none at all"]
    for voter in members:
        known = state.membership(voter.operator)
        if known is None or known.key != voter.key:
            return [f"I6: {voter.key.hex()} votes, and is not its operator's key"]
    return []


def _offences(state: State) -> list[str]:
    return [
        f"I12: an offence cost {record.slashed} of {record.liable}"
        for record in state.contents.values()
        if type(record) is Offence and record.slashed > record.liable
    ]
