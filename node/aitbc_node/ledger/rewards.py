"""What do validators and those behind them earn?

At the end of an epoch the reward pool pays a fixed amount for each of its blocks, if it has it: a
part by blocks proposed, the rest by power and attendance, as the certificates in blocks show it.
What was bonded in that epoch earns nothing of it. Nothing is created; what rounding leaves stays in
the pool. Do not add fees or bonds.
Source: rules 2.6 and the formulas of the ledger.
"""

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from aitbc_node.canonical import Record
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import objects, staking
from aitbc_node.ledger.balances import fill, move
from aitbc_node.ledger.family import Act, Family, Outcome
from aitbc_node.ledger.forms import AccountName
from aitbc_node.ledger.objects import (
    JAILED,
    NATIVE,
    REWARD_POOL,
    Attendance,
    EpochLog,
    ObjectKey,
    balance,
)
from aitbc_node.ledger.params import BPS
from aitbc_node.ledger.staking import membership_key
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address, Amount, PublicKey

CLAIM_GAS = 60_000

GOOD_BPS = 9_500
"""From this attendance on each further part counts for more."""

_LOG: ObjectKey = (objects.EPOCH, b"")


class RewardClaim(Record, frozen=True, tag="reward.claim"):
    """Take what the own stake behind a validator has earned; nil for the own validator.

    An operator takes its commission along.
    """

    validator: AccountName | None = None


def note_block(
    draft: Draft,
    *,
    voters: Collection[PublicKey],
    signers: Collection[PublicKey],
    proposer: PublicKey,
) -> None:
    """Count who could sign the block before, who did, and who proposed this one."""
    rows = {row.operator: row for row in draft.epoch_log.rows}
    for key in voters:
        row = _row(draft, rows, key)
        signed = row.signed + (key in signers)
        rows[row.operator] = replace(row, signed=signed, expected=row.expected + 1)
    row = _row(draft, rows, proposer)
    rows[row.operator] = replace(row, proposed=row.proposed + 1)
    draft.put(_LOG, EpochLog(tuple(row for _, row in sorted(rows.items()))))


def pay_epoch(draft: Draft) -> None:
    """Pay for the epoch that ends, and begin to count anew."""
    rows = draft.epoch_log.rows
    draft.remove(_LOG)
    params, pool = draft.params, balance(draft.pool(REWARD_POOL).balances, NATIVE)
    blocks = sum(row.proposed for row in rows)
    whole = min(pool, params.reward_per_block * blocks)
    for_proposers = whole * params.reward_proposer_bps // BPS
    weights = _weights(draft, rows)
    total = sum(weights.values())
    for row in rows:
        member = draft.membership(row.operator)
        if member is None or member.status == JAILED:
            continue
        due = for_proposers * row.proposed // blocks
        if total:
            due += (whole - for_proposers) * weights[row.operator] // total
        taken = staking.reward(draft, row.operator, due) if due else 0
        if taken:
            fill(draft, REWARD_POOL, NATIVE, -taken)
    for operator in sorted({row.operator for row in rows}.union(draft.roster.operators)):
        staking.ripen(draft, operator)


def weight(power: int, *, signed: int, expected: int) -> int:
    """Return what a validator's power counts for, by the blocks that it signed."""
    attended_bps = signed * BPS // expected if expected else 0
    if attended_bps < GOOD_BPS:
        return power * attended_bps
    return power * (BPS + 5_000 * (attended_bps - GOOD_BPS) // 500)


def claim(draft: Draft, act: Act, body: RewardClaim) -> Outcome:
    """Pay what was earned, or say why not."""
    operator = act.sender if body.validator is None else body.validator
    member = draft.membership(operator)
    if member is None:
        return Refusal(Code.E_UNKNOWN, "validator", "no validator is registered by this account")
    left = staking.pay_out(draft, operator, act.sender)
    earned = member.rewards - left.rewards
    if operator == act.sender and left.commission:
        earned += left.commission
        move(draft, operator, NATIVE, left.commission)
        draft.put(membership_key(operator), replace(left, commission=Amount(0)))
    if not earned:
        return Refusal(Code.E_STATE, "validator", "nothing has been earned there")
    return [("reward.claim", operator.hex(), act.sender.hex(), str(earned))]


def _row(draft: Draft, rows: Mapping[Address, Attendance], key: PublicKey) -> Attendance:
    use = draft.key_use(key)
    assert use is not None, "a vote of a key that is not registered"
    return rows.get(use.operator) or Attendance(use.operator)


def _weights(draft: Draft, rows: Collection[Attendance]) -> dict[Address, int]:
    powers = {member.operator: member.power for member in draft.validators.members}
    return {
        row.operator: weight(powers.get(row.operator, 0), signed=row.signed, expected=row.expected)
        for row in rows
    }


def _gas(_body: RewardClaim) -> int:
    return CLAIM_GAS


FAMILY = Family(RewardClaim, gas=_gas, apply=claim)
