"""Do coins behind validators come and go only as they may?

Compares, for each operator that a block touched, what left its bond and its queue of coins on their
way back with what the block says: bonds that came, slashes, and amounts that were due. So a slash
of other coins than the offender's is seen, and one that is paid out before its time. Do not add
shares or rewards.
"""

from collections.abc import Iterable, Iterator, Sequence

from aitbc_node.canonical import Record
from aitbc_node.ledger.objects import Leaving, Membership, Offence, Unbonding
from aitbc_node.types import Height

ADDRESS_BYTES = 20


class AtStake:
    """Note the changes of one block; `faults` judges them, `begin` forgets them."""

    def __init__(self) -> None:
        self._left: dict[bytes, int] = {}
        self._waited: dict[bytes, Sequence[Leaving]] = {}
        self._slashed: dict[bytes, int] = {}

    def replace(self, name: bytes, before: Record | None, after: Record | None) -> None:
        """Take note that one object is another one now, or gone."""
        operator = name[:ADDRESS_BYTES]
        for sign, record in ((1, before), (-1, after)):
            if type(record) is Membership:
                self._left[operator] = self._left.get(operator, 0) + sign * record.bonded
            elif type(record) is Unbonding:
                gone = sign * sum(row.amount for row in record.rows)
                self._left[operator] = self._left.get(operator, 0) + gone
        if type(before) is Unbonding:
            self._waited[operator] = before.rows
        if type(after) is Offence:
            self._slashed[operator] = self._slashed.get(operator, 0) + after.slashed

    def faults(self, told: Iterable[tuple[str, ...]], height: Height) -> Iterator[str]:
        """List what cannot be, given the events of a block."""
        came: dict[bytes, int] = {}
        for event in told:
            if event[0] == "stake.bond":
                operator = bytes.fromhex(event[1])
                came[operator] = came.get(operator, 0) + int(event[3])
        for operator in sorted(self._left.keys() | came.keys() | self._slashed.keys()):
            left = self._left.get(operator, 0) + came.get(operator, 0)
            slashed = self._slashed.get(operator, 0)
            due = sum(row.amount for row in self._waited.get(operator, ()) if _is_due(row, height))
            if not slashed <= left <= slashed + due:
                figures = f"{left} left it, {slashed} slashed and at most {due} due"
                yield f"coins at stake with {operator.hex()}: {figures}"

    def begin(self) -> None:
        """Forget what was noted."""
        self._left.clear()
        self._waited.clear()
        self._slashed.clear()


def _is_due(row: Leaving, height: Height) -> bool:
    return bool(row.counted_until) and row.matures <= height
