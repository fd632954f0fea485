"""Bonds: who may put coins behind a validator, and when they come back."""

import pytest
from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import bonding, due
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.objects import PARAMS as PARAMS_KIND
from aitbc_node.ledger.objects import UNBONDING, Leaving, Unbonding
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.staking import membership_key
from aitbc_node.ledger.state import Draft
from aitbc_node.ledger.transactions import parse, sign
from aitbc_node.types import Amount, Height
from aitbc_sim.town import CHAIN_ID, WEALTH, Town, a_genesis, address, key_of

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


def test_all_that_is_left_after_the_fee_can_be_bonded(bonds: Town) -> None:
    """To the last base unit."""
    fee = bonds.judge(bonds.tx("alice", bond(COIN))).receipts[0].fee

    over = bonds.judge(bonds.tx("alice", bond(WEALTH - fee + 1))).receipts[0]
    all_of_it = bonds.apply(bonds.tx("alice", bond(WEALTH - fee))).receipts[0]

    assert (over.code, all_of_it.code) == (Code.E_INSUFFICIENT, Code.OK)
    assert bonds.owns("alice") == 0


@pytest.mark.parametrize(
    ("shares", "bonded", "amount", "code"),
    [
        (limits.INT_MAX - COIN, limits.INT_MAX - COIN, COIN, Code.OK),
        (limits.INT_MAX - COIN, limits.INT_MAX - COIN, COIN + 1, Code.E_STATE),
        (1, COIN, COIN, Code.OK),
        (1, COIN + 1, COIN, Code.E_STATE),
    ],
)
def test_a_bond_buys_at_least_a_share_and_all_of_them_are_countable(
    bonds: Town, shares: int, bonded: int, amount: int, code: Code
) -> None:
    """At both ends, to the unit."""
    member = bonds.state.membership(address("north"))
    held = replace(member, shares=shares, bonded=Amount(bonded))
    bonds.rewrite({membership_key(address("north")): held})

    receipt = bonds.judge(bonds.tx("alice", bond(amount))).receipts[0]

    assert receipt.code == code


def test_only_the_operator_has_to_keep_the_greater_least(bonds: Town) -> None:
    """What a delegator keeps is bounded by its own rule."""
    bonds.rewrite({(PARAMS_KIND, b""): replace(PARAMS, self_bond_min=5 * COIN)})
    for name in ("alice", "north"):
        bonds.apply(bonds.tx(name, bond(8 * COIN)))

    codes = [
        bonds.apply(bonds.tx(name, unbond(amount))).receipts[0].code
        for name, amount in (("alice", 5 * COIN), ("north", 5 * COIN), ("north", 4 * COIN))
    ]

    assert codes == [Code.OK, Code.E_MINIMUM, Code.OK]


def test_who_may_not_enter_the_roster_is_told_where(
    bonds: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newcomer that has less than everybody on a full roster keeps its coins."""
    monkeypatch.setattr("aitbc_node.ledger.roster.ROSTER_MAX", 4)
    key = key_of("alice votes")
    register = ValidatorPut(
        key=key.public_key, proof=possession_proof(CHAIN_ID, address("alice"), key)
    )
    bonds.apply(bonds.tx("alice", register))

    receipt = bonds.apply(bonds.tx("alice", bond(COIN, "alice"))).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_LIMIT, (("failed", "0", "validator"),))


def test_what_is_taken_back_is_told_with_its_height(bonds: Town) -> None:
    """Whose, from behind whom, how much, and when it is paid."""
    bonds.apply(bonds.tx("alice", bond(5 * COIN)))

    receipt = bonds.apply(bonds.tx("alice", unbond(2 * COIN))).receipts[0]

    names = (address("north").hex(), address("alice").hex())
    assert receipt.events == (("stake.unbond", *names, str(2 * COIN), "12"),)


def test_coins_behind_nobodys_vote_count_until_now(bonds: Town) -> None:
    """A candidate's bond is answered for up to the height at which it is taken back."""
    key = key_of("alice votes")
    register = ValidatorPut(
        key=key.public_key, proof=possession_proof(CHAIN_ID, address("alice"), key)
    )
    bonds.rewrite({(PARAMS_KIND, b""): replace(PARAMS, validators_open=0)})
    bonds.apply(bonds.tx("alice", register, bond(5 * COIN, "alice")))

    bonds.apply(bonds.tx("alice", unbond(2 * COIN, "alice")))

    [row] = bonds.state.unbonding(address("alice")).rows
    assert row.counted_until == bonds.height


def queued(town: Town, *rows: tuple[int, int]) -> Draft:
    """Lay rows of alice's coins behind north over a town. Shape: counted_until, matures."""
    made = tuple(
        Leaving(address("alice"), Amount(1), Height(until), Height(due)) for until, due in rows
    )
    draft = Draft(town.state)
    draft.put((UNBONDING, address("north")), Unbonding(made))
    return draft


def settled(draft: Draft, *, power: int = 1) -> list[tuple[int, int]]:
    """Settle north's queue at height 20; return its rows."""
    bonding.settle(draft, address("north"), Height(20), power=power)
    return [(row.counted_until, row.matures) for row in draft.unbonding(address("north")).rows]


def planned(draft: Draft, height: int) -> int:
    """Count what was planned for a height."""
    key = (UNBONDING, address("north"))
    return due.take(draft, UNBONDING, Height(height)).count(key)


def test_coins_count_as_long_as_more_power_stands_than_is_bonded(bonds: Town) -> None:
    """Two votes of one coin: the other coin's are on the way back, and may yet be slashed."""
    assert settled(queued(bonds, (0, 25)), power=2) == [(0, 25)]
    assert settled(queued(bonds, (0, 25)), power=1) == [(20, 29)]


def test_only_what_counted_until_now_waits_for_its_evidence(bonds: Town) -> None:
    """A row that was settled before keeps its height; one that matures later than that, too."""
    assert settled(queued(bonds, (7, 24), (0, 25), (0, 40))) == [(7, 24), (20, 29), (20, 40)]


@pytest.mark.parametrize(
    ("rows", "at_29"),
    [
        ([(0, 25)], 1),
        ([(0, 40)], 0),
        ([(0, 25), (3, 29)], 0),
    ],
)
def test_a_later_height_is_planned_once_where_one_is_needed(
    bonds: Town, rows: list[tuple[int, int]], at_29: int
) -> None:
    """Not for coins that mature later anyhow, nor where a row had that height before."""
    draft = queued(bonds, *rows)

    settled(draft)

    assert planned(draft, 29) == at_29
