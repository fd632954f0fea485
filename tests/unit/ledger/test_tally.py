"""The tally: clean after every block, equal to the audit, red for each planted violation."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from aitbc_node.events import TxReceipt
from aitbc_node.ledger import objects
from aitbc_node.ledger.apply import Execution, commit
from aitbc_node.ledger.audit import audit
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.objects import Account, Asset, Fees, ObjectKey, Offence, Pool
from aitbc_node.ledger.state import State
from aitbc_node.ledger.tally import COMPARED, PROMISES, UNCOMPARED
from aitbc_node.types import Amount, PublicKey
from aitbc_node.validators import Validator, ValidatorSet
from aitbc_sim.town import Town, a_genesis, address, pay, supply

COIN = 1_000_000
ALICE: ObjectKey = (objects.ACCOUNT, address("alice"))
NATIVE: ObjectKey = (objects.ASSET, b"AIT")
MOCK: ObjectKey = (objects.ASSET, b"mUSDA")
FEES: ObjectKey = (objects.FEES, b"")
TREASURY: ObjectKey = (objects.POOL, b"treasury")
VALIDATORS: ObjectKey = (objects.VALIDATORS, b"")


def judged(state: State) -> dict[str, bool | None]:
    """Return which promise was kept."""
    return {verdict.name: verdict.held for verdict in state.tally.verdicts()}


def commit_spoiled(
    town: Town, key: ObjectKey, *, receipts: Sequence[TxReceipt] | None = None, **changes: Any
) -> list[str]:
    """Commit a block of one payment in which one object came out otherwise."""
    execution = town.judge(town.tx("alice", pay("bob", 5)))
    assert isinstance(execution, Execution)
    record = execution.writes.get(key) or town.state.lookup(key)
    assert record is not None
    writes = {**execution.writes, key: msgspec.structs.replace(record, **changes)}
    told = execution.receipts if receipts is None else tuple(receipts)
    commit(town.state, msgspec.structs.replace(execution, writes=writes, receipts=told))
    return town.state.tally.violations()


def test_every_promise_is_compared_or_says_why_not(town: Town) -> None:
    """Nothing is called kept that nobody compared: those say what would show it."""
    verdicts = town.state.tally.verdicts()

    assert [verdict.name for verdict in verdicts] == list(PROMISES)
    assert {verdict.name for verdict in verdicts if verdict.held} == COMPARED
    assert {v.name: v.detail for v in verdicts if v.held is None} == UNCOMPARED


def test_blocks_are_counted_and_clean(town: Town) -> None:
    """Minting, destroying, paying and fees keep every promise that is compared."""
    town.apply(town.tx("mint", supply("mint", 9), supply("mint", -4)))
    town.apply(town.tx("alice", pay("bob", 5)), town.tx("bob", pay("alice", 1, "NOPE")))
    town.apply()

    assert town.state.tally.blocks == 3
    assert town.state.tally.violations() == []
    native = town.state.asset("AIT")
    assert native is not None
    assert native.burned > 0
    assert town.state.tally.held == {"AIT": 3_004_000_000 - native.burned, "mUSDA": 5}


def test_the_sums_are_those_of_the_objects(town: Town) -> None:
    """Kept change by change or added up anew from the same objects: the sums are equal."""
    town.apply(town.tx("mint", supply("bob", 9)), town.tx("alice", pay("carol", 5)))

    anew = State(town.state.contents).tally

    assert anew.held == town.state.tally.held
    assert anew.assets == town.state.tally.assets
    assert (anew.blocks, anew.violations()) == (0, [])


def test_money_from_nowhere_is_found(town: Town) -> None:
    """One unit that no rule put there breaks conservation, here and in the audit (I1)."""
    found = commit_spoiled(town, TREASURY, balances=(("AIT", Amount(64)),))

    assert found == ["I1: AIT: held 3003999959, supply 3003999958; block 1 of those compared"]
    assert judged(town.state)["I1"] is False
    assert audit(town.state) == ["I1: AIT: held 3003999959, supply 3003999958"]


def test_a_breach_is_remembered_after_the_sums_agree_again(town: Town) -> None:
    """Money that came from nowhere and went there again was there."""
    commit_spoiled(town, TREASURY, balances=(("AIT", Amount(64)),))
    pool = Pool((("AIT", Amount(63)),))
    town.state.adopt({TREASURY: pool}, town.state.tree)

    assert audit(town.state) == []
    assert town.state.tally.violations() != []


def test_holdings_of_no_asset_are_found(town: Town) -> None:
    """An asset that was never defined cannot be held."""
    ghost = Account(0, None, (("GHOST", Amount(1)),))
    state = State({**dict(town.state.items()), (objects.ACCOUNT, b"g" * 20): ghost})

    assert state.tally.violations() == ["I1: GHOST is held but no asset"]


def test_a_supply_that_moved_by_itself_is_found(town: Town) -> None:
    """Supply is what was minted less what was burnt (I2)."""
    native = town.state.asset("AIT")
    assert native is not None

    found = commit_spoiled(town, NATIVE, minted=Amount(native.minted + 1))

    assert [fault[:7] for fault in found] == ["I2: AIT"]


def test_a_supply_that_no_transaction_changed_is_found(town: Town) -> None:
    """Even when the sums agree, units come by a transaction and go by one or by the fire (I2)."""
    execution = town.judge(town.tx("alice", pay("bob", 5)))
    assert isinstance(execution, Execution)
    account, asset = town.state.account(address("mint")), town.state.asset("mUSDA")
    assert account is not None
    assert asset is not None
    richer = msgspec.structs.replace(account, balances=(*account.balances, ("mUSDA", Amount(7))))
    larger = msgspec.structs.replace(asset, supply=Amount(7), minted=Amount(7))
    minted = {(objects.ACCOUNT, address("mint")): richer, MOCK: larger}

    commit(town.state, msgspec.structs.replace(execution, writes={**execution.writes, **minted}))

    assert audit(town.state) == []
    assert town.state.tally.violations() == [
        "I2: mUSDA: supply changed by 7, its events say 0; block 1 of those compared"
    ]


@pytest.mark.parametrize(("nonce", "used"), [(0, 0), (2, 2)])
def test_a_nonce_that_does_not_count_transactions_is_found(
    town: Town, nonce: int, used: int
) -> None:
    """A transaction uses one nonce of its sender, no more and no fewer (I5)."""
    found = commit_spoiled(town, ALICE, nonce=nonce)

    assert found == [f"I5: 1 transactions used {used} nonces; block 1 of those compared"]


def test_a_nonce_that_falls_is_found(town: Town) -> None:
    """What fell could be used again (I5)."""
    town.apply(town.tx("alice", pay("bob", 5)))
    account = town.state.account(address("alice"))
    assert account is not None

    town.state.adopt({ALICE: msgspec.structs.replace(account, nonce=0)}, town.state.tree)

    name = address("alice").hex()
    assert town.state.tally.violations() == [f"I5: account {name} went from 1 to 0"]


def test_a_ledger_without_voting_power_is_found(town: Town) -> None:
    """Somebody must be able to vote, and nobody votes for nothing (I6)."""
    for members in ((), (Validator(address("north"), b"k" * 32, 0),)):  # type: ignore[arg-type]
        town.state.adopt({VALIDATORS: ValidatorSet(members)}, town.state.tree)

        assert [fault[:2] for fault in town.state.tally.violations()] == ["I6"]


def test_a_vote_by_a_key_that_is_not_its_operators_is_found(town: Town) -> None:
    """Who votes is registered under the key that votes, here and in the audit (I6)."""
    member = town.state.membership(address("north"))
    assert member is not None
    other = msgspec.structs.replace(member, key=PublicKey(b"k" * 32))

    town.state.adopt({(objects.VALIDATOR, address("north")): other}, town.state.tree)

    [fault] = town.state.tally.violations()
    assert fault == f"I6: {member.key.hex()} votes, and is not its operator's key"
    assert audit(town.state) == [fault]


def test_stakes_are_summed_up_apart(town: Town) -> None:
    """Bonded, on its way back, and earned but not taken: each follows its objects."""
    tally = town.state.tally
    assert (tally.bonded, tally.leaving, tally.accrued) == (4 * COIN, 0, 0)

    bond = StakeBond(address("north"), Amount(5 * COIN))
    town.apply(town.tx("alice", bond, StakeUnbond(address("north"), Amount(2 * COIN))))
    member = town.state.membership(address("north"))
    assert member is not None
    richer = msgspec.structs.replace(member, rewards=Amount(3), commission=Amount(4))
    town.state.adopt({(objects.VALIDATOR, address("north")): richer}, town.state.tree)

    assert (tally.bonded, tally.leaving, tally.accrued) == (7 * COIN, 2 * COIN, 7)
    anew = State(town.state.contents).tally
    assert (anew.bonded, anew.leaving, anew.accrued) == (7 * COIN, 2 * COIN, 7)


@pytest.mark.parametrize(
    "change", [{"collected": Amount(1)}, {"to_proposer": Amount(0)}, {"collected": Amount(0)}]
)
def test_fees_that_were_not_shared_or_not_collected_are_found(
    town: Town, change: dict[str, Amount]
) -> None:
    """Paid is collected, and collected is what proposers, treasury and fire got (I9)."""
    found = commit_spoiled(town, FEES, **change)

    assert [fault[:2] for fault in found] == ["I9"]


def test_the_tally_of_a_rebuilt_state_begins_there(town: Town) -> None:
    """Blocks before a snapshot are not called compared, and do not count into the next one."""
    town.apply(town.tx("mint", supply("mint", 9)))
    anew = Town(a_genesis())
    anew.state, anew.height = State(town.state.contents), town.height

    anew.apply(anew.tx("alice", pay("bob", 5)))

    assert anew.state.tally.blocks == 1
    assert anew.state.tally.violations() == []


def test_other_records_hold_nothing() -> None:
    """Only what is named as a holder counts."""
    asset = Asset("name", 0, None, Amount(1), Amount(5), Amount(5), Amount(0))

    assert objects.holdings_of(asset) == objects.holdings_of(Fees(1)) == ()
    assert objects.holdings_of(None) == ()


def test_an_offence_that_costs_twice_or_too_much_is_found(town: Town) -> None:
    """Each offence is on record once for each punishment, and cost no more than there was (I12)."""
    again = Offence(Amount(10), Amount(5))
    place: ObjectKey = (objects.OFFENCE, b"o" * 28)
    for record, fault in (
        (Offence(Amount(10), Amount(11)), "an offence cost 11 of 10 that stood behind the"),
        (again, "an offence was punished again"),
    ):
        fresh = Town(a_genesis())
        for each in (again, record) if record is again else (record,):
            fresh.state.adopt({place: each}, fresh.state.tree)
        assert [each for each in fresh.state.tally.violations() if fault in each]

    execution = town.judge(town.tx("alice", pay("bob", 5)))
    assert isinstance(execution, Execution)
    [receipt] = execution.receipts
    row = ("slashed", address("north").hex(), "1", address("bob").hex(), "0", "0")
    told = msgspec.structs.replace(receipt, events=(*receipt.events, row, row))

    commit(town.state, msgspec.structs.replace(execution, receipts=(told,)))

    assert town.state.tally.violations() == [
        "I12: 2 punishments of 0 offences; block 1 of those compared"
    ]
