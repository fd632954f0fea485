"""Which operators may be chosen as validators of the next epoch?

Those whose own bond is large enough. The list is kept in one object, so that the end of an epoch
asks nobody else; it is bounded. Do not add who is chosen.
"""

from aitbc_node.ledger import objects, staking
from aitbc_node.ledger.objects import ObjectKey, Roster
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
        return False
    draft.put(_PLACE, Roster(tuple(sorted((*operators, operator)))))
    return True


def tidy(draft: Draft) -> tuple[Address, ...]:
    """Take those off the list whose bond does not suffice any more; return the others."""
    operators = draft.roster.operators
    left = tuple(operator for operator in operators if _suffices(draft, operator))
    if left != operators:
        draft.put(_PLACE, Roster(left))
    return left


def _suffices(draft: Draft, operator: Address) -> bool:
    member = draft.membership(operator)
    if member is None:
        return False
    return staking.own_bond(draft, operator, member) >= draft.params.self_bond_min
