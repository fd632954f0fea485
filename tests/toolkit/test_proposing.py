"""Whose turn is it, told from outside?"""

from aitbc_node.rpc import schema
from aitbc_node.types import Address, Power, PublicKey, Round
from aitbc_node.validators import Validator, ValidatorSet, validator_set
from aitbc_toolkit import proposing


def told(voters: ValidatorSet) -> schema.Validators:
    """Say what a node tells of those who vote next."""
    rows = [
        schema.ValidatorView(
            address="aitd1",
            key=each.key.hex(),
            power=each.power,
            priority=each.priority,
            status="active",
            proposer=False,
        )
        for each in reversed(voters.members)
    ]
    return schema.Validators(height=1, total_power=voters.total_power, validators=rows)


def test_turns_are_those_of_the_chain() -> None:
    """With unequal powers, over many heights, the next proposers are the node's own."""
    voters = validator_set(
        Validator(Address(bytes([n]) * 20), PublicKey(bytes([n]) * 32), Power(power))
        for n, power in enumerate((5, 1, 3, 1), start=1)
    )
    for _ in range(20):
        expected = tuple(voters.proposer(Round(n)).key.hex() for n in range(1, 4))

        assert proposing.turns(told(voters), 1, count=3) == expected
        voters = voters.rotated()
