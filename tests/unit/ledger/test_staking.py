"""Shares of a bond: what is put in comes out, and rounding never makes a coin."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aitbc_node.ledger import staking
from aitbc_node.ledger.objects import NATIVE, REWARD_POOL, Membership, Stake, balance
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

    taken = staking.reward(draft, NORTH, 1_000)

    member = member_of(draft)
    assert (taken, member.commission, member.rewards) == (1_000, 10, 990)
    stakes = [draft.stake(NORTH, who) for who in (NORTH, ALICE)]
    assert [staking.earned_by(member, stake) for stake in stakes] == [247, 742]


def test_who_changes_a_stake_is_paid_before() -> None:
    """Rewards are of the shares that earned them, and are paid once."""
    draft = a_draft()
    staking.add(draft, NORTH, ALICE, 3 * POWER_UNIT)
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
