"""Bonds: who may put coins behind a validator, and when they come back."""

import pytest
from msgspec.structs import replace

from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import bonding
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.objects import UNBONDING, Leaving, Unbonding
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.staking import membership_key
from aitbc_node.ledger.transactions import parse, sign
from aitbc_node.types import Amount, Height
from aitbc_sim.town import WEALTH, Town, a_genesis, address, key_of

COIN = 1_000_000
PARAMS = Params(epoch_blocks=1, unbonding_blocks=10, evidence_max_age_blocks=8, delegators_max=2)


def bond(amount: int, validator: str = "north") -> StakeBond:
    """Put coins behind a validator."""
    return StakeBond(address(validator), Amount(amount))


def unbond(amount: int, validator: str = "north") -> StakeUnbond:
    """Take coins back."""
    return StakeUnbond(address(validator), Amount(amount))


@pytest.fixture
def bonds() -> Town:
    """Found a town whose bonds mature in ten blocks, with at most two delegators each."""
    return Town(a_genesis(rich=("alice", "bob", "north"), params=PARAMS))


@pytest.mark.proves("E20")
def test_what_is_bonded_leaves_the_account_and_comes_back_at_maturity(bonds: Town) -> None:
    """Ten blocks after the request, not one earlier, and without anybody asking."""
    paid = sum(
        bonds.apply(bonds.tx("alice", body)).receipts[0].fee
        for body in (bond(5 * COIN), unbond(5 * COIN))
    )
    assert bonds.owns("alice") == WEALTH - 5 * COIN - paid

    for _ in range(9):
        bonds.apply()
    before = bonds.owns("alice")
    bonds.apply()

    assert before == WEALTH - 5 * COIN - paid
    assert bonds.owns("alice") == WEALTH - paid
    assert bonds.state.unbonding(address("north")) == Unbonding()


def test_coins_wait_as_long_as_the_vote_that_they_stood_behind() -> None:
    """Nearly all the power cannot go at once; the coins stay until evidence of it is late."""
    params = replace(PARAMS, epoch_blocks=12, unbonding_blocks=21)
    town = Town(a_genesis(rich=("north",), params=params, powers=(90, 1, 1, 1)))
    town.apply(town.tx("north", unbond(90 * COIN)))
    poor = town.owns("north")

    ended = 0
    while town.owns("north") == poor:
        town.apply()
        key = key_of("north votes").public_key
        ended = ended or (town.height if not town.state.validators.power_of(key) else 0)
        assert not ended or town.height <= ended + 9

    assert ended > 22
    assert town.height == ended + 9


def test_amounts_asked_for_one_after_the_other_come_back_so(bonds: Town) -> None:
    """Neither is paid with the other, early, nor twice."""
    bonds.apply(bonds.tx("alice", bond(5 * COIN)))
    for amount in (COIN, 3 * COIN):
        bonds.apply(bonds.tx("alice", unbond(amount)))
    for _ in range(8):
        bonds.apply()
    before = bonds.owns("alice")

    seen = []
    for _ in range(3):
        bonds.apply()
        seen.append(bonds.owns("alice") - before)

    assert seen == [COIN, 4 * COIN, 4 * COIN]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (bond(COIN, "alice"), Code.E_UNKNOWN, "validator"),
        (bond(COIN - 1), Code.E_MINIMUM, "amount"),
        (bond(2 * WEALTH), Code.E_INSUFFICIENT, "amount"),
        (unbond(COIN), Code.E_UNKNOWN, "validator"),
        (unbond(COIN, "bob"), Code.E_UNKNOWN, "validator"),
    ],
)
def test_refusals(bonds: Town, body: StakeBond | StakeUnbond, code: Code, field: str) -> None:
    """Each rule has its code, and names its field."""
    receipt = bonds.apply(bonds.tx("alice", body)).receipts[0]

    assert (receipt.code, receipt.events) == (code, (("failed", "0", field),))


def test_no_more_than_is_bonded_comes_back(bonds: Town) -> None:
    """Nor so little that a crumb stays."""
    bonds.apply(bonds.tx("alice", bond(5 * COIN)))

    for amount, code in ((5 * COIN + 1, Code.E_INSUFFICIENT), (5 * COIN - 1, Code.E_MINIMUM)):
        receipt = bonds.apply(bonds.tx("alice", unbond(amount))).receipts[0]
        assert (receipt.code, receipt.events) == (code, (("failed", "0", "amount"),))


@pytest.mark.proves("E20")
def test_an_operator_keeps_the_least_own_bond_or_nothing(bonds: Town) -> None:
    """Between the two it would be a validator that has nothing to lose."""
    bonds.apply(bonds.tx("north", bond(COIN)))

    some = bonds.apply(bonds.tx("north", unbond(COIN + 1))).receipts[0]
    all_of_it = bonds.apply(bonds.tx("north", unbond(2 * COIN))).receipts[0]

    assert (some.code, some.events) == (Code.E_MINIMUM, (("failed", "0", "amount"),))
    assert all_of_it.code == Code.OK


@pytest.mark.proves("E21")
def test_the_number_of_delegators_is_bounded(bonds: Town) -> None:
    """The operator itself and one more; those who are there may bond more."""
    first = bonds.apply(bonds.tx("alice", bond(COIN)), bonds.tx("bob", bond(COIN)))
    again = bonds.apply(bonds.tx("alice", bond(COIN)))

    assert [receipt.code for receipt in first.receipts] == [Code.OK, Code.E_LIMIT]
    assert first.receipts[1].events == (("failed", "0", "validator"),)
    assert again.receipts[0].code == Code.OK


def test_who_waits_for_its_coins_keeps_its_place(bonds: Town) -> None:
    """Accounts that come and go do not fill the queue, in which the others need theirs."""
    bonds.apply(bonds.tx("alice", bond(COIN)))
    bonds.apply(bonds.tx("alice", unbond(COIN)))

    waits = bonds.apply(bonds.tx("bob", bond(COIN))).receipts[0]
    again = bonds.apply(bonds.tx("alice", bond(COIN), unbond(COIN))).receipts[0]
    while bonds.state.unbonding(address("north")).rows:
        bonds.apply()
    paid = bonds.apply(bonds.tx("bob", bond(COIN))).receipts[0]

    assert (waits.code, waits.events) == (Code.E_LIMIT, (("failed", "0", "validator"),))
    assert again.code == paid.code == Code.OK


def test_amounts_on_their_way_back_are_bounded(bonds: Town) -> None:
    """Eight of one account: a slashing must be able to walk them."""
    bonds.apply(bonds.tx("alice", bond(100 * COIN)))
    for _ in range(bonding.ROWS_PER_DELEGATOR_MAX):
        assert bonds.apply(bonds.tx("alice", unbond(COIN))).receipts[0].code == Code.OK

    receipt = bonds.apply(bonds.tx("alice", unbond(COIN))).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_LIMIT, (("failed", "0", "validator"),))


def test_a_full_queue_takes_no_more(bonds: Town) -> None:
    """Whoever filled it."""
    row = Leaving(address("bob"), Amount(0), Height(1), Height(1_000))
    bonds.apply(bonds.tx("alice", bond(9 * COIN)))
    full = Unbonding((row,) * bonding.ROWS_MAX)
    writes = {(UNBONDING, bytes(address("north"))): full}
    bonds.rewrite(writes)

    receipt = bonds.apply(bonds.tx("alice", unbond(COIN))).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_LIMIT, (("failed", "0", "validator"),))


def test_nobody_bonds_with_a_validator_that_leaves(bonds: Town) -> None:
    """Its power is on the way out."""
    bonds.apply(bonds.tx("north", ValidatorPut(status="leaving")))

    receipt = bonds.apply(bonds.tx("alice", bond(COIN))).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_STATE, (("failed", "0", "validator"),))


def test_a_bond_that_is_worth_nothing_takes_no_coins(bonds: Town) -> None:
    """Its old shares would own part of whatever came in."""
    member = bonds.state.membership(address("north"))
    assert member is not None
    bonds.rewrite({membership_key(address("north")): replace(member, bonded=Amount(0))})

    receipt = bonds.judge(bonds.tx("alice", bond(COIN))).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_STATE, (("failed", "0", "validator"),))


@pytest.mark.parametrize("amount", [0, -1])
def test_form(bonds: Town, amount: int) -> None:
    """Nothing is no bond."""
    for body, field in ((bond(amount), "amount"), (unbond(amount), "amount")):
        refusal = parse(sign(bonds.draft("alice", body), [key_of("alice")]))
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.field) == (Code.E_MALFORMED, f"bodies[0].{field}")
