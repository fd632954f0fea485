"""Who may act for an account: a number of signatures out of some keys.

An account's address is the hash of its first policy, so nobody can claim another's address with a
policy of their own. Do not add signature checks here: membership only.
"""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from msgspec import Meta

from aitbc_node import limits
from aitbc_node.canonical import Record, encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import is_weak_key
from aitbc_node.types import Address, PublicKey

ADDRESS_TAG = b"aitbc/address\0"
ADDRESS_BYTES = 20

Key = Annotated[PublicKey, Meta(min_length=32, max_length=32)]


class Policy(Record, frozen=True):
    """Ask for `threshold` signatures by different keys. Shape: keys strictly ascending, 1..16."""

    threshold: Annotated[int, Meta(ge=1, le=limits.POLICY_KEYS_MAX)]
    keys: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=limits.POLICY_KEYS_MAX)]


def single_key(key: PublicKey) -> Policy:
    """Make the policy of an ordinary account."""
    return Policy(1, (key,))


def address_of(policy: Policy) -> Address:
    """Name the account whose first policy this is."""
    return Address(hashlib.sha256(ADDRESS_TAG + encode(policy)).digest()[:ADDRESS_BYTES])


def check_policy(policy: Policy) -> Refusal | None:
    """Judge a policy by itself: order, threshold, and keys that only their owner can sign for."""
    if not _strictly_ascending(policy.keys):
        return Refusal(Code.E_POLICY, "policy.keys", "keys are not strictly ascending")
    if policy.threshold > len(policy.keys):
        return Refusal(Code.E_POLICY, "policy.threshold", "more signatures asked than keys given")
    for place, key in enumerate(policy.keys):
        if is_weak_key(key):
            message = "a public key of small order or not in canonical form"
            return Refusal(Code.E_POLICY, f"policy.keys[{place}]", message)
    return None


def check_signers(policy: Policy, signers: Sequence[PublicKey]) -> Refusal | None:
    """Judge whether these keys, distinct by their order, are what the policy asks for.

    Exactly `threshold` of them: a surplus signature would only cost everyone a verification.
    """
    if signers == policy.keys and len(signers) == policy.threshold:  # nearly all have one key
        return None
    for place, key in enumerate(signers):
        if key not in policy.keys:
            return Refusal(Code.E_SIGNATURE, f"sigs[{place}].key", "not a key of the account")
    if len(signers) != policy.threshold:
        message = f"{len(signers)} signatures, the account's policy asks for {policy.threshold}"
        return Refusal(Code.E_SIGNATURE, "sigs", message)
    return None


def _strictly_ascending(keys: tuple[PublicKey, ...]) -> bool:
    return len(keys) == 1 or all(low < high for low, high in pairwise(keys))
