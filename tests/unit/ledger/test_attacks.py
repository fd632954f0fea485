"""Attacks on the economy, driven against the rules: whoever tries ends with less than before.

What a node tells of them is in `tests/unit/test_incidents.py`, a false history in
`tests/unit/test_trusting.py`; the order within a block is nobody's to enforce.
"""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from aitbc_node.codes import Code
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.rewards import RewardClaim
from aitbc_node.ledger.staking import value_of
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Address, Amount, BlockId, Gas, Height, Round, Signature
from aitbc_sim.town import CHAIN_ID, VALIDATOR_NAMES, WEALTH, Town, a_genesis, address, key_of, pay

COIN = 1_000_000
PARAMS = Params(epoch_blocks=12, unbonding_blocks=30, evidence_max_age_blocks=15)


def a_town(params: Params = PARAMS, *, rich: Sequence[str] = ()) -> Town:
    """Found a town of four equals with rich operators and a full reward pool."""
    everybody = ("alice", *VALIDATOR_NAMES, *rich)
    return Town(a_genesis(rich=everybody, params=params, powers=(10,) * 4, pool=WEALTH))


def wealth(town: Town, name: str) -> int:
    """Sum all that is a citizen's: at hand, bonded, on its way back, and earned."""
    who, total = address(name), town.owns(name)
    for operator in map(address, VALIDATOR_NAMES):
        member, stake = town.state.membership(operator), town.state.stake(operator, who)
        assert member is not None
        total += 0 if stake is None else value_of(member, stake.shares)
        total += sum(
            row.amount for row in town.state.unbonding(operator).rows if row.delegator == who
        )
        total += member.commission + member.rewards if operator == who else 0
    return total


def registration(name: str) -> ValidatorPut:
    """Bring a new consensus key."""
    key = key_of(f"{name} votes")
    proof = possession_proof(CHAIN_ID, address(name.partition(" ")[0]), key)
    return ValidatorPut(key=key.public_key, proof=proof)


def turns(town: Town, blocks: int) -> list[Address]:
    """Apply empty blocks; return whose turn each was."""
    found = []
    for _ in range(blocks):
        found.append(town.state.validators.proposer(Round(0)).operator)
        town.apply()
    return found


def test_sybils_have_no_power_and_pay_for_their_names() -> None:
    """A crowd registers and bonds the least that a delegator may: nobody of it ever votes."""
    crowd = [f"sybil{place}" for place in range(60)]
    town = a_town(replace(PARAMS, self_bond_min=5 * COIN), rich=crowd)
    before = town.state.validators.digest()
    for name in crowd:
        acts = (registration(name), StakeBond(address(name), Amount(COIN)))
        assert town.apply(town.tx(name, *acts)).receipts[0].code == Code.OK
    turns(town, 24)

    operators = {member.operator for member in town.state.validators.members}
    assert operators == {address(name) for name in VALIDATOR_NAMES}
    assert len(town.state.validators.digest()) == len(before)
    assert town.state.roster.operators == tuple(sorted(operators))
    spent = [WEALTH - COIN - town.owns(name) for name in crowd]
    assert min(spent) > 0


@pytest.mark.parametrize("admitted_only", [False, True])
def test_as_much_stake_in_more_names_is_as_much_power(admitted_only: bool) -> None:  # noqa: FBT001 - a parameter
    """Splitting a bond wins no vote; where admission is needed it loses them all."""
    powers = []
    for parts in (1, 4):
        names = [f"part{place}" for place in range(parts)]
        town = a_town(replace(PARAMS, validators_open=int(not admitted_only)), rich=names)
        for name in names:
            bond = StakeBond(address(name), Amount(8 * COIN // parts))
            town.apply(town.tx(name, registration(name), bond))
        turns(town, 36)
        powers.append(
            sum(town.state.validators.power_of(key_of(f"{n} votes").public_key) for n in names)
        )

    assert powers == ([0, 0] if admitted_only else [8, 8])


GRINDS: dict[str, list[Body]] = {
    "nothing": [],
    "a payment": [pay("alice", 1)],
    "another payment": [pay("alice", 2)],
    "a bond": [StakeBond(address("north"), Amount(3 * COIN))],
    "coins taken back": [StakeUnbond(address("north"), Amount(3 * COIN))],
    "a new key": [registration("north next")],
    "a leave": [ValidatorPut(status="leaving")],
}


def test_nothing_in_an_own_block_changes_whose_turn_it_is_in_this_epoch() -> None:
    """The schedule follows from what was settled at the epoch's beginning. E29a."""
    schedules = {}
    for name, bodies in GRINDS.items():
        town = a_town()
        while town.state.validators.proposer(Round(0)).operator != address("north"):
            town.apply()
        town.apply(*[town.tx("north", *bodies)] if bodies else [])
        schedules[name] = tuple(turns(town, 12 - town.height))

    assert len(set(schedules.values())) == 1, schedules


def test_no_choice_of_payments_changes_a_turn_of_the_epochs_after() -> None:
    """Ids and roots of blocks can be ground; nothing that is drawn depends on them. E29a."""
    schedules = set()
    for amount in range(1, 6):
        town = a_town()
        for _ in range(3):
            town.apply(town.tx("north", pay("alice", amount)))
        schedules.add(tuple(turns(town, 40)))

    assert len(schedules) == 1


def test_who_leaves_and_returns_wins_no_turn() -> None:
    """A joiner begins at the end of the queue, so coming back costs turns and coins. E29a."""
    stayed, ground = a_town(), a_town()
    counts, kept = [], []
    for town, acts in ((stayed, False), (ground, True)):
        proposed = []
        for epoch in range(8):
            if acts:
                status = "leaving" if epoch % 2 == 0 else "joining"
                town.apply(town.tx("north", ValidatorPut(status=status)))
                proposed += turns(town, 11)
            else:
                proposed += turns(town, 12)
        counts.append(proposed.count(address("north")))
        kept.append(wealth(town, "north"))

    assert counts[1] < counts[0]
    assert kept[1] < kept[0]


def test_who_votes_for_two_blocks_loses_half_and_its_vote() -> None:
    """Nothing is at stake only for who has nothing at stake. E29b."""
    honest, cheat = a_town(), a_town()
    signer = key_of("north votes")
    for town in (honest, cheat):
        town.apply()
    bare = [
        SignedMessage(1, Height(1), Round(0), Round(-1), BlockId(32 * name), 0, Signature(b""))
        for name in (b"\1", b"\2")
    ]
    two = [replace(each, signature=signer.sign(each.sign_bytes(CHAIN_ID))) for each in bare]
    cheat.apply(cheat.tx("alice", EvidenceSubmit(signer.public_key, *two)))
    honest.apply()
    turns(cheat, 22)
    turns(honest, 22)

    assert wealth(cheat, "north") <= wealth(honest, "north") - 5 * COIN
    assert cheat.state.validators.power_of(signer.public_key) == 0
    assert honest.state.validators.power_of(signer.public_key) == 10


def filling(town: Town, who: str, parts: int) -> list[Body]:
    """Write what takes `parts` sixths of a small block's gas."""
    assert town.state.params.max_block_gas == 2_000_000
    return [Transfer(tuple(Output(address(who), "AIT", Amount(1)) for _ in range(60)))] * parts


def played(*, attacks: bool) -> tuple[int, int]:
    """Let one citizen pay all the time; return what north has in the end, and the highest price.

    In between north fills ten blocks with payments to itself, or does not.
    """
    town = a_town(replace(PARAMS, max_block_gas=2_000_000, epoch_blocks=5))
    highest = 0
    for height in range(40):
        txs = [town.tx("alice", *filling(town, "alice", 1), gas_limit=Gas(2_000_000))]
        if attacks and 5 <= height < 15:
            txs.append(town.tx("north", *filling(town, "north", 5), gas_limit=Gas(2_000_000)))
        done = town.apply(*txs)
        assert all(receipt.code == Code.OK for receipt in done.receipts)
        highest = max(highest, town.state.fees.price)
    return wealth(town, "north"), highest


def test_ten_blocks_of_own_spam_cost_more_than_the_price_brings() -> None:
    """The price rises by a tenth a block; half of the fee is never the proposer's own. E29e."""
    honest, usual = played(attacks=False)
    attacker, pushed = played(attacks=True)

    assert pushed > usual
    assert attacker < honest
    default = Params()
    assert default.fee_treasury_bps + default.fee_burn_bps >= 5_000


def test_a_late_bond_earns_nothing_of_the_epoch_that_is_paid() -> None:
    """Coins that come for the payment only, and go again, have earned nothing and paid fees."""
    town = a_town(replace(PARAMS, unbonding_blocks=40))
    while town.height < 11:
        town.apply()
    before = wealth(town, "alice")
    north = address("north")
    town.apply(town.tx("alice", StakeBond(north, Amount(100 * COIN))))
    town.apply(town.tx("alice", StakeUnbond(north, Amount(100 * COIN))))
    claimed = town.apply(town.tx("alice", RewardClaim(north))).receipts[0]

    assert claimed.code == Code.E_STATE
    assert wealth(town, "alice") < before
