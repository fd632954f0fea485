"""Which types of transaction bodies are there? The one table of them.

To add a type: write its record and its `Family` in a module of their own, name it here twice (the
type checker needs the union spelt out), give it golden vectors and its rows in docs/protocol.md.
Do not add rules here.
"""

from typing import Any, TypeAlias, get_args

from aitbc_node.codes import Refusal
from aitbc_node.ledger import (
    assets,
    bonding,
    definitions,
    enrolment,
    evidence,
    proposals,
    records,
    rewards,
    signers,
    transfers,
)
from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit
from aitbc_node.ledger.family import Act, Family, Outcome
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.records import RecordPut
from aitbc_node.ledger.rewards import RewardClaim
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.ledger.state import Draft
from aitbc_node.ledger.transfers import Transfer
from aitbc_node.types import Address

Body: TypeAlias = (
    Transfer
    | AssetSupply
    | RecordPut
    | AccountPolicy
    | AssetDefine
    | ValidatorPut
    | StakeBond
    | StakeUnbond
    | EvidenceSubmit
    | RewardClaim
    | ProposalSubmit
    | ProposalVote
)

_ALL: tuple[Family[Any], ...] = (
    transfers.FAMILY,
    assets.FAMILY,
    records.FAMILY,
    signers.FAMILY,
    definitions.FAMILY,
    enrolment.FAMILY,
    bonding.BOND,
    bonding.UNBOND,
    evidence.FAMILY,
    rewards.FAMILY,
    proposals.SUBMIT,
    proposals.VOTE,
)

FAMILIES: dict[type, Family[Any]] = {family.body: family for family in _ALL}

# A body that can be decoded can be applied, and the other way round.
assert set(FAMILIES) == set(get_args(Body))


def fault_of(body: Body) -> Refusal | None:
    """Judge what the decoder could not, without the state."""
    return FAMILIES[type(body)].fault(body)


def gas_of(body: Body) -> int:
    """Return the gas of one body, whether or not it succeeds."""
    return FAMILIES[type(body)].gas(body)


def spending_of(params: Params, sender: Address, body: Body) -> int:
    """Return what a body takes of the sender's native balance if it succeeds."""
    return FAMILIES[type(body)].spends(params, sender, body)


def apply(draft: Draft, act: Act, body: Body) -> Outcome:
    """Carry one body out, or say why not; the caller rolls a refused one back."""
    return FAMILIES[type(body)].apply(draft, act, body)
