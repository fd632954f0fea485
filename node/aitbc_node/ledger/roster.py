"""Which operators may be chosen as validators of the next epoch?

Those whose own bond is large enough, whom nobody removed, and who are admitted where that is asked
for. The list is kept in one object, so that the end of an epoch asks nobody else; it is bounded,
and the smallest own bond without a vote gives way to a larger one. Do not add who is chosen.
"""

from aitbc_node.ledger import objects, staking
from aitbc_node.ledger.objects import ADMITTED, REMOVED, ObjectKey, Roster
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address

ROSTER_MAX = 200

_PLACE: ObjectKey = (objects.ROSTER, b"")


def enter(draft: Draft, operator: Address) -> bool:
    """Put an operator on the list when its bond suffices; tell whether there was room."""
    operators = draft.roster.operators
    if operator in operators or not _suffices(draft, operator):
        return True
    if len(operators) >= ROSTER_MAX:
        smallest = _smallest(draft)
        if smallest is None or _own(draft, smallest) >= _own(draft, operator):
            return False
        operators = tuple(other for other in operators if other != smallest)
    draft.put(_PLACE, Roster(tuple(sorted((*operators, operator)))))
    return True


def tidy(draft: Draft) -> tuple[Address, ...]:
    """Take those off the list who do not suffice any more; return the others."""
    operators = draft.roster.operators
    left = tuple(operator for operator in operators if _suffices(draft, operator))
    if left != operators:
        draft.put(_PLACE, Roster(left))
    return left


def _smallest(draft: Draft) -> Address | None:
    """Find who has the least of its own among those without a vote."""
    voters = {member.operator for member in draft.validators.members}
    waiting = [operator for operator in draft.roster.operators if operator not in voters]
    return min(waiting, key=lambda operator: (_own(draft, operator), operator), default=None)


def _suffices(draft: Draft, operator: Address) -> bool:
    member = draft.membership(operator)
    if member is None or member.seat == REMOVED:
        return False
    if member.seat != ADMITTED and not draft.params.validators_open:
        return False
    return staking.own_bond(draft, operator, member) >= draft.params.self_bond_min


def _own(draft: Draft, operator: Address) -> int:
    member = draft.membership(operator)
    return 0 if member is None else staking.own_bond(draft, operator, member)
