"""Transfers: what the outputs receive is what the sender loses."""

import pytest

from aitbc_node.codes import Code
from aitbc_node.ledger import families
from aitbc_node.ledger.genesis import GenesisAsset
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Amount
from aitbc_sim.town import WEALTH, Town, a_genesis, address, pay, supply

FEE = 210


@pytest.mark.proves("A4")
def test_a_transfer_debits_the_sender_and_credits_the_receiver(town: Town) -> None:
    """The receiver gains exactly what was sent, the sender loses that and the fee."""
    receipt = town.apply(town.tx("alice", pay("carol", 4))).receipts[0]

    assert receipt.code == Code.OK
    assert receipt.fee == FEE
    assert town.owns("carol") == 4
    assert town.owns("alice") == WEALTH - 4 - FEE


@pytest.mark.proves("A4")
def test_more_than_the_balance_is_insufficient_and_only_the_fee_is_paid(town: Town) -> None:
    """Sending one unit too many moves nothing, but costs the fee and the nonce."""
    too_much = WEALTH - FEE + 1

    receipt = town.apply(town.tx("alice", pay("carol", too_much))).receipts[0]

    assert receipt.code == Code.E_INSUFFICIENT
    assert receipt.events == (("failed", "0", "outs"),)
    assert town.owns("carol") == 0
    assert town.owns("alice") == WEALTH - FEE
    assert town.state.account(address("alice")).nonce == 1


def test_all_that_is_left_after_the_fee_can_be_sent(town: Town) -> None:
    """The balance reaches zero exactly and the row disappears from the account."""
    town.apply(town.tx("alice", pay("carol", WEALTH - FEE)))

    assert town.state.account(address("alice")).balances == ()
    assert town.owns("carol") == WEALTH - FEE


def test_a_transfer_to_oneself_changes_nothing_but_the_fee(town: Town) -> None:
    """Debit and credit of the same account cancel out."""
    town.apply(town.tx("alice", pay("alice", 500)))

    assert town.owns("alice") == WEALTH - FEE


def test_one_transfer_moves_several_assets_to_several_accounts(town: Town) -> None:
    """Each output arrives and each asset is conserved."""
    town.apply(town.tx("mint", supply("alice", 100)))
    outs = (
        Output(address("bob"), "mUSDA", Amount(30)),
        Output(address("carol"), "mUSDA", Amount(70)),
        Output(address("carol"), "AIT", Amount(5)),
    )

    receipt = town.apply(town.tx("alice", Transfer(outs))).receipts[0]

    assert receipt.code == Code.OK
    assert (town.owns("alice", "mUSDA"), town.owns("bob", "mUSDA")) == (0, 30)
    assert (town.owns("carol", "mUSDA"), town.owns("carol")) == (70, 5)


def test_outputs_that_together_exceed_the_balance_move_nothing(town: Town) -> None:
    """No output takes effect when the sum is too much, though each alone would do."""
    half = WEALTH // 2 + 1
    outs = tuple(Output(address(name), "AIT", Amount(half)) for name in ("bob", "carol"))

    receipt = town.apply(town.tx("alice", Transfer(outs))).receipts[0]

    assert receipt.code == Code.E_INSUFFICIENT
    assert (town.owns("bob"), town.owns("carol")) == (WEALTH, 0)


def test_an_unknown_asset_is_pointed_at(town: Town) -> None:
    """The receipt tells which body and which field named an asset that does not exist."""
    receipt = town.apply(town.tx("alice", pay("bob", 1, "NOPE"))).receipts[0]

    assert receipt.code == Code.E_ASSET
    assert receipt.events == (("failed", "0", "outs[0].asset"),)


def test_less_than_the_least_amount_is_refused() -> None:
    """An asset's min_amount holds for each output."""
    coarse = GenesisAsset("COARSE", "coarse", 6, address("mint"), Amount(100))
    town = Town(a_genesis(assets=[coarse]))
    town.apply(town.tx("mint", supply("alice", 500, "COARSE")))

    below = town.apply(town.tx("alice", pay("bob", 99, "COARSE"))).receipts[0]
    enough = town.apply(town.tx("alice", pay("bob", 100, "COARSE"))).receipts[0]

    assert (below.code, enough.code) == (Code.E_MINIMUM, Code.OK)


def test_a_transfer_is_told_as_events(town: Town) -> None:
    """Explorers and clients read from, to, asset and amount without the transaction."""
    receipt = town.apply(town.tx("alice", pay("bob", 7))).receipts[0]

    expected = ("transfer", address("alice").hex(), address("bob").hex(), "AIT", "7")
    assert receipt.events == (expected,)


def test_what_a_transfer_spends_is_the_native_coin_that_leaves() -> None:
    """A mempool reserves it; what stays with the sender and other assets are not spent."""
    outs = (
        Output(address("bob"), "AIT", Amount(3)),
        Output(address("alice"), "AIT", Amount(40)),
        Output(address("carol"), "mUSDA", Amount(500)),
        Output(address("carol"), "AIT", Amount(6_000)),
    )

    assert families.spending_of(Params(), address("alice"), Transfer(outs)) == 6_003
