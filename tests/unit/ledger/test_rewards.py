"""Rewards: what the pool pays follows blocks, votes and bonds, and nothing is created."""

import pytest
from msgspec.structs import replace

from aitbc_node.codes import Code
from aitbc_node.ledger import balances, staking
from aitbc_node.ledger.bonding import StakeBond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.objects import JAILED, NATIVE, REWARD_POOL, balance
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.rewards import RewardClaim, weight
from aitbc_node.ledger.staking import earned_by, membership_key
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Amount, Round
from aitbc_sim.town import CHAIN_ID, VALIDATOR_NAMES, Town, a_genesis, address, key_of

COIN = 1_000_000
POOL = 1_000_000


def a_mint(pool: int = POOL) -> Town:
    """Found a town that pays 1000 a block, a fifth to proposers, over epochs of eight blocks."""
    params = Params(epoch_blocks=8, reward_per_block=1_000, reward_proposer_bps=2_000)
    return Town(
        a_genesis(rich=("alice", *VALIDATOR_NAMES), params=params, powers=(1,) * 4, pool=pool)
    )


def pooled(town: Town) -> int:
    """Return what is left in the reward pool."""
    return balance(town.state.pool(REWARD_POOL).balances, NATIVE)


def earnings(town: Town) -> dict[str, int]:
    """Return what each validator and those behind it have earned and not taken."""
    members = {name: town.state.membership(address(name)) for name in VALIDATOR_NAMES}
    return {name: member.rewards + member.commission for name, member in members.items()}


def ripe(town: Town, validator: str, delegator: str, amount: int) -> None:
    """Put coins behind a validator as if they had been there before the epoch."""
    draft = Draft(town.state)
    balances.move(draft, address(delegator), NATIVE, -amount)
    staking.add(draft, address(validator), address(delegator), amount)
    staking.ripen(draft, address(validator))
    town.rewrite({key: value for key, value in draft.writes().items() if value is not None})


def run(town: Town, blocks: int) -> None:
    """Apply empty blocks."""
    for _ in range(blocks):
        town.apply()


def test_equals_earn_the_same_at_the_end_of_the_epoch() -> None:
    """Eight blocks, two proposed by each: 8000 in four parts, nothing before the end."""
    town = a_mint()

    run(town, 7)
    before = earnings(town)
    run(town, 1)

    assert before == dict.fromkeys(VALIDATOR_NAMES, 0)
    assert earnings(town) == dict.fromkeys(VALIDATOR_NAMES, 2_000)
    assert pooled(town) == POOL - 8_000
    assert town.state.epoch_log.rows == ()


@pytest.mark.proves("E23")
def test_who_does_not_sign_earns_less() -> None:
    """Half of the votes is half of the weight; its blocks are paid all the same."""
    town = a_mint()
    town.absent = {key_of("north votes").public_key}

    run(town, 8)

    earned = earnings(town)
    assert earned["north"] == 400
    others = {earned[name] for name in VALIDATOR_NAMES if name != "north"}
    assert others == {400 + 6_400 // 3}
    assert pooled(town) == POOL - sum(earned.values())


def test_a_poor_pool_pays_what_it_has() -> None:
    """There is no inflation: an empty pool pays nothing, and blocks go on."""
    town = a_mint(pool=100)

    run(town, 8)
    left = pooled(town)
    run(town, 8)

    assert sum(earnings(town).values()) == 100 - pooled(town)
    assert left < 100


@pytest.mark.parametrize(
    ("signed", "expected", "weighs"),
    [
        (0, 0, 0),
        (0, 10, 0),
        (94, 100, 9_400),
        (95, 100, 10_000),
        (100, 100, 15_000),
        (9, 9, 15_000),
    ],
)
def test_attendance_counts_for_more_from_95_percent_on(
    signed: int, expected: int, weighs: int
) -> None:
    """In proportion below; above up to half as much again."""
    assert weight(1, signed=signed, expected=expected) == weighs


@pytest.mark.proves("E25")
def test_delegators_share_by_stake_and_the_operator_takes_its_commission() -> None:
    """One coin and three of alice: of 2000, 1 % commission, and the rest one to three."""
    town = a_mint()
    ripe(town, "north", "alice", 3 * COIN)
    run(town, 8)
    before = {name: town.owns(name) for name in ("alice", "north")}

    alice = town.apply(town.tx("alice", RewardClaim(address("north")))).receipts[0]
    north = town.apply(town.tx("north", RewardClaim())).receipts[0]

    names = (address("north").hex(), address("alice").hex())
    assert alice.events == (("reward.claim", *names, "1485"),)
    assert north.events[0][-1] == str(20 + 495)
    assert town.owns("alice") == before["alice"] + 1_485 - alice.fee
    assert town.state.membership(address("north")).commission == 0


@pytest.mark.parametrize(
    ("sender", "body", "code"),
    [
        ("alice", RewardClaim(), Code.E_UNKNOWN),
        ("north", RewardClaim(address("alice")), Code.E_UNKNOWN),
        ("alice", RewardClaim(address("north")), Code.E_STATE),
        ("north", RewardClaim(), Code.E_STATE),
    ],
)
def test_refusals(sender: str, body: RewardClaim, code: Code) -> None:
    """Each rule has its code, and names its field."""
    town = a_mint()

    receipt = town.apply(town.tx(sender, body)).receipts[0]

    assert (receipt.code, receipt.events) == (code, (("failed", "0", "validator"),))


@pytest.mark.proves("E24")
def test_what_was_claimed_is_not_paid_again() -> None:
    """The second claim finds nothing."""
    town = a_mint()
    run(town, 8)
    town.apply(town.tx("north", RewardClaim()))

    receipt = town.apply(town.tx("north", RewardClaim())).receipts[0]

    assert receipt.code == Code.E_STATE


def test_who_could_sign_and_who_did_is_counted_block_by_block() -> None:
    """The first block shows no votes; each one behind it those of the block before."""
    town = a_mint()
    town.absent = {key_of("north votes").public_key}

    run(town, 4)

    rows = {row.operator: row for row in town.state.epoch_log.rows}
    assert {row.expected for row in rows.values()} == {3}
    signed = {name: rows[address(name)].signed for name in VALIDATOR_NAMES}
    assert signed == {"north": 0, "east": 3, "south": 3, "west": 3}
    assert sum(row.proposed for row in rows.values()) == 4


def test_who_is_in_jail_earns_nothing_and_keeps_nobody_from_it() -> None:
    """Whichever of them it is."""
    for name in VALIDATOR_NAMES:
        town = a_mint()
        run(town, 7)
        key = membership_key(address(name))
        town.rewrite({key: replace(town.state.membership(address(name)), status=JAILED)})
        run(town, 1)

        assert earnings(town) == {**dict.fromkeys(VALIDATOR_NAMES, 2_000), name: 0}


def test_a_last_vote_of_the_epoch_before_earns_nothing_in_this_one() -> None:
    """Whoever has left is seen once more in the first block's commit, without any power."""
    town = a_mint()
    town.apply(town.tx("north", ValidatorPut(status="leaving")))
    run(town, 7)
    before = earnings(town)["north"]
    assert town.state.validators.total_power == 3

    run(town, 8)

    assert earnings(town)["north"] == before
    assert sum(earnings(town).values()) > 3 * before


def test_a_bond_earns_from_the_epoch_behind_it_on() -> None:
    """Nobody's share is fresh then, be it behind a validator or behind one to come."""
    town = a_mint()
    north, alice = address("north"), address("alice")
    key = key_of("alice votes")
    proof = possession_proof(CHAIN_ID, alice, key)
    town.apply(town.tx("alice", StakeBond(north, Amount(3 * COIN))))
    town.apply(
        town.tx(
            "alice",
            ValidatorPut(key=key.public_key, proof=proof),
            StakeBond(alice, Amount(COIN)),
        )
    )
    run(town, 6)
    assert town.state.membership(north).fresh == town.state.membership(alice).fresh == ()
    assert earned_by(town.state.membership(north), town.state.stake(north, alice)) == 0
    assert earnings(town)["north"] == 2_000

    run(town, 8)

    assert earned_by(town.state.membership(north), town.state.stake(north, alice)) > 0


@pytest.mark.proves("T3")
def test_who_declares_and_who_delegates_are_paid_by_the_formula() -> None:
    """From the registration to the claims; every block on the way is audited."""
    town = a_mint()
    alice, key = address("alice"), key_of("alice votes")
    proof = possession_proof(CHAIN_ID, alice, key)
    declared = ValidatorPut(key=key.public_key, proof=proof, commission_bps=500)
    town.apply(town.tx("alice", declared, StakeBond(alice, Amount(COIN))))
    town.apply(town.tx("east", StakeBond(alice, Amount(3 * COIN))))
    while town.height % 8 or town.state.validators.power_of(key.public_key) < 4:
        town.apply()
    for name in ("alice", "east"):
        town.apply(town.tx(name, RewardClaim(alice)))
    run(town, 5)

    proposers = [row.operator for row in town.state.epoch_log.rows for _ in range(row.proposed)]
    proposers.append(town.state.validators.proposer(Round(0)).operator)
    powers = {each.operator: each.power for each in town.state.validators.members}
    run(town, 1)
    whole, proposed = 8_000, proposers.count(alice)
    due = whole // 5 * proposed // 8 + whole * 4 // 5 * powers[alice] // sum(powers.values())
    commission = due * 500 // 10_000
    paid = [
        int(town.apply(town.tx(name, RewardClaim(alice))).receipts[0].events[0][-1])
        for name in ("alice", "east")
    ]

    assert (len(proposers), powers[alice]) == (8, 4)
    assert paid == [commission + (due - commission) // 4, (due - commission) * 3 // 4]
