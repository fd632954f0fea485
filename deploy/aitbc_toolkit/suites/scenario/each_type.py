"""Is each type of transaction taken where it is good, and refused where it is not?

The table of types is the node's own: one that comes new is missed here by name. Do not add what an
attacker does: `spending.py`, `crowding.py`.
"""

from collections.abc import Iterator, Mapping

from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.families import FAMILIES, Body
from aitbc_node.ledger.motions import EndEpoch
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.proposals import ID_BYTES, ProposalSubmit, ProposalVote
from aitbc_node.ledger.records import RecordPut
from aitbc_node.ledger.rewards import RewardClaim
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Address, Amount, BlockId, Height, Round, Signature
from aitbc_toolkit.suites.scenario.desk import COIN, Desk, Order, Person
from aitbc_toolkit.suites.scenario.ledger import TAKEN
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

FUNDS = 20 * COIN
PAID_MIN = 100
"""What an epoch pays for each coin, in base units, so that no rounding leaves nothing of it."""
VALIDATORS_ONLY = frozenset({ProposalSubmit, ProposalVote, EvidenceSubmit})
"""Good ones are made with the keys of those who validate, or against them."""


def two(_parameters: Mapping[str, int]) -> dict[str, int]:
    """Name who does everything right, and who does nothing right."""
    return {"right 0": FUNDS, "wrong 0": FUNDS}


def each(desk: Desk, order: Order) -> None:
    """Hand in a good transaction of every type that anybody can make, and a bad one of every type.

    What only validators can do, and rewards where the chain pays none, is told as not shown.
    """
    right, wrong = desk.people["right 0"], desk.people["wrong 0"]
    behind = desk.ledger.operator(order.whom[0])
    stake = Amount(COIN)
    # First, since it takes an epoch until it has earned anything.
    (bonded,) = desk.carried_out([desk.signed(right, StakeBond(behind, stake))])
    good: set[type] = {StakeBond, StakeUnbond}
    for body in _good(desk, right):
        desk.carried_out([desk.signed(right, body)])
        good.add(type(body))
    refused = {type(body): _refusal(desk, wrong, body) for body in _bad(wrong, behind)}
    good |= _rewarded(desk, right, behind, since=bonded.height)
    desk.carried_out([desk.signed(right, StakeUnbond(behind, stake))])
    desk.votes_as_before()
    missed = sorted(map(_name, FAMILIES.keys() - refused.keys()))
    taken = sorted(_name(kind) for kind, code in refused.items() if code == TAKEN)
    told = f"{len(refused)} types refused, wrongly taken: {' '.join(taken) or 'none'}"
    desk.require("bad ones refused", told, met=not taken)
    shown = sorted(map(_name, FAMILIES.keys() - good))
    told = f"{len(good)} of {len(FAMILIES)} types, not shown: {' '.join(shown) or 'none'}"
    lacking = FAMILIES.keys() - good - VALIDATORS_ONLY - {RewardClaim}
    desk.clock.found("good ones taken", told, met=not lacking)
    if missed or lacking:
        raise ScenarioError(Verdict.INCONCLUSIVE, f"{told}; no bad one of {' '.join(missed)}")


def _good(desk: Desk, person: Person) -> Iterator[Body]:
    """Make a good one of each type, in an order in which each can be."""
    own = person.account
    ticker = "T" + own[:4].hex().upper()
    signer = desk.ledger.stranger(person.name)
    proof = possession_proof(desk.ledger.chain().chain_id, own, signer)
    yield Transfer((Output(own, NATIVE, Amount(1)),))
    yield AssetDefine(ticker, "of a scenario", 2, own, Amount(1), Amount(COIN))
    yield AssetSupply(ticker, own, 1_000)
    yield RecordPut("blob", own[:8], b"of a scenario", 100)
    yield AccountPolicy(1, person.wallet.policy.keys)
    yield ValidatorPut(key=signer.public_key, proof=proof)


def _rewarded(desk: Desk, person: Person, behind: Address, *, since: int) -> set[type]:
    """Claim what a coin has earned in a whole epoch, where the chain has enough to pay for one.

    Raises: ScenarioError (liveness) when it is not paid there.
    """
    pace = desk.ledger.pace()
    paid = pace.reward_per_block * pace.epoch_blocks
    if not PAID_MIN * sum(desk.ledger.votes().values()) <= paid <= desk.ledger.reward_pool():
        return set()
    desk.until_height(pace.epoch_of(since) + pace.epoch_blocks)
    desk.carried_out([desk.signed(person, RewardClaim(behind))])
    return {RewardClaim}


def _bad(person: Person, behind: Address) -> Iterator[Body]:
    """Make one of each type that no ledger may carry out."""
    own, coin = person.account, Amount(COIN)
    message = SignedMessage(
        1, Height(1), Round(0), Round(-1), BlockId(32 * b"\1"), 0, Signature(64 * b"\1")
    )
    yield Transfer((Output(behind, NATIVE, Amount(1_000 * FUNDS)),))
    yield AssetDefine(NATIVE, "of nobody", 2, own, Amount(1), coin)
    yield AssetSupply("NOSUCH", own, 1_000)
    yield RecordPut("blob", own[:8], b"", 0)
    yield AccountPolicy(2, person.wallet.policy.keys)
    yield ValidatorPut(status="unjail")
    yield StakeBond(own, coin)
    yield StakeUnbond(behind, coin)
    yield RewardClaim(behind)
    yield EvidenceSubmit(person.wallet.policy.keys[0], message, message)
    yield ProposalSubmit(EndEpoch())
    yield ProposalVote(bytes(ID_BYTES), yes=True)


def _refusal(desk: Desk, person: Person, body: Body) -> str:
    """Return why it was refused, by the node that was asked or by the block that has it."""
    signed = desk.signed(person, body)
    (said,) = desk.ledger.hand_in([(desk.dice.choice(desk.nodes), signed.raw)])
    if not said:
        why = f"no node said anything of a bad {_name(type(body))}"
        raise ScenarioError(Verdict.INCONCLUSIVE, why)
    if said != TAKEN:
        person.nonce -= 1
        return said
    (fate,) = desk.final([signed])
    return fate.code


def _name(kind: type) -> str:
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined]  # a record
