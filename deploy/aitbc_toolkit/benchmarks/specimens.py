"""What does one good transaction of each type look like, and on which state?

A town with some thousand accounts, bonds, rewards and an open proposal, and for each type bodies
that are good in its next block, in the form that costs the most of those that are usual. Do not
time anything here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from aitbc_node.blocks import PRECOMMIT
from aitbc_node.codes import Code
from aitbc_node.crypto import sha256
from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.motions import ChangeParameter
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.records import RecordPut
from aitbc_node.ledger.rewards import RewardClaim
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.ledger.transfers import Transfer
from aitbc_node.types import Amount, BlockId, Height, Round, Signature
from aitbc_sim.town import (
    CHAIN_ID,
    VALIDATOR_NAMES,
    Town,
    a_genesis,
    address,
    key_of,
    pay,
    supply,
)

CITIZENS = 3_000
COUNT = 100
"""Bodies of each type; of as many citizens, so that not one account is looked up all the time."""

_EPOCH_BLOCKS = 8
_BOND = Amount(1_000_000)
_VALUE = b"v" * 256


@dataclass(frozen=True, slots=True)
class Ground:
    """Hold the town in whose next block everything is good."""

    town: Town
    proposal: bytes


@dataclass(frozen=True, slots=True)
class Specimen:
    """Say of one type which form is measured, and make the body of a number with its sender."""

    about: str
    make: Callable[[Ground, int], tuple[str, Body]]


def ground() -> Ground:
    """Found the town, and live through an epoch, so that validators have earned something."""
    citizens = [_citizen(number) for number in range(CITIZENS)]
    params = Params(epoch_blocks=_EPOCH_BLOCKS)
    founding = a_genesis(
        rich=(*citizens, *VALIDATOR_NAMES), params=params, powers=(10,) * 4, pool=10**6
    )
    town = Town(founding)
    bonds = [town.tx(_citizen(number), _bond(number)) for number in range(COUNT)]
    assert all(receipt.code is Code.OK for receipt in town.apply(*bonds).receipts)
    while town.height < _EPOCH_BLOCKS:
        town.apply()
    asked = town.apply(town.tx("north", ProposalSubmit(ChangeParameter("epoch_blocks", 7))))
    ((_, name, *_),) = asked.receipts[0].events
    return Ground(town, bytes.fromhex(name))


def _citizen(number: int) -> str:
    return f"citizen {number}"


def _bond(number: int) -> StakeBond:
    return StakeBond(address(_validator(number)), _BOND)


def _policy(number: int) -> AccountPolicy:
    keys = [key_of(f"key {each} of {number}").public_key for each in range(3)]
    return AccountPolicy(2, tuple(sorted(keys)))


def _registration(number: int) -> ValidatorPut:
    key = key_of(f"vote {number}")
    proof = possession_proof(CHAIN_ID, address(_citizen(number)), key)
    return ValidatorPut(key=key.public_key, proof=proof, region="eu", endpoint="127.0.0.1:1")


def _evidence(number: int) -> EvidenceSubmit:
    key = key_of("north votes")
    ids = sorted(BlockId(sha256(b"%d of %d" % (each, number))) for each in range(2))
    bare = [
        SignedMessage(PRECOMMIT, Height(1), Round(0), Round(-1), each, 7, Signature(bytes(64)))
        for each in ids
    ]
    first, second = (replace(each, signature=key.sign(each.sign_bytes(CHAIN_ID))) for each in bare)
    return EvidenceSubmit(key.public_key, first, second)


def _validator(number: int) -> str:
    return VALIDATOR_NAMES[number % len(VALIDATOR_NAMES)]


SPECIMENS: dict[type, Specimen] = {
    Transfer: Specimen(
        "one output to another account",
        lambda _, number: (_citizen(number), pay(_citizen(number + 1), 5)),
    ),
    AssetSupply: Specimen(
        "new units for an account", lambda _, number: ("mint", supply(_citizen(number), 5))
    ),
    RecordPut: Specimen(
        f"a new blob of {len(_VALUE)} bytes",
        lambda _, number: (_citizen(number), RecordPut("blob", b"key %d" % number, _VALUE, 1_000)),
    ),
    AccountPolicy: Specimen(
        "two of three keys", lambda _, number: (_citizen(number), _policy(number))
    ),
    AssetDefine: Specimen(
        "a new asset",
        lambda _, number: (
            _citizen(number),
            AssetDefine(f"COIN{number}", "coin", 6, None, Amount(1), Amount(10**9)),
        ),
    ),
    ValidatorPut: Specimen(
        "registers a key; verifies its proof",
        lambda _, number: (_citizen(number), _registration(number)),
    ),
    StakeBond: Specimen(
        "the first bond of an account",
        lambda _, number: (_citizen(COUNT + number), _bond(number)),
    ),
    StakeUnbond: Specimen(
        "all that an account had bonded",
        lambda _, number: (
            _citizen(number),
            StakeUnbond(address(_validator(number)), _BOND),
        ),
    ),
    EvidenceSubmit: Specimen(
        "two precommits; verifies both", lambda _, number: (_citizen(number), _evidence(number))
    ),
    RewardClaim: Specimen(
        "a validator's own, with commission", lambda _, number: (_validator(number), RewardClaim())
    ),
    ProposalSubmit: Specimen(
        "asks for another parameter",
        lambda _, number: (
            _validator(number),
            ProposalSubmit(ChangeParameter("epoch_blocks", 10 + number)),
        ),
    ),
    ProposalVote: Specimen(
        "a yes that does not decide yet",
        lambda found, number: (_validator(number), ProposalVote(found.proposal, yes=True)),
    ),
}
