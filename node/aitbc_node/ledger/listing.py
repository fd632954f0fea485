"""Which proposals are open, behind whom has an account put coins, and who voted in past epochs?

An index beside the state, so that a reader need not walk over all objects; it is no part of the
state and no rule may ask it. Do not add what can be looked up by its name.
"""

from aitbc_node.canonical import Record
from aitbc_node.ledger import objects
from aitbc_node.ledger.objects import ObjectKey, Unbonding
from aitbc_node.types import Address, Hash
from aitbc_node.validators import ValidatorSet

_NAMES = (objects.PROPOSAL, objects.STAKE, objects.UNBONDING, objects.VALIDATORS)

SETS_KEPT = 256


class Listing:
    """Keep the names of what comes and goes, change by change."""

    def __init__(self) -> None:
        self.proposals: set[bytes] = set()
        self.voters: dict[Hash, ValidatorSet] = {}
        """The newest sets of validators since this node began to look, by what headers name."""
        self._bonded: dict[Address, set[Address]] = {}
        self._waiting: dict[Address, set[Address]] = {}

    def replace(self, key: ObjectKey, before: Record | None, after: Record | None) -> None:
        """Take note that one object is another one now, or gone."""
        kind, name = key
        if kind not in _NAMES:
            return
        match kind:
            case objects.PROPOSAL if after is None:
                self.proposals.discard(name)
            case objects.PROPOSAL:
                self.proposals.add(name)
            case objects.STAKE:
                size = len(name) // 2
                operator, delegator = Address(name[:size]), Address(name[size:])
                _note(self._bonded, delegator, operator, is_there=after is not None)
            case objects.VALIDATORS if isinstance(after, ValidatorSet):
                self._note_voters(after)
            case objects.UNBONDING:
                staying = _delegators(after)
                for delegator in _delegators(before) | staying:
                    is_there = delegator in staying
                    _note(self._waiting, delegator, Address(name), is_there=is_there)

    def validators_of(self, delegator: Address) -> list[Address]:
        """Name the operators with whom an account has coins, or waits for some."""
        nobody: set[Address] = set()
        behind = self._bonded.get(delegator, nobody) | self._waiting.get(delegator, nobody)
        return sorted(behind)

    def _note_voters(self, voters: ValidatorSet) -> None:
        name = voters.digest()
        if name in self.voters:
            return
        if len(self.voters) >= SETS_KEPT:
            del self.voters[next(iter(self.voters))]
        self.voters[name] = voters


def _delegators(record: Record | None) -> set[Address]:
    return {row.delegator for row in record.rows} if isinstance(record, Unbonding) else set()


def _note(
    places: dict[Address, set[Address]], delegator: Address, operator: Address, *, is_there: bool
) -> None:
    known = places.setdefault(delegator, set())
    if is_there:
        known.add(operator)
        return
    known.discard(operator)
    if not known:
        del places[delegator]
