"""Which proposals are open, whose coins are where, who voted in past epochs, which nodes are ended?

An index beside the state, so that a reader need not walk over all objects; it is no part of the
state and no rule may ask it. Do not add what can be looked up by its name.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from aitbc_node.canonical import Record
from aitbc_node.crypto import peer_id
from aitbc_node.ledger import objects
from aitbc_node.ledger.objects import Leaving, ObjectKey, StoredRecord, Unbonding
from aitbc_node.ledger.revoking import record_name, revoked_key, successor_of
from aitbc_node.types import Address, Hash, Height, PeerId
from aitbc_node.validators import ValidatorSet

_NAMES = (
    objects.PROPOSAL,
    objects.RECORD,
    objects.STAKE,
    objects.UNBONDING,
    objects.VALIDATORS,
)

SETS_KEPT = 256

_Rows: TypeAlias = Mapping[Address, Sequence[Leaving]]


class Listing:
    """Keep the names of what comes and goes, change by change."""

    def __init__(self) -> None:
        self.proposals: set[bytes] = set()
        self.revoked: set[PeerId] = set()
        """Nodes whose keys have ended; it only grows."""
        self.heirs: dict[PeerId, PeerId] = {}
        """Which other node took the place of one of them, where one did and has it still."""
        self.voters: dict[Hash, ValidatorSet] = {}
        """The newest sets of validators since this node began to look, by what headers name."""
        self.foretold: dict[Height, ValidatorSet] = {}
        """What `forecast` has told of this state; forgotten when the state changes."""
        self._bonded: dict[Address, set[Address]] = {}
        self._waiting: dict[Address, dict[Address, tuple[Leaving, ...]]] = {}

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
            case objects.RECORD if isinstance(after, StoredRecord):
                self._note_record(name, after)
            case objects.STAKE:
                size = len(name) // 2
                operator, delegator = Address(name[:size]), Address(name[size:])
                self._note_bond(delegator, operator, is_there=after is not None)
            case objects.VALIDATORS if isinstance(after, ValidatorSet):
                self._note_voters(after)
            case objects.UNBONDING:
                self._note_queue(Address(name), _by_delegator(before), _by_delegator(after))

    def validators_of(self, delegator: Address) -> list[Address]:
        """Name the operators with whom an account has coins, or waits for some."""
        return sorted({*self._bonded.get(delegator, ()), *self._waiting.get(delegator, ())})

    def leaving(self, delegator: Address, operator: Address) -> tuple[Leaving, ...]:
        """Return an account's own rows of a queue, without a walk over everybody's."""
        return self._waiting.get(delegator, {}).get(operator, ())

    def _note_record(self, name: bytes, record: StoredRecord) -> None:
        ended = revoked_key(record.ns, record.key)
        # What an account keeps for itself under such a key, nobody has signed with that key.
        if ended is not None and name == record_name(record.ns, record.key, b""):
            self.revoked.add(peer_id(ended))
            self.heirs.pop(peer_id(ended), None)
            successor = successor_of(record.value)
            if successor is not None:
                self.heirs[peer_id(ended)] = peer_id(successor)

    def _note_bond(self, delegator: Address, operator: Address, *, is_there: bool) -> None:
        known = self._bonded.setdefault(delegator, set())
        if is_there:
            known.add(operator)
            return
        known.discard(operator)
        if not known:
            del self._bonded[delegator]

    def _note_queue(self, operator: Address, before: _Rows, after: _Rows) -> None:
        for delegator in before.keys() - after.keys():
            known = self._waiting[delegator]
            del known[operator]
            if not known:
                del self._waiting[delegator]
        for delegator, rows in after.items():
            self._waiting.setdefault(delegator, {})[operator] = tuple(rows)

    def _note_voters(self, voters: ValidatorSet) -> None:
        name = voters.digest()
        # A set that comes again is the newest again.
        self.voters.pop(name, None)
        self.voters[name] = voters
        if len(self.voters) > SETS_KEPT:
            del self.voters[next(iter(self.voters))]


def _by_delegator(record: Record | None) -> _Rows:
    found: dict[Address, list[Leaving]] = {}
    for row in record.rows if isinstance(record, Unbonding) else ():
        found.setdefault(row.delegator, []).append(row)
    return found
