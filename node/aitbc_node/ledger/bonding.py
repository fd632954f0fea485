"""Who may put coins behind a validator, and how do they come back?

A bond counts as power from the next epoch on. What is taken back waits for `unbonding_blocks`, and
never comes before its vote is gone and evidence of that vote is too late; until then it can be
slashed for what happened while it counted. Do not add the arithmetic of shares.
"""

from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.canonical import Record
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import due, enrolment, objects, roster, staking
from aitbc_node.ledger.balances import move
from aitbc_node.ledger.family import Act, Family, Outcome
from aitbc_node.ledger.forms import AccountName, Gain
from aitbc_node.ledger.objects import (
    LEAVING,
    NATIVE,
    NEW_ACCOUNT,
    Leaving,
    Membership,
    ObjectKey,
    Unbonding,
    balance,
)
from aitbc_node.ledger.params import DELEGATORS_MAX, Params
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address, Height

STAKE_GAS = 60_000

ROWS_PER_DELEGATOR_MAX = 8
ROWS_MAX = 1_000
"""Of one validator's queue: a slashing walks over it."""

# Everybody who may bond with a validator, and its operator, can take coins back at any time.
assert ROWS_MAX >= ROWS_PER_DELEGATOR_MAX * (DELEGATORS_MAX + 1)


class StakeBond(Record, frozen=True, tag="stake.bond"):
    """Put own coins behind a validator, named by its operator."""

    validator: AccountName
    amount: Gain


class StakeUnbond(Record, frozen=True, tag="stake.unbond"):
    """Take own coins back from behind a validator."""

    validator: AccountName
    amount: Gain


def bond(draft: Draft, act: Act, body: StakeBond) -> Outcome:
    """Bond coins, or say why not."""
    member = draft.membership(body.validator)
    if member is None:
        return Refusal(Code.E_UNKNOWN, "validator", "no validator is registered by this account")
    refusal = _check_bond(draft, act.sender, body, member)
    if refusal is not None:
        return refusal
    move(draft, act.sender, NATIVE, -body.amount)
    staking.add(draft, body.validator, act.sender, body.amount)
    if not roster.enter(draft, body.validator):
        message = f"{roster.ROSTER_MAX} validators are registered and bonded"
        return Refusal(Code.E_LIMIT, "validator", message)
    return [("stake.bond", body.validator.hex(), act.sender.hex(), str(body.amount))]


def unbond(draft: Draft, act: Act, body: StakeUnbond) -> Outcome:
    """Begin to take coins back, or say why not."""
    member = draft.membership(body.validator)
    stake = draft.stake(body.validator, act.sender)
    if member is None or stake is None:
        return Refusal(Code.E_UNKNOWN, "validator", "nothing of the sender's is bonded there")
    queue = draft.unbonding(body.validator)
    worth = staking.value_of(member, stake.shares)
    refusal = _check_unbond(draft, act.sender, body, worth) or _check_queue(queue, act.sender)
    if refusal is not None:
        return refusal
    staking.take(draft, body.validator, act.sender, body.amount)
    matures = Height(act.height + draft.params.unbonding_blocks)
    place: ObjectKey = (objects.UNBONDING, body.validator)
    counted_until = Height(0) if enrolment.is_member(draft, body.validator) else act.height
    row = Leaving(act.sender, body.amount, counted_until, matures)
    draft.put(place, Unbonding((*queue.rows, row)))
    if all(other.matures != matures for other in queue.rows):
        due.plan(draft, matures, place)
    names = (body.validator.hex(), act.sender.hex())
    return [("stake.unbond", *names, str(body.amount), str(matures))]


def settle(draft: Draft, operator: Address, height: Height, *, power: int) -> None:
    """Note which coins on their way back count no more behind this height.

    They do as long as the operator's power is more than what is bonded.
    """
    member, queue = draft.membership(operator), draft.unbonding(operator)
    if member is None or power * staking.POWER_UNIT > member.bonded:
        return
    if all(row.counted_until for row in queue.rows):
        return
    soonest = Height(height + draft.params.evidence_max_age_blocks + 1)
    place: ObjectKey = (objects.UNBONDING, operator)
    rows = []
    for row in queue.rows:
        counts = not row.counted_until
        matures = max(row.matures, soonest) if counts else row.matures
        rows.append(replace(row, matures=matures, counted_until=row.counted_until or height))
    draft.put(place, Unbonding(tuple(rows)))
    planned = {row.matures for row in queue.rows if row.matures > height}
    if any(row.matures == soonest for row in rows) and soonest not in planned:
        due.plan(draft, soonest, place)


def mature(draft: Draft, key: ObjectKey, height: Height) -> None:
    """Pay what has waited long enough and counts for no vote."""
    queue = draft.unbonding(Address(key[1]))
    paid = [row for row in queue.rows if row.counted_until and row.matures <= height]
    for row in paid:
        if row.amount:
            move(draft, row.delegator, NATIVE, row.amount)
    left = tuple(row for row in queue.rows if not row.counted_until or row.matures > height)
    if left:
        draft.put(key, replace(queue, rows=left))
    else:
        draft.remove(key)


def _check_bond(
    draft: Draft, sender: Address, body: StakeBond, member: Membership
) -> Refusal | None:
    params = draft.params
    if member.status == LEAVING:
        return Refusal(Code.E_STATE, "validator", "it is leaving")
    if body.amount < params.delegation_min:
        return Refusal(Code.E_MINIMUM, "amount", f"the least is {params.delegation_min}")
    is_new = draft.stake(body.validator, sender) is None
    if is_new and sender != body.validator:
        others = member.delegators + _gone(draft, body.validator, but=sender)
        if others >= params.delegators_max:
            message = f"{others} have bonded there or wait for their coins, as many as may"
            return Refusal(Code.E_LIMIT, "validator", message)
    shares = staking.shares_for(member, body.amount)
    if not 0 < shares <= limits.INT_MAX - member.shares:
        return Refusal(Code.E_STATE, "validator", "its bond was slashed down to nothing")
    owned = balance((draft.account(sender) or NEW_ACCOUNT).balances, NATIVE)
    if body.amount > owned:
        return Refusal(Code.E_INSUFFICIENT, "amount", f"the account has {owned} after the fee")
    return None


def _gone(draft: Draft, operator: Address, *, but: Address) -> int:
    """Count those who wait for the last of their coins: they keep their place until it comes.

    Or accounts that come and go would fill the queue, and nobody else could take coins back.
    """
    waiting = {row.delegator for row in draft.unbonding(operator).rows} - {operator, but}
    return sum(draft.stake(operator, delegator) is None for delegator in waiting)


def _check_unbond(draft: Draft, sender: Address, body: StakeUnbond, worth: int) -> Refusal | None:
    if body.amount > worth:
        return Refusal(Code.E_INSUFFICIENT, "amount", f"the stake is worth {worth}")
    is_operator = sender == body.validator
    least = draft.params.self_bond_min if is_operator else draft.params.delegation_min
    left = worth - body.amount
    if 0 < left < least:
        return Refusal(Code.E_MINIMUM, "amount", f"{left} would stay, the least is {least}")
    return None


def _check_queue(queue: Unbonding, sender: Address) -> Refusal | None:
    own = sum(row.delegator == sender for row in queue.rows)
    if own >= ROWS_PER_DELEGATOR_MAX:
        return Refusal(Code.E_LIMIT, "validator", f"{own} amounts are on their way back already")
    if len(queue.rows) >= ROWS_MAX:
        return Refusal(Code.E_LIMIT, "validator", "too many amounts are on their way back")
    return None


def _gas(_body: StakeBond | StakeUnbond) -> int:
    return STAKE_GAS


def _spends(_params: Params, _sender: Address, body: StakeBond) -> int:
    return body.amount


BOND = Family(StakeBond, gas=_gas, apply=bond, spends=_spends)
UNBOND = Family(StakeUnbond, gas=_gas, apply=unbond)
