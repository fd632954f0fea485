"""Who validates from the next epoch on?

At the last block of an epoch: keys are changed, and the operators on the roster are chosen by what
stands behind them. Less than a third of the power changes per epoch, so that whoever follows the
chain by its certificates is never handed over to strangers; what is left follows in the epochs
after, and whoever is jailed or removed goes before anybody else moves. Do not add rewards or bonds.
Source: rules 2.6 and 2.11.
"""

import hashlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.ledger import bonding, enrolment, objects, roster
from aitbc_node.ledger.objects import ACTIVE, CANDIDATE, JAILED, REMOVED, Membership
from aitbc_node.ledger.params import BPS
from aitbc_node.ledger.staking import POWER_UNIT, membership_key
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address, Height, Power, PublicKey
from aitbc_node.validators import Validator


def is_last(height: Height, epoch_blocks: int) -> bool:
    """Tell whether an epoch ends with this block."""
    return height % epoch_blocks == 0


def begin_next(draft: Draft, height: Height) -> None:
    """Settle who validates the heights behind this one."""
    for operator in roster.tidy(draft):
        enrolment.rotate(draft, operator)
    before = {member.operator: int(member.power) for member in draft.validators.members}
    wanted = capped(_wanted(draft), draft.params.validator_power_max_bps)
    out = {operator for operator in before if _is_out(draft, operator)}
    turns = in_turn(before.keys() | wanted.keys(), out, height)
    # Somebody has to make the next block.
    powers = limited(before, wanted, turns, places=draft.params.validators_max) or before
    for operator in sorted(before.keys() | powers.keys()):
        _note_status(draft, operator, votes=operator in powers)
        bonding.settle(draft, operator, height, power=powers.get(operator, 0))
    _elect(draft, powers, height)


def limited(
    before: Mapping[Address, int],
    wanted: Mapping[Address, int],
    turns: Sequence[Address],
    *,
    places: int,
) -> dict[Address, int]:
    """Go from some powers towards others, one operator after the other, as far as one epoch may.

    Nobody joins while as many as there are places have a vote. Of a total of three or less, a
    single vote may still come or go, or nobody ever could.
    """
    room = max(1, (sum(before.values()) - 1) // 3)
    powers = dict(before)
    for operator in turns:
        old, aim = before.get(operator, 0), wanted.get(operator, 0)
        if not old and len(powers) >= places:
            continue
        step = max(-room, min(room, aim - old))
        room -= abs(step)
        if old + step:
            powers[operator] = old + step
        else:
            powers.pop(operator, None)
    return powers


def capped(wanted: Mapping[Address, int], share_bps: int) -> dict[Address, int]:
    """Hold each power within a share of all of them, as they are afterwards.

    Fewer operators than it takes to be so small are left as they are.
    """
    if len(wanted) * share_bps < BPS:
        return dict(wanted)
    low, high = 1, max(wanted.values(), default=1)
    while low < high:  # the greatest bound that its holder keeps
        bound = (low + high + 1) // 2
        total = sum(min(power, bound) for power in wanted.values())
        low, high = (bound, high) if bound * BPS <= total * share_bps else (low, bound - 1)
    return {operator: min(power, low) for operator, power in wanted.items()}


def in_turn(
    operators: AbstractSet[Address], out: AbstractSet[Address], height: Height
) -> list[Address]:
    """Order who moves: those who are out come first, the others by lot.

    The lot is drawn anew in each epoch, so that no address is always served first. Who leaves of
    its own will has no precedence: joiners would wait until hardly anybody is left.
    """

    def rank(operator: Address) -> tuple[bool, bytes]:
        lot = hashlib.sha256(height.to_bytes(8, "big") + operator).digest()
        return operator not in out, lot

    return sorted(operators, key=rank)


def _is_out(draft: Draft, operator: Address) -> bool:
    member = draft.membership(operator)
    return member is None or member.status == JAILED or member.seat == REMOVED


def _wanted(draft: Draft) -> dict[Address, int]:
    """Choose by bond, of equal ones the lowest address; nobody else may have a vote."""
    rows = []
    for operator in draft.roster.operators:
        member = draft.membership(operator)
        if member is not None and _may_vote(member):
            rows.append((-(member.bonded // POWER_UNIT), operator))
    chosen = sorted(rows)[: draft.params.validators_max]
    return {operator: -power for power, operator in chosen if power}


def _may_vote(member: Membership) -> bool:
    return member.status in {CANDIDATE, ACTIVE}


def _elect(draft: Draft, powers: Mapping[Address, int], height: Height) -> None:
    assert len(powers) <= limits.VALIDATORS_MAX, "more validators than a certificate can hold"
    members = []
    for operator, power in powers.items():
        key = enrolment.rotate(draft, operator).key
        members.append(Validator(operator, key, Power(power)))
    current = draft.validators
    if {_vote(member) for member in members} != {_vote(member) for member in current.members}:
        draft.put((objects.VALIDATORS, b""), current.succeeded_by(members))
        before = {member.key for member in current.members}
        _note_keys(draft, before ^ {member.key for member in members}, height)


def _note_keys(draft: Draft, changed: AbstractSet[PublicKey], height: Height) -> None:
    """Remember which keys have a vote behind this height, and which had one until now."""
    for key in sorted(changed):
        use = draft.key_use(key)
        assert use is not None, "a vote of a key that is not registered"
        if not use.voted or use.voted[-1][1]:
            oldest = height - draft.params.evidence_max_age_blocks
            voted = tuple(row for row in use.voted if row[1] >= oldest)
            voted = (*_joined(voted), (Height(height + 1), Height(0)))
        else:
            voted = (*use.voted[:-1], (use.voted[-1][0], height))
        draft.put((objects.KEY_USE, key), replace(use, voted=voted))


def _joined(voted: tuple[tuple[Height, Height], ...]) -> tuple[tuple[Height, Height], ...]:
    """Bound the times of a key: who kept to one vote has nothing to fear between two of them."""
    if len(voted) < limits.VOTING_TIMES_MAX:
        return voted
    return ((voted[0][0], voted[1][1]), *voted[2:])


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
