"""Who votes at this height, with what power, and whose turn is each round?

The same answers as `validators.ValidatorSet`, kept ready: a set is asked thousands of times per
height. Do not add votes here.
"""

from aitbc_node.types import PublicKey, Round
from aitbc_node.validators import ValidatorSet


class Electorate:
    """Answer questions about one height's validator set quickly."""

    def __init__(self, validators: ValidatorSet) -> None:
        self.keys = tuple(member.key for member in validators.members)
        self.powers = tuple(int(member.power) for member in validators.members)
        self.total = sum(self.powers)
        self._priorities = [member.priority for member in validators.members]
        self._turns: list[int] = []

    def __len__(self) -> int:
        return len(self.keys)

    def index_of(self, key: PublicKey) -> int | None:
        """Return the 0-based place of a key, or None for a stranger."""
        return self.keys.index(key) if key in self.keys else None

    def is_quorum(self, power: int) -> bool:
        """Tell whether this is more than two thirds of all power: the paper's 2f+1."""
        return 3 * power > 2 * self.total

    def is_blocking(self, power: int) -> bool:
        """Tell whether this is more than one third of all power: the paper's f+1."""
        return 3 * power > self.total

    def proposer(self, round_: Round) -> int:
        """Return the place of a round's proposer.

        Turns are taken one after the other and remembered, so the cost grows with the highest
        round ever asked for: ask only for rounds that an honest node has reached.
        """
        while len(self._turns) <= round_:
            gained = [
                priority + power
                for priority, power in zip(self._priorities, self.powers, strict=True)
            ]
            chosen = gained.index(max(gained))
            gained[chosen] -= self.total
            self._priorities = gained
            self._turns.append(chosen)
        return self._turns[round_]
