"""May a transaction wait here for a block?

Judges for the mempool what a block would judge, as far as it can be known before: against the
state now, less what the sender's other waiting transactions take. Do not add what a block does.
"""

from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import accounts, families, fees
from aitbc_node.ledger.objects import NEW_ACCOUNT
from aitbc_node.ledger.state import State
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.types import Height


def check_admission(
    state: State,
    parsed: Parsed,
    *,
    height: Height,
    pending_nonce: int | None = None,
    promised: int = 0,
) -> Refusal | None:
    """Judge whether a transaction may wait for a block; `height` is that of the next block.

    `pending_nonce`, when given, is the only nonce taken: the one after the sender's waiting
    transactions. Without it, any of the next few is. `promised` is the sum of the `spending` of
    those that wait before it: what they leave must pay for this one.
    """
    terms = accounts.terms_of(state, height)
    account = state.account(parsed.tx.sender) or NEW_ACCOUNT
    gas = parsed.gas
    refusal = fees.check_gas(gas, state.params) or accounts.check_sender(terms, account, parsed)
    if refusal is not None:
        return refusal
    if pending_nonce is None or pending_nonce < account.nonce:
        refusal = accounts.check_nonce_window(account, parsed.tx)
    elif parsed.tx.nonce != pending_nonce:
        message = f"{parsed.tx.nonce}, the sender's next is {pending_nonce}"
        refusal = Refusal(Code.E_NONCE, "nonce", message)
    cost = fees.fee_of(gas, terms.price) + parsed.tx.tip
    return refusal or accounts.check_fee(terms, account, parsed, cost=cost, promised=promised)


def spending(state: State, parsed: Parsed) -> int:
    """Return what a transaction takes of its sender's native balance if it succeeds now."""
    paid: int = fees.fee_of(parsed.gas, state.fees.price) + parsed.tx.tip
    sender = parsed.tx.sender
    params = state.params
    for body in parsed.tx.bodies:
        paid += families.spending_of(params, sender, body)
    return paid
