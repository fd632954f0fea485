"""Who may vote at a height, with what power, and who proposes in each round.

The set is a value: `rotated()` gives the set of the next height, `proposer(round)` works on a copy,
as the paper and rules ask. Ledger, consensus and block checks share it. Do not add voting here.
"""

import hashlib
from collections.abc import Iterable
from functools import cached_property

from aitbc_node.canonical import Record, encode
from aitbc_node.types import Address, Hash, Power, PublicKey, Round


class Validator(Record, frozen=True):
    """Describe one member: its operator's account, consensus key, power and turn priority."""

    operator: Address
    key: PublicKey
    power: Power
    priority: int = 0


class ValidatorSet(Record, frozen=True, dict=True, gc=True):
    """Hold the validators of one height, ordered by key.

    What every vote asks for is computed once per set; it is no part of the record.
    """

    members: tuple[Validator, ...]

    @cached_property
    def total_power(self) -> Power:
        """Sum the power of all members."""
        return Power(sum(member.power for member in self.members))

    @cached_property
    def _places(self) -> dict[PublicKey, int]:
        return {member.key: index for index, member in enumerate(self.members)}

    def index_of(self, key: PublicKey) -> int | None:
        """Return the 0-based place of a key, or None for a stranger."""
        return self._places.get(key)

    def power_of(self, key: PublicKey) -> Power:
        """Return the power behind a key; 0 for a stranger."""
        index = self.index_of(key)
        return Power(0) if index is None else self.members[index].power

    def is_quorum(self, power: int) -> bool:
        """Tell whether this much power is more than two thirds of the whole."""
        return 3 * power > 2 * self.total_power

    def is_blocking(self, power: int) -> bool:
        """Tell whether this much power is more than one third: one of them is honest."""
        return 3 * power > self.total_power

    def proposer(self, round_: Round) -> Validator:
        """Return who proposes in a round of this height.

        Units: round 0 is the scheduled proposer; each further round takes one more turn.
        """
        priorities = [member.priority for member in self.members]
        for _ in range(round_):
            self._take_turn(priorities)
        return self.members[self._take_turn(priorities)]

    def rotated(self) -> "ValidatorSet":
        """Return the set after one turn: everyone gains its power, the chosen pays the total."""
        priorities = [member.priority for member in self.members]
        self._take_turn(priorities)
        return ValidatorSet(
            tuple(
                Validator(member.operator, member.key, member.power, priority)
                for member, priority in zip(self.members, priorities, strict=True)
            )
        )

    def succeeded_by(self, members: Iterable[Validator]) -> "ValidatorSet":
        """Return another set in which those who stay keep their place in the line of turns.

        By operator, so that a new key changes no turn. A joiner waits longest: who leaves and
        comes back to propose sooner gains nothing. The priorities are centred, and held within
        twice the total power, so that no history of changes makes them drift away.
        """
        made = validator_set(members)
        total = made.total_power
        known = {member.operator: member.priority for member in self.members}
        joining = -(total + total // 8)
        priorities = [known.get(member.operator, joining) for member in made.members]
        centre = sum(priorities) // len(priorities)
        return ValidatorSet(
            tuple(
                Validator(
                    member.operator,
                    member.key,
                    member.power,
                    max(-2 * total, min(2 * total, priority - centre)),
                )
                for member, priority in zip(made.members, priorities, strict=True)
            )
        )

    def _take_turn(self, priorities: list[int]) -> int:
        """Move the priorities by one turn; the highest proposes, of equal ones the lowest key."""
        for index, member in enumerate(self.members):
            priorities[index] += member.power
        chosen = priorities.index(max(priorities))
        priorities[chosen] -= self.total_power
        return chosen

    @cached_property
    def _digest(self) -> Hash:
        rows = tuple((member.operator, member.key, member.power) for member in self.members)
        return Hash(hashlib.sha256(encode(rows)).digest())

    def digest(self) -> Hash:
        """Hash who may vote with what power; turns are not part of it."""
        return self._digest


def validator_set(members: Iterable[Validator]) -> ValidatorSet:
    """Build a set in canonical order; keys must be distinct and powers positive."""
    ordered = tuple(sorted(members, key=lambda member: member.key))
    assert len({member.key for member in ordered}) == len(ordered), "two validators share a key"
    assert all(member.power > 0 for member in ordered), "a validator without power"
    return ValidatorSet(ordered)
