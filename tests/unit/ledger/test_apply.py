"""Blocks: executed on a draft, built by a proposer, committed or dropped."""

import hashlib

import pytest

from aitbc_node.canonical import encode
from aitbc_node.codes import Code
from aitbc_node.ledger.apply import (
    BlockContext,
    Execution,
    InvalidBlock,
    build,
    commit,
    execute,
    receipt_hash,
)
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Amount, Height, PublicKey
from aitbc_sim.town import Town, a_genesis, address, pay


def test_executing_leaves_the_state_alone(town: Town) -> None:
    """A losing candidate is forgotten by forgetting it."""
    root = town.state.root

    execution = town.judge(town.tx("alice", pay("bob", 5)))

    assert isinstance(execution, Execution)
    assert town.state.root == root != execution.state_root


def test_two_candidates_of_one_height_do_not_disturb_each_other(town: Town) -> None:
    """Either can be committed after both were executed, with the root it announced."""
    first = town.judge(town.tx("alice", pay("bob", 5)))
    second = town.judge(town.tx("alice", pay("bob", 6)))
    assert isinstance(first, Execution)
    assert isinstance(second, Execution)

    commit(town.state, second)

    assert town.state.root == second.state_root != first.state_root


def test_a_result_is_committed_on_its_own_state_only(town: Town) -> None:
    """Committing a candidate of another parent is our bug and says so."""
    stale = town.judge(town.tx("alice", pay("bob", 5)))
    assert isinstance(stale, Execution)
    town.apply()

    with pytest.raises(AssertionError, match="another state"):
        commit(town.state, stale)


def test_the_same_block_gives_the_same_result(town: Town) -> None:
    """Root and receipts follow from state and transactions."""
    txs = [town.tx("alice", pay("bob", 5)), town.tx("bob", pay("carol", 1, "NOPE"))]

    first, again = town.judge(*txs), town.judge(*txs)

    assert isinstance(first, Execution)
    assert isinstance(again, Execution)
    assert first.state_root == again.state_root
    assert first.receipts_root == again.receipts_root


def test_the_order_of_transactions_matters(town: Town) -> None:
    """Receipts are in the block's order and their root says so."""
    txs = [town.tx("alice", pay("bob", 5)), town.tx("bob", pay("alice", 6))]

    there, back = town.judge(*txs), town.judge(*txs[::-1])

    assert isinstance(there, Execution)
    assert isinstance(back, Execution)
    assert [receipt.id for receipt in there.receipts] == [tx.id for tx in txs]
    assert there.receipts_root != back.receipts_root


def test_a_receipts_hash_covers_its_canonical_array(town: Town) -> None:
    """A stranger can hash a receipt without knowing our types."""
    [receipt] = town.apply(town.tx("alice", pay("bob", 5))).receipts
    fields = [receipt.id, "ok", 21_000, 210, [list(event) for event in receipt.events]]

    expected = hashlib.sha256(b"aitbc/receipt\0" + encode(fields)).digest()

    assert receipt_hash(receipt) == expected


def test_a_bad_transaction_makes_the_block_invalid_and_is_named(town: Town) -> None:
    """The index and the reason go into the note that a validator writes."""
    good, bad = town.tx("alice", pay("bob", 5)), town.tx("bob", pay("alice", 5), nonce=7)

    judged = town.judge(good, bad)

    assert isinstance(judged, InvalidBlock)
    assert (judged.index, judged.refusal.code) == (1, Code.E_NONCE)


def test_a_block_is_never_larger_than_the_parameters_say() -> None:
    """Count, bytes and gas are bounded each."""
    for params in (
        Params(max_block_txs=2),
        Params(max_block_bytes=65_536),
        Params(max_block_gas=2_000_000),
    ):
        town = Town(a_genesis(params=params))
        txs = [town.tx("alice", pay("bob", 1), nonce=nonce) for nonce in range(400)]

        judged = town.judge(*txs)

        assert isinstance(judged, InvalidBlock)
        assert judged.refusal.code is Code.E_BLOCK_FULL
        town.apply(*txs[: judged.index])


def test_a_proposer_takes_what_is_valid_and_reports_the_rest(town: Town) -> None:
    """A built block executes to the same result, and what was left out is told with a reason."""
    good, next_good = (town.tx("alice", pay("bob", 1), nonce=nonce) for nonce in (0, 1))
    gap = town.tx("bob", pay("alice", 1), nonce=5)
    poor = town.tx("pauper", pay("alice", 1))

    built = build(town.state, town.context(), [good, gap, poor, next_good])

    assert built.txs == (good, next_good)
    assert [(tx, refusal.code) for tx, refusal in built.refused] == [
        (gap, Code.E_NONCE),
        (poor, Code.E_INSUFFICIENT),
    ]
    assert town.apply(*built.txs).state_root == built.execution.state_root


def test_a_proposer_stops_when_the_block_is_full() -> None:
    """What does not fit waits; it is not refused."""
    town = Town(a_genesis(params=Params(max_block_txs=2)))
    txs = [town.tx("alice", pay("bob", 1), nonce=nonce) for nonce in range(4)]

    built = build(town.state, town.context(), txs)

    assert built.txs == tuple(txs[:2])
    assert built.refused == ()


def test_what_fits_into_no_block_is_refused_and_does_not_hold_up_the_rest() -> None:
    """Left waiting, it would stand in front of all others for ever."""
    town = Town(a_genesis(params=Params(max_block_gas=2_000_000)))
    outs = tuple(Output(address("bob"), "AIT", Amount(1)) for _ in range(250))
    monster = town.tx("alice", Transfer(outs), Transfer(outs))
    modest = town.tx("bob", pay("alice", 1))

    built = build(town.state, town.context(), [monster, modest])

    assert built.txs == (modest,)
    assert [(tx, refusal.code) for tx, refusal in built.refused] == [(monster, Code.E_SIZE)]
    refusal = town.admit(monster)
    assert refusal is not None
    assert (refusal.code, refusal.field) == (Code.E_SIZE, "bodies")


def test_a_stranger_as_proposer_is_our_bug(town: Town) -> None:
    """The chain checks the header first; a wrong context must not move money silently."""
    context = BlockContext(Height(1), 0, PublicKey(bytes(32)))

    with pytest.raises(AssertionError, match="no validator"):
        execute(town.state, context, [town.tx("alice", pay("bob", 1))])


@pytest.mark.proves("E2")
def test_four_equal_validators_propose_ten_of_forty_heights_each(town: Town) -> None:
    """The schedule is state: whoever has the state knows whose turn it is."""
    turns: dict[bytes, int] = {}
    for _ in range(40):
        proposer = town.context().proposer
        turns[proposer] = turns.get(proposer, 0) + 1
        execution = town.apply()
        assert execution.next_validators == town.state.validators

    assert sorted(turns.values()) == [10, 10, 10, 10]
