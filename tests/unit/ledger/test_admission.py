"""Admission: what waits in the mempool could be in a block, as far as it can be known."""

from aitbc_node.codes import Code
from aitbc_node.ledger.admission import check_admission, spending
from aitbc_node.ledger.motions import ShareFees
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.proposals import ProposalSubmit
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Amount, Height
from aitbc_sim.town import WEALTH, Town, a_genesis, address, pay


def test_waiting_transactions_must_be_able_to_pay_together(town: Town) -> None:
    """Who promises all it has cannot fill everyone's memory with what will never be paid."""
    outs = tuple(Output(address("bob"), asset, Amount(40)) for asset in ("AIT", "mUSDA"))
    several = town.tx("alice", Transfer(outs), pay("alice", 7), tip=Amount(9))
    assert spending(town.state, several) == 260 + 210 + 9 + 40

    everything = town.tx("alice", pay("bob", WEALTH - 210))
    promised = spending(town.state, everything)
    height = Height(town.height + 1)
    later = town.tx("alice", pay("bob", 1), nonce=1)

    assert promised == WEALTH
    assert check_admission(town.state, later, height=height) is None
    refusal = check_admission(town.state, later, height=height, promised=promised)
    assert refusal is not None
    assert (refusal.code, refusal.field) == (Code.E_INSUFFICIENT, "fee")
    assert check_admission(town.state, later, height=height, promised=promised - 210) is None


def test_the_deposit_of_a_proposal_is_promised_with_it() -> None:
    """It leaves the balance with the proposal, so what waits behind it cannot count on it."""
    params = Params(proposal_deposit=7_000_000)
    town = Town(a_genesis(rich=("north",), params=params))
    motion = town.tx("north", ProposalSubmit(ShareFees(1, 2, 9_997)))

    promised = spending(town.state, motion)
    paid = town.apply(motion).receipts[0].fee

    assert promised == params.proposal_deposit + paid
