"""How much of a validator's bond belongs to whom?

A bond is divided into shares: coins that are slashed or lost to rounding leave the bond, never the
shares, so that nobody has to walk over all delegators. Rewards are counted per share in the same
way, but for shares that were bought in the epoch that is paid: nothing was at stake for it with
them. Do not add who may bond, or when a bond comes back.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.canonical import Record
from aitbc_node.ledger import objects
from aitbc_node.ledger.balances import fill, move
from aitbc_node.ledger.objects import (
    ACTIVE,
    ADMITTED,
    NATIVE,
    REWARD_POOL,
    KeyUse,
    Membership,
    ObjectKey,
    Roster,
    Stake,
)
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.state import Draft, Reader
from aitbc_node.types import Address, Amount, Height, PublicKey
from aitbc_node.validators import ValidatorSet

POWER_UNIT = 1_000_000
"""Base units of the native asset, bonded, for one vote."""

EARNED_SCALE = 10**9
"""Rewards per share are kept in units of this fraction of a base unit."""


def membership_key(operator: Address) -> ObjectKey:
    """Return where an operator's membership is in the state."""
    return objects.VALIDATOR, operator


def stake_key(operator: Address, delegator: Address) -> ObjectKey:
    """Return where a delegator's share of an operator's bond is in the state."""
    return objects.STAKE, operator + delegator


def founded(
    votes: ValidatorSet, regions: Mapping[PublicKey, str], params: Params
) -> dict[ObjectKey, Record]:
    """Return the objects of a genesis's validators, with the bonds that their power stands for."""
    operators = tuple(sorted(vote.operator for vote in votes.members))
    contents: dict[ObjectKey, Record] = {(objects.ROSTER, b""): Roster(operators)}
    for vote in votes.members:
        operator, bond = vote.operator, Amount(vote.power * POWER_UNIT)
        contents[membership_key(operator)] = Membership(
            key=vote.key,
            next_key=None,
            commission_bps=params.commission_min_bps,
            region=regions[vote.key],
            endpoint="",
            status=ACTIVE,
            bonded=bond,
            shares=bond,
            delegators=1,
            seat=ADMITTED,
        )
        contents[stake_key(operator, operator)] = Stake(bond, 0)
        contents[objects.KEY_USE, vote.key] = KeyUse(operator, ((Height(1), Height(0)),))
    return contents


def value_of(member: Membership, shares: int) -> Amount:
    """Return what so many shares of a bond are worth, rounded down."""
    return Amount(shares * member.bonded // member.shares if member.shares else 0)


def own_bond(reader: Reader, operator: Address, member: Membership) -> Amount:
    """Return how much of its bond is the operator's own."""
    stake = reader.stake(operator, operator)
    return Amount(0) if stake is None else value_of(member, stake.shares)


def shares_for(member: Membership, amount: int) -> int:
    """Return how many new shares an amount buys; 0 when it buys none."""
    if not member.shares:
        return amount
    return amount * member.shares // member.bonded if member.bonded else 0


def add(draft: Draft, operator: Address, delegator: Address, amount: int) -> None:
    """Put coins, taken elsewhere, behind an operator; what the shares earned is paid before."""
    member = pay_out(draft, operator, delegator)
    stake = draft.stake(operator, delegator)
    bought = shares_for(member, amount)
    shares = bought + (0 if stake is None else stake.shares)
    draft.put(stake_key(operator, delegator), Stake(shares, member.earned))
    changed = replace(
        member,
        bonded=Amount(member.bonded + amount),
        shares=member.shares + bought,
        delegators=member.delegators + (stake is None),
        fresh=_freshened(member, delegator, bought),
    )
    draft.put(membership_key(operator), changed)


def take(draft: Draft, operator: Address, delegator: Address, amount: int) -> None:
    """Take coins from behind an operator; the caller has checked that the stake is worth them."""
    member = pay_out(draft, operator, delegator)
    stake = draft.stake(operator, delegator)
    assert stake is not None, "no stake to take from"
    owned = value_of(member, stake.shares)
    assert amount <= owned, "more than the stake is worth"
    sold = stake.shares if amount == owned else -(-amount * member.shares // member.bonded)
    left = stake.shares - sold
    if left:
        draft.put(stake_key(operator, delegator), Stake(left, member.earned))
    else:
        draft.remove(stake_key(operator, delegator))
    changed = replace(
        member,
        bonded=Amount(member.bonded - amount),
        shares=member.shares - sold,
        delegators=member.delegators - (not left),
        fresh=_freshened(member, delegator, -sold),
    )
    if not changed.shares and changed.rewards:
        # Fractions of a unit that nobody could be paid, and nobody is left to be owed.
        fill(draft, REWARD_POOL, NATIVE, changed.rewards)
        changed = replace(changed, rewards=Amount(0))
    draft.put(membership_key(operator), changed)


def earned_by(member: Membership, stake: Stake) -> Amount:
    """Return what a stake has earned since it was paid last, rounded down."""
    return Amount(stake.shares * (member.earned - stake.earned) // EARNED_SCALE)


def pay_out(draft: Draft, operator: Address, delegator: Address) -> Membership:
    """Pay a delegator what its stake has earned; return the membership after it."""
    member = draft.membership(operator)
    assert member is not None, "nobody to be behind"
    stake = draft.stake(operator, delegator)
    if stake is None:
        return member
    earned = earned_by(member, stake)
    if earned:
        move(draft, delegator, NATIVE, earned)
        member = replace(member, rewards=Amount(member.rewards - earned))
        draft.put(membership_key(operator), member)
    draft.put(stake_key(operator, delegator), Stake(stake.shares, member.earned))
    return member


def reward(draft: Draft, operator: Address, amount: int) -> Amount:
    """Divide a reward by commission and shares, the fresh ones excepted; return what was taken."""
    member = draft.membership(operator)
    assert member is not None, "nobody to reward"
    commission = amount * member.commission_bps // 10_000
    shares = member.shares - sum(count for _, count in member.fresh)
    per_share = (amount - commission) * EARNED_SCALE // shares if shares else 0
    if member.earned + per_share > limits.INT_MAX:
        per_share = 0  # a bond of crumbs: more than a number can count stays in the pool
    shared = -(-per_share * shares // EARNED_SCALE)
    for delegator, fresh in member.fresh:
        _pass_over(draft, stake_key(operator, delegator), fresh, member.earned + per_share)
    changed = replace(
        member,
        earned=member.earned + per_share,
        rewards=Amount(member.rewards + shared),
        commission=Amount(member.commission + commission),
    )
    draft.put(membership_key(operator), changed)
    return Amount(commission + shared)


def ripen(draft: Draft, operator: Address) -> None:
    """Let what was bonded in the epoch that ends count for rewards from the next one on."""
    member = draft.membership(operator)
    if member is not None and member.fresh:
        draft.put(membership_key(operator), replace(member, fresh=()))


def _freshened(
    member: Membership, delegator: Address, bought: int
) -> tuple[tuple[Address, int], ...]:
    """Count what was bought in this epoch; what is sold is of that first."""
    counts = dict(member.fresh)
    left = max(0, counts.pop(delegator, 0) + bought)
    if left:
        counts[delegator] = left
    return tuple(sorted(counts.items()))


def _pass_over(draft: Draft, place: ObjectKey, fresh: int, earned: int) -> None:
    """Let a stake note more than its fresh shares would earn; it was paid when they were bought."""
    stake = draft.lookup(place)
    assert isinstance(stake, Stake), "fresh shares of nobody"
    grown = (earned - stake.earned) * (stake.shares - fresh) // stake.shares
    draft.put(place, Stake(stake.shares, earned - grown))
