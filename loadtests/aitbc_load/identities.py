"""Whose accounts does a swarm act for? They follow from its seed, and no two workers share one.

The keys are never written down: the same seed makes them again. A second run of a seed on one mesh
is its next `turn`, with accounts of its own: what an earlier one left waiting may still come into a
block, and would be taken for this one's. Do not sign anything here.
"""

import hashlib
from dataclasses import dataclass
from typing import NoReturn, Self

from aitbc_node import bech32
from aitbc_node.crypto import SigningKey
from aitbc_node.ledger.policy import Policy, address_of, single_key
from aitbc_node.types import Address


class ViewOnlyError(Exception):
    """Somebody wants a signature of an account whose key is not here."""


@dataclass(frozen=True, slots=True)
class ViewOnly:
    """Be an account that can be paid and looked at; it has no key to sign with."""

    account: Address
    policy: None = None

    @classmethod
    def at(cls, text: str, *, hrp: str) -> Self:
        """Read an address. Raises: ValueError for one of another network, or none at all."""
        return cls(bech32.parse_address(text, hrp=hrp))

    def address(self, hrp: str) -> str:
        """Write the account's address on one network."""
        return bech32.address_text(hrp, self.account)

    @property
    def key(self) -> NoReturn:
        """Raises: ViewOnlyError, whoever asks."""
        raise ViewOnlyError(f"{self.account.hex()} can only be looked at: its key is not here")


@dataclass(frozen=True, slots=True)
class Identity:
    """Be the ordinary account of one key."""

    key: SigningKey
    policy: Policy
    account: Address

    def address(self, hrp: str) -> str:
        """Write the account's address on one network; the key has one on each."""
        return bech32.address_text(hrp, self.account)

    def view_only(self) -> ViewOnly:
        """Give the account without its key, to whoever has nothing to sign."""
        return ViewOnly(self.account)


def identity(seed: int, worker: int, number: int, *, role: str = "", turn: int = 0) -> Identity:
    """Make one account of one worker; a role beside the honest users has accounts of its own.

    Else a second run of one seed, at another rate, would be in the way of what the first left.
    """
    # Divided by signs that no role and no number holds, so that no two places have the same text.
    written = f"aitbc/load {role} {seed}/{worker}/{number}".replace("  ", " ")
    written += f"/{turn}" if turn else ""
    key = SigningKey(hashlib.sha256(written.encode()).digest())
    policy = single_key(key.public_key)
    return Identity(key, policy, address_of(policy))


def identities(
    seed: int, worker: int, count: int, *, role: str = "", turn: int = 0
) -> list[Identity]:
    """Make the accounts of one worker."""
    return [identity(seed, worker, number, role=role, turn=turn) for number in range(count)]
