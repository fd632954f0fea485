"""Who is healed for the liveness phase? As few as can go on, whatever becomes of the validators.

Whose power may still change is healed, and so is every full node; of the others a random part stays
down, as large as leaves more than two thirds. Do not heal here: `world.py`.
"""

import random
from collections.abc import Iterable, Sequence

from aitbc_node.types import PublicKey
from aitbc_node.validators import ValidatorSet
from aitbc_sim.nodes import Process
from aitbc_sim.operators import Operators


def choose(
    honest: Sequence[Process], voters: ValidatorSet, operators: Operators, dice: random.Random
) -> list[Process]:
    """Return those to be healed, in their order; liars count as lost."""
    keys = {process.signer.public_key for process in honest if process.signer is not None}
    lost = {member.key for member in voters.members} - keys
    order = [process for process in honest if process.signer is not None]
    dice.shuffle(order)
    down: set[int] = set()
    for process in order:
        assert process.signer is not None, "only who has a key is in question"
        key = process.signer.public_key
        if _is_settled(key, voters, operators) and _leaves_quorum({*lost, key}, voters, operators):
            lost.add(key)
            down.add(process.index)
    return [process for process in honest if process.index not in down]


def _is_settled(key: PublicKey, voters: ValidatorSet, operators: Operators) -> bool:
    """Tell whether a key has the power that it will have to the end."""
    index = voters.index_of(key)
    voter = None if index is None else voters.members[index].operator
    return not operators.may_change(key, voter)


def _leaves_quorum(lost: Iterable[PublicKey], voters: ValidatorSet, operators: Operators) -> bool:
    """Tell whether those who are sure to keep their power have more than twice that of the lost."""
    gone = frozenset(lost)
    settled = [member for member in voters.members if member.operator not in operators.moved]
    power_lost = sum(member.power for member in voters.members if member.key in gone)
    power_left = sum(member.power for member in settled if member.key not in gone)
    return power_left > 2 * power_lost
