"""How does an account change who signs for it? By the signatures that it asks for until then.

The address stays: it is the hash of the first policy. Bodies behind this one in a bundle were
signed before, and happen; transactions behind it need the new keys. Do not add signature checks.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from aitbc_node import limits
from aitbc_node.canonical import Record
from aitbc_node.codes import Refusal
from aitbc_node.ledger.family import Act, Family, Outcome
from aitbc_node.ledger.objects import NEW_ACCOUNT
from aitbc_node.ledger.policy import Key, Policy, check_policy
from aitbc_node.ledger.state import Draft

POLICY_GAS = 60_000


class AccountPolicy(Record, frozen=True, tag="account.policy"):
    """Ask for `threshold` signatures by different keys from now on. Shape: keys ascending."""

    threshold: Annotated[int, Meta(ge=1, le=limits.POLICY_KEYS_MAX)]
    keys: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=limits.POLICY_KEYS_MAX)]


def apply(draft: Draft, act: Act, body: AccountPolicy) -> Outcome:
    """Put the new policy on record; the old one has signed, so nothing is left to judge."""
    account = draft.account(act.sender) or NEW_ACCOUNT
    policy = Policy(body.threshold, body.keys)
    draft.put_account(act.sender, msgspec.structs.replace(account, policy=policy))
    keys = (key.hex() for key in body.keys)
    return [("account.policy", act.sender.hex(), str(body.threshold), *keys)]


def _gas(_body: AccountPolicy) -> int:
    return POLICY_GAS


def _fault(body: AccountPolicy) -> Refusal | None:
    fault = check_policy(Policy(body.threshold, body.keys))
    if fault is None:
        return None
    return msgspec.structs.replace(fault, field=fault.field.removeprefix("policy."))


FAMILY = Family(AccountPolicy, gas=_gas, fault=_fault, apply=apply)
