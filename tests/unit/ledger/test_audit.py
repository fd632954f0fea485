"""The audit: clean after every block, and red for each planted violation."""

import msgspec

from aitbc_node.canonical import Record
from aitbc_node.ledger import objects
from aitbc_node.ledger.audit import audit, audit_block
from aitbc_node.ledger.objects import Account, Fees, ObjectKey, Pool, Stake
from aitbc_node.ledger.state import State
from aitbc_node.types import Amount
from aitbc_node.validators import ValidatorSet
from aitbc_sim.town import Town, address, pay

CARLOTTA: ObjectKey = (objects.ACCOUNT, address("carlotta"))
NATIVE: ObjectKey = (objects.ASSET, b"AIT")
FEES: ObjectKey = (objects.FEES, b"")
TREASURY: ObjectKey = (objects.POOL, b"treasury")
VALIDATORS: ObjectKey = (objects.VALIDATORS, b"")


def spoiled(town: Town, key: ObjectKey, **changes: object) -> State:
    """Change one object behind the ledger's back."""
    contents: dict[ObjectKey, Record] = dict(town.state.items())
    contents[key] = msgspec.structs.replace(contents[key], **changes)
    return State(contents)


def with_object(town: Town, key: ObjectKey, value: Record) -> State:
    """Add one object behind the ledger's back."""
    return State({**dict(town.state.items()), key: value})


def test_a_running_ledger_is_clean(town: Town) -> None:
    """Nothing is violated before or after blocks."""
    assert audit(town.state) == []

    town.apply(town.tx("alice", pay("bob", 5)))

    assert audit(town.state) == []


def test_money_from_nowhere_is_found(town: Town) -> None:
    """One unit in an account that no rule put there breaks conservation (I1)."""
    state = with_object(town, CARLOTTA, Account(0, None, (("AIT", Amount(1)),)))

    assert audit(state) == ["I1: AIT: held 3004000001, supply 3004000000"]


def test_money_in_a_pool_from_nowhere_is_found(town: Town) -> None:
    """Pools count as much as accounts."""
    assert "I1" in audit(with_object(town, TREASURY, Pool((("AIT", Amount(5)),))))[0]


def test_holdings_of_no_asset_are_found(town: Town) -> None:
    """An asset that was never defined cannot be held."""
    state = with_object(town, CARLOTTA, Account(0, None, (("GHOST", Amount(1)),)))

    assert audit(state) == ["I1: GHOST is held but no asset"]


def test_a_balance_of_zero_or_less_is_found(town: Town) -> None:
    """Empty rows would give one state two roots; negative ones would be debts."""
    state = with_object(town, CARLOTTA, Account(0, None, (("AIT", Amount(0)),)))

    assert audit(state) == [f"I1: account {address('carlotta').hex()} holds 0 of AIT"]


def test_balances_out_of_order_are_found(town: Town) -> None:
    """One holding in two orders would be two roots."""
    rows = (("mUSDA", Amount(1)), ("AIT", Amount(1)))

    found = audit(with_object(town, CARLOTTA, Account(0, None, rows)))

    assert f"I1: account {address('carlotta').hex()} has balances out of order" in found


def test_a_supply_that_moved_by_itself_is_found(town: Town) -> None:
    """Supply is what was minted less what was burnt (I2)."""
    native = town.state.asset("AIT")
    assert native is not None

    found = audit(spoiled(town, NATIVE, minted=Amount(native.minted + 1)))

    assert [fault[:2] for fault in found] == ["I2"]


def test_fees_that_were_not_shared_are_found(town: Town) -> None:
    """Collected is what proposers, treasury and fire got (I9)."""
    assert audit(spoiled(town, FEES, collected=Amount(1))) == ["I9: collected 1, shared 0"]


def test_fees_burnt_but_not_taken_from_the_supply_are_found(town: Town) -> None:
    """What the fire took is part of what the native asset lost (I2)."""
    state = spoiled(town, FEES, collected=Amount(1), burned=Amount(1))

    assert audit(state) == ["I2: fees burned 1, more than AIT lost"]


def test_a_ledger_without_validators_is_found(town: Town) -> None:
    """Somebody must be able to vote (I6)."""
    assert audit(with_object(town, VALIDATORS, ValidatorSet(())))[0].startswith("I6")


def test_receipts_that_disagree_with_the_fees_are_found(town: Town) -> None:
    """What a block's receipts say was paid is what was collected (I9)."""
    before = town.state.fees
    receipts = town.apply(town.tx("alice", pay("bob", 5))).receipts

    assert audit_block(before, town.state, receipts) == []
    assert audit_block(before, town.state, ()) == ["I9: receipts say 0 of fees, collected 210"]
    assert audit_block(Fees(1), town.state, receipts) != []


def test_stakes_that_do_not_add_up_are_found(town: Town) -> None:
    """Shares and delegators are what their stakes are; one without a validator is nobody's (I1)."""
    north = address("north")
    place: ObjectKey = (objects.STAKE, north + north)

    assert audit(spoiled(town, place, shares=1)) == [
        f"I1: stakes behind {north.hex()} are (1, 1), counted (1000000, 1)"
    ]
    stray = with_object(town, (objects.STAKE, b"s" * 20 + north), Stake(5, 0))
    assert audit(stray) == [f"I1: stakes behind {(b's' * 20).hex()}, no validator"]


def test_rewards_that_are_owed_but_not_there_are_found(town: Town) -> None:
    """What all stakes have earned is set aside for them (I1)."""
    north = address("north")

    found = audit(spoiled(town, (objects.VALIDATOR, north), earned=10**9))

    assert found == [f"I1: {north.hex()} owes 1000000 of rewards, has 0"]
