"""Who is away for so long that it should have no vote?

The blocks of a window are counted, as the certificates in blocks show who signed. Whoever misses
too much of one is jailed, never so many at once that a third of the power is in jail and still has
a vote; nothing is slashed for it. Do not add offences here. Source: rules 2.10.
"""

from collections.abc import Collection, Mapping

from aitbc_node.ledger import enrolment, objects
from aitbc_node.ledger.family import Event
from aitbc_node.ledger.objects import (
    AWAY,
    AWAY_LEAVING,
    JAILED,
    LEAVING,
    Absence,
    ObjectKey,
)
from aitbc_node.ledger.params import BPS, Params
from aitbc_node.ledger.staking import membership_key
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address, Height, PublicKey

_PLACE: ObjectKey = (objects.ABSENCE, b"")


def note_block(
    draft: Draft, *, voters: Collection[PublicKey], signers: Collection[PublicKey], height: Height
) -> list[Event]:
    """Count who did not sign the block before, and jail who has missed too much; return whom."""
    window = draft.params.absence_window_blocks
    missed = dict(draft.absence.rows)
    for key in voters:
        if window and key not in signers:
            use = draft.key_use(key)
            assert use is not None, "a vote of a key that is not registered"
            missed[use.operator] = missed.get(use.operator, 0) + 1
    events = _jail(draft, missed, height) if window else []
    for event in events:
        del missed[Address(bytes.fromhex(event[1]))]
    if missed and window and height % window:
        draft.put(_PLACE, Absence(tuple(sorted(missed.items()))))
    elif draft.absence.rows:
        draft.remove(_PLACE)
    return events


def release(draft: Draft, height: Height) -> None:
    """Let those out whose time in jail is over, where the chain does so by itself."""
    if not draft.params.unjail_by_itself:
        return
    for operator in draft.roster.operators:
        member = draft.membership(operator)
        assert member is not None, "on the roster without a membership"
        is_due = member.status == JAILED and member.jailed_until <= height
        if is_due and member.jailed_for in {AWAY, AWAY_LEAVING}:
            draft.put(membership_key(operator), enrolment.freed(member))


def missed_to_jail(params: Params) -> int:
    """Return how many missed blocks of one window are too many."""
    return -(-params.absence_window_blocks * params.absence_missed_bps // BPS)


def _jail(draft: Draft, missed: Mapping[Address, int], height: Height) -> list[Event]:
    """Jail who has missed too much, the longest absent first, as far as a quorum allows."""
    powers = {voter.operator: int(voter.power) for voter in draft.validators.members}
    jailed = sum(power for operator, power in powers.items() if _is_jailed(draft, operator))
    events: list[Event] = []
    for operator, count in sorted(missed.items(), key=lambda row: (-row[1], row[0])):
        power = powers.get(operator, 0)
        if not power or count < missed_to_jail(draft.params) or _is_jailed(draft, operator):
            continue
        if 3 * (jailed + power) >= draft.validators.total_power:
            continue  # it is tried again with the next block
        jailed += power
        enrolment.jail(draft, operator, height, why=_why(draft, operator))
        events.append(("jailed", operator.hex(), str(count)))
    return events


def _why(draft: Draft, operator: Address) -> str:
    member = draft.membership(operator)
    return AWAY_LEAVING if member is not None and member.status == LEAVING else AWAY


def _is_jailed(draft: Draft, operator: Address) -> bool:
    member = draft.membership(operator)
    return member is not None and member.status == JAILED
