"""Whose turn is it to propose, and whose is it next? By the node's own rule.

From what a node tells of the validators of its next height. Do not ask anybody here.
"""

from aitbc_node.rpc import schema
from aitbc_node.types import Address, Power, PublicKey, Round
from aitbc_node.validators import Validator, ValidatorSet


def turns(told: schema.Validators, round_: int, count: int) -> tuple[str, ...]:
    """Return the keys of the proposers of a round and of those behind it, in hexadecimal."""
    rows = sorted(told.validators, key=lambda row: row.key)
    voters = ValidatorSet(
        tuple(
            Validator(
                Address(b""), PublicKey(bytes.fromhex(row.key)), Power(row.power), row.priority or 0
            )
            for row in rows
        )
    )
    return tuple(voters.proposer(Round(round_ + more)).key.hex() for more in range(count))
