"""Who validates from the next epoch on?

At the last block of an epoch: keys are changed, and the operators on the roster are chosen by what
stands behind them. Less than a third of the power changes per epoch, so that whoever follows the
chain by its certificates is never handed over to strangers; what is left follows in the epochs
after. Do not add rewards or bonds. Source: rules 2.6 and 2.11.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from aitbc_node.ledger import enrolment, objects, roster
from aitbc_node.ledger.objects import ACTIVE, ADMITTED, CANDIDATE, REMOVED, Membership
from aitbc_node.ledger.staking import POWER_UNIT, membership_key
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address, Height, Power
from aitbc_node.validators import Validator


def is_last(height: Height, epoch_blocks: int) -> bool:
    """Tell whether an epoch ends with this block."""
    return height % epoch_blocks == 0


def begin_next(draft: Draft, height: Height) -> None:
    """Settle who validates the heights behind this one."""
    for operator in roster.tidy(draft):
        enrolment.rotate(draft, operator, height)
    before = {member.operator: int(member.power) for member in draft.validators.members}
    powers = limited(before, _wanted(draft)) or before  # somebody has to make the next block
    for operator in sorted(before.keys() | powers.keys()):
        _note_status(draft, operator, votes=operator in powers)
    _elect(draft, powers, height)


def limited(before: Mapping[Address, int], wanted: Mapping[Address, int]) -> dict[Address, int]:
    """Go from some powers towards others as far as one epoch may; by operator, ascending.

    Of a total of three or less, a single vote may still come or go, or nobody ever could.
    """
    room = max(1, (sum(before.values()) - 1) // 3)
    powers = {}
    for operator in sorted(before.keys() | wanted.keys()):
        old, aim = before.get(operator, 0), wanted.get(operator, 0)
        step = max(-room, min(room, aim - old))
        room -= abs(step)
        if old + step:
            powers[operator] = old + step
    return powers


def _wanted(draft: Draft) -> dict[Address, int]:
    """Choose by bond, of equal ones the lowest address; nobody else may have a vote."""
    rows = []
    for operator in draft.roster.operators:
        member = draft.membership(operator)
        if member is not None and _may_vote(draft, member):
            rows.append((-(member.bonded // POWER_UNIT), operator))
    chosen = sorted(rows)[: draft.params.validators_max]
    return {operator: -power for power, operator in chosen if power}


def _may_vote(draft: Draft, member: Membership) -> bool:
    if member.status not in {CANDIDATE, ACTIVE} or member.seat == REMOVED:
        return False
    return bool(draft.params.validators_open) or member.seat == ADMITTED


def _elect(draft: Draft, powers: Mapping[Address, int], height: Height) -> None:
    members = []
    for operator, power in powers.items():
        key = enrolment.rotate(draft, operator, height).key
        members.append(Validator(operator, key, Power(power)))
    current = draft.validators
    if {_vote(member) for member in members} != {_vote(member) for member in current.members}:
        draft.put((objects.VALIDATORS, b""), current.succeeded_by(members))


def _vote(member: Validator) -> tuple[bytes, bytes, int]:
    return member.operator, member.key, member.power


def _note_status(draft: Draft, operator: Address, *, votes: bool) -> None:
    member = draft.membership(operator)
    assert member is not None, "a validator without a membership"
    status = _status(member, votes=votes)
    if status != member.status:
        draft.put(membership_key(operator), replace(member, status=status))


def _status(member: Membership, *, votes: bool) -> str:
    if member.status not in {CANDIDATE, ACTIVE}:
        return member.status
    return ACTIVE if votes else CANDIDATE
