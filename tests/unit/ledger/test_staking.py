"""Shares of a bond: what is put in comes out, and rounding never makes a coin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.ledger import staking
from aitbc_node.ledger.objects import (
    ACTIVE,
    ADMITTED,
    NATIVE,
    REWARD_POOL,
    Membership,
    Stake,
    balance,
)
from aitbc_node.ledger.staking import POWER_UNIT, membership_key
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Amount, PublicKey
from aitbc_sim.town import Town, a_genesis, address

NORTH, ALICE, BOB = address("north"), address("alice"), address("bob")


def a_draft() -> Draft:
    """Lay changes over a town whose north validator has one coin of power."""
    return Draft(Town(a_genesis()).state)


def member_of(draft: Draft) -> Membership:
    """Return north's membership."""
    found = draft.membership(NORTH)
    assert found is not None
    return found


def earned(draft: Draft) -> list[int]:
    """Return what north, alice and bob have earned behind north and not taken."""
    stakes = [draft.stake(NORTH, who) or Stake(0, 0) for who in (NORTH, ALICE, BOB)]
    return [staking.earned_by(member_of(draft), stake) for stake in stakes]


def test_a_stake_is_worth_what_was_put_in() -> None:
    """Without slashing a share is a base unit."""
    draft = a_draft()

    staking.add(draft, NORTH, ALICE, 5_000_000)

    member, stake = member_of(draft), draft.stake(NORTH, ALICE)
    assert stake is not None
    assert staking.value_of(member, stake.shares) == 5_000_000
    assert (member.bonded, member.delegators) == (POWER_UNIT + 5_000_000, 2)
    assert staking.own_bond(draft, NORTH, member) == POWER_UNIT


def test_taking_all_ends_the_stake() -> None:
    """Nothing stays behind in the state."""
    draft = a_draft()
    staking.add(draft, NORTH, ALICE, 5_000_000)

    staking.take(draft, NORTH, ALICE, 5_000_000)

    assert draft.stake(NORTH, ALICE) is None
    assert (member_of(draft).bonded, member_of(draft).delegators) == (POWER_UNIT, 1)


def test_what_nobody_could_be_paid_returns_to_the_pool_with_the_last_share() -> None:
    """Fractions of a unit that rounding kept back; while somebody has shares they stay."""
    draft = a_draft()
    staking.add(draft, NORTH, ALICE, 3 * POWER_UNIT)
    staking.ripen(draft, NORTH)
    staking.reward(draft, NORTH, 1_000)

    staking.take(draft, NORTH, ALICE, 3 * POWER_UNIT)
    kept = draft.pool(REWARD_POOL).balances
    staking.take(draft, NORTH, NORTH, POWER_UNIT)

    assert kept == ()
    assert draft.pool(REWARD_POOL).balances == ((NATIVE, 1),)
    assert member_of(draft).rewards == 0


def test_a_loss_is_shared_by_all_in_proportion() -> None:
    """Half of the bond gone: every stake is worth half, and new coins buy twice the shares."""
    draft = a_draft()
    staking.add(draft, NORTH, ALICE, 3 * POWER_UNIT)
    halved = replace(member_of(draft), bonded=Amount(2 * POWER_UNIT))
    draft.put(membership_key(NORTH), halved)

    staking.add(draft, NORTH, BOB, POWER_UNIT)

    worth = [
        staking.value_of(member_of(draft), draft.stake(NORTH, who).shares)
        for who in (NORTH, ALICE, BOB)
    ]
    assert worth == [POWER_UNIT // 2, 3 * POWER_UNIT // 2, POWER_UNIT]


def test_rewards_follow_shares_and_commission_goes_to_the_operator() -> None:
    """Of 1000: 1 % commission, and the rest one to three."""
    draft = a_draft()
    staking.add(draft, NORTH, ALICE, 3 * POWER_UNIT)
    staking.ripen(draft, NORTH)

    taken = staking.reward(draft, NORTH, 1_000)

    member = member_of(draft)
    assert (taken, member.commission, member.rewards) == (1_000, 10, 990)
    stakes = [draft.stake(NORTH, who) for who in (NORTH, ALICE)]
    assert [staking.earned_by(member, stake) for stake in stakes] == [247, 742]


def test_who_changes_a_stake_is_paid_before() -> None:
    """Rewards are of the shares that earned them, and are paid once."""
    draft = a_draft()
    staking.add(draft, NORTH, ALICE, 3 * POWER_UNIT)
    staking.ripen(draft, NORTH)
    staking.reward(draft, NORTH, 1_000)
    before = balance(draft.account(ALICE).balances, NATIVE)

    staking.add(draft, NORTH, ALICE, POWER_UNIT)
    staking.pay_out(draft, NORTH, ALICE)

    assert balance(draft.account(ALICE).balances, NATIVE) == before + 742
    assert member_of(draft).rewards == 990 - 742


def test_a_newcomer_earns_from_its_arrival_only() -> None:
    """What was earned before belongs to those who were there."""
    draft = a_draft()
    staking.reward(draft, NORTH, 1_000)

    staking.add(draft, NORTH, BOB, POWER_UNIT)

    assert staking.earned_by(member_of(draft), draft.stake(NORTH, BOB)) == 0


def test_what_was_bonded_in_an_epoch_earns_nothing_of_it() -> None:
    """The old shares of the same account do; all earn of the next one. Nothing is lost of it."""
    draft = a_draft()
    staking.add(draft, NORTH, ALICE, POWER_UNIT)
    staking.ripen(draft, NORTH)
    staking.add(draft, NORTH, ALICE, 2 * POWER_UNIT)
    staking.add(draft, NORTH, BOB, POWER_UNIT)

    assert staking.reward(draft, NORTH, 1_000) == 1_000
    staking.ripen(draft, NORTH)
    first = earned(draft)
    assert staking.reward(draft, NORTH, 1_000) == 1_000

    assert first == [495, 495, 0]
    assert earned(draft) == [495 + 198, 495 + 594, 198]
    assert member_of(draft).rewards == 1_980


def test_what_is_taken_back_in_its_epoch_is_of_what_came_last() -> None:
    """Coins that come and go within an epoch leave those that were there to earn."""
    draft = a_draft()
    staking.add(draft, NORTH, ALICE, POWER_UNIT)
    staking.ripen(draft, NORTH)
    staking.add(draft, NORTH, ALICE, 5 * POWER_UNIT)
    staking.take(draft, NORTH, ALICE, 4 * POWER_UNIT)
    assert member_of(draft).fresh == ((ALICE, POWER_UNIT),)
    staking.take(draft, NORTH, ALICE, POWER_UNIT)
    assert member_of(draft).fresh == ()

    staking.reward(draft, NORTH, 1_000)

    assert earned(draft)[:2] == [495, 495]


def test_where_all_is_fresh_only_the_commission_is_paid() -> None:
    """The rest stays in the pool."""
    draft = a_draft()
    staking.take(draft, NORTH, NORTH, POWER_UNIT)
    staking.add(draft, NORTH, NORTH, POWER_UNIT)

    assert staking.reward(draft, NORTH, 1_000) == 10
    assert (member_of(draft).rewards, member_of(draft).commission) == (0, 10)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 10**13)), max_size=12),
    st.lists(st.integers(0, 10**12), max_size=4),
    st.integers(1, 10_000),
)
def test_stakes_and_rewards_are_never_worth_more_than_there_is(
    moves: list[tuple[bool, int]], rewards: list[int], kept_bps: int
) -> None:
    """Whatever is bonded, slashed, rewarded and taken: the parts fit into the whole."""
    draft = a_draft()
    for place, (is_alice, amount) in enumerate(moves):
        member, who = member_of(draft), ALICE if is_alice else BOB
        stake = draft.stake(NORTH, who)
        if stake is not None and place % 3 == 0:
            staking.take(draft, NORTH, who, staking.value_of(member, stake.shares) // 2)
        elif 0 < staking.shares_for(member, amount) < 2**60:
            staking.add(draft, NORTH, who, amount)
        if place == 5:
            left = Amount(member_of(draft).bonded * kept_bps // 10_000)
            draft.put(membership_key(NORTH), replace(member_of(draft), bonded=left))
        for reward in rewards[place : place + 1]:
            assert staking.reward(draft, NORTH, reward) <= reward
            if place % 2:
                staking.ripen(draft, NORTH)

    member = member_of(draft)
    stakes = [stake for who in (NORTH, ALICE, BOB) if (stake := draft.stake(NORTH, who))]
    assert sum(stake.shares for stake in stakes) == member.shares
    assert sum(staking.value_of(member, stake.shares) for stake in stakes) <= member.bonded
    assert sum(staking.earned_by(member, stake) for stake in stakes) <= member.rewards


def test_a_bond_of_crumbs_earns_nothing_rather_than_too_much() -> None:
    """The count of rewards per share never leaves 64 bits; what cannot be counted stays."""
    draft = a_draft()
    crumbs = Membership(PublicKey(bytes(32)), None, 0, "", "", "active", Amount(1), 1, 1)
    draft.put(membership_key(NORTH), crumbs)
    draft.put(staking.stake_key(NORTH, NORTH), Stake(1, 0))

    assert staking.reward(draft, NORTH, 10**18) == 0


def test_the_founders_are_active_and_admitted() -> None:
    """With nothing but what the genesis says."""
    member = member_of(a_draft())

    assert (member.status, member.seat, member.endpoint) == (ACTIVE, ADMITTED, "")


def test_where_nothing_is_bonded_nothing_is_anybodys() -> None:
    """Neither a share's worth nor the operator's own bond; a reward is commission alone."""
    draft = a_draft()
    bare = replace(member_of(draft), shares=0, bonded=Amount(0), commission_bps=100)
    draft.put(membership_key(ALICE), bare)

    assert staking.value_of(bare, 0) == 0
    assert staking.own_bond(draft, BOB, member_of(draft)) == 0
    assert staking.reward(draft, ALICE, 1_000) == 10
    left = draft.membership(ALICE)
    assert left is not None
    assert (left.earned, left.rewards, left.commission) == (0, 0, 10)


@pytest.mark.parametrize(("amount", "taken"), [(5, 5), (6, 0)])
def test_rewards_per_share_are_counted_up_to_the_last_number(amount: int, taken: int) -> None:
    """To the unit."""
    draft = a_draft()
    scale = staking.EARNED_SCALE
    full = Membership(
        PublicKey(bytes(32)), None, 0, "", "", "active", Amount(scale), scale, 1, limits.INT_MAX - 5
    )
    draft.put(membership_key(NORTH), full)

    assert staking.reward(draft, NORTH, amount) == taken
