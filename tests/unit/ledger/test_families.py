"""The table of body types: complete, and each type tells its own cost and spending."""

from typing import get_args

from aitbc_node.blocks import NO_BLOCK
from aitbc_node.ledger import families
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.families import FAMILIES, Body
from aitbc_node.ledger.motions import ChangeParameter
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.records import RecordPut
from aitbc_node.ledger.rewards import RewardClaim
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.types import Amount, Height, Round, Signature
from aitbc_sim.town import address, key_of, pay, supply

VOTE = SignedMessage(1, Height(1), Round(0), Round(-1), NO_BLOCK, 0, Signature(bytes(64)))
SAMPLES: tuple[Body, ...] = (
    pay("bob", 5),
    supply("bob", 5),
    RecordPut("blob", b"k", b"v", 1),
    AccountPolicy(1, (key_of("ann").public_key,)),
    AssetDefine("COIN2", "coin", 0, None, Amount(1), Amount(1)),
    ValidatorPut(region="eu"),
    StakeBond(address("north"), Amount(5)),
    StakeUnbond(address("north"), Amount(5)),
    RewardClaim(),
    ProposalSubmit(ChangeParameter("epoch_blocks", 7)),
    ProposalVote(bytes(20), yes=True),
    EvidenceSubmit(key_of("ann").public_key, VOTE, VOTE),
)


def test_each_type_has_a_tag_of_its_own() -> None:
    """The tag is what travels, so two types must never share one."""
    tags = [body.__struct_config__.tag for body in FAMILIES]

    assert len(set(tags)) == len(tags) == len(get_args(Body))
    assert all(family.body is body for body, family in FAMILIES.items())


def test_each_type_costs_gas() -> None:
    """A body that costs nothing could fill blocks for free."""
    assert all(families.gas_of(body) >= 21_000 for body in SAMPLES)


def test_only_what_leaves_the_sender_counts_as_spent() -> None:
    """Payments in the native asset to others; not to oneself, not in other assets."""
    sender = address("alice")

    assert families.spending_of(Params(), sender, pay("bob", 5)) == 5
    assert families.spending_of(Params(), sender, pay("alice", 5)) == 0
    assert families.spending_of(Params(), sender, pay("bob", 5, "mUSDA")) == 0
    assert families.spending_of(Params(), sender, supply("bob", 5)) == 0
    assert families.spending_of(Params(), sender, StakeBond(address("north"), Amount(5))) == 5
    assert families.spending_of(Params(), sender, StakeUnbond(address("north"), Amount(5))) == 0
