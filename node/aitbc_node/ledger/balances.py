"""How do amounts reach accounts and pools?

Whoever calls has checked that it suffices, and takes elsewhere what is given here. Do not add
rules of who may pay whom.
"""

from aitbc_node.ledger import objects
from aitbc_node.ledger.objects import NEW_ACCOUNT, Account, Pool, adjusted
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address


def move(draft: Draft, address: Address, asset: str, delta: int) -> None:
    """Add to one balance of an account; the caller has checked that it suffices."""
    account = draft.account(address) or NEW_ACCOUNT
    balances = adjusted(account.balances, asset, delta)
    draft.put_account(address, Account(account.nonce, account.policy, balances))


def fill(draft: Draft, pool: str, asset: str, delta: int) -> None:
    """Add to one balance of a pool; the caller has checked that it suffices."""
    balances = adjusted(draft.pool(pool).balances, asset, delta)
    draft.put((objects.POOL, pool.encode()), Pool(balances))
