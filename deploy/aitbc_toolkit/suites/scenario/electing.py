"""What do those who validate do, or who wants to: come, go, change keys, and decide together?

Each waits until the ledger has it; who votes when is judged by the condition `voting`, and by the
checkers. Do not add bonds of others: `bonding.py`.
"""

from collections.abc import Mapping, Sequence

from aitbc_node.ledger.bonding import StakeBond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.motions import AdmitValidator, Motion, RemoveValidator, ScheduleUpgrade
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.types import Amount, Height
from aitbc_toolkit.suites.scenario.desk import COIN, Desk, Order, Person, Signed
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

FUNDS = 5 * COIN
"""Of an operator: a deposit, and what its acts cost."""


def joiners(parameters: Mapping[str, int]) -> dict[str, int]:
    """Name who may come to validate."""
    return {f"joiner {place}": FUNDS for place in range(parameters["people"])}


def join(desk: Desk, order: Order) -> None:
    """Register each of these nodes' keys, with a coin behind it: it votes from an epoch on."""
    free = [each for each in desk.named("joiner") if not each.nonce]
    if len(free) < len(order.whom):
        raise ScenarioError(Verdict.INVALID, f"{len(free)} may join, of {len(order.whom)} nodes")
    acts = []
    for person, node in zip(free, order.whom, strict=False):
        bond = StakeBond(person.account, Amount(COIN))
        acts.append(desk.signed(person, _with_key(desk, person, node), bond))
        desk.ledger.keys().settled(node, person.wallet)
    desk.carried_out(acts)


def rotate(desk: Desk, order: Order) -> None:
    """Let a validator vote with the key of another node from the next epoch on."""
    (who,), (to,) = order.sides
    person = _operator(desk, who)
    put = _with_key(desk, person, to)
    desk.carried_out([desk.signed(person, put)])
    desk.ledger.keys().settled(to, person.wallet)


def leave(desk: Desk, order: Order) -> None:
    """Step back; the bond stays."""
    _each(desk, order.whom, ValidatorPut(status="leaving"))


def come_back(desk: Desk, order: Order) -> None:
    """Take part again."""
    _each(desk, order.whom, ValidatorPut(status="joining"))


def remove(desk: Desk, order: Order) -> None:
    """Let all who vote decide that somebody is to go."""
    for name in order.whom:
        _decided(desk, RemoveValidator(desk.ledger.operator(name)))


def admit(desk: Desk, order: Order) -> None:
    """Let all who vote decide that somebody may come back who was removed."""
    for name in order.whom:
        _decided(desk, AdmitValidator(desk.ledger.operator(name)))


def upgrade(desk: Desk, order: Order) -> None:
    """Let all who vote decide on newer rules, from a height on that comes soon."""
    rules, at = desk.ledger.pace().app_version + 1, desk.ledger.height() + order.parameters["ahead"]
    _decided(desk, ScheduleUpgrade(Height(at), rules))
    desk.planned = rules, at


def rules(desk: Desk, _order: Order) -> None:
    """Wait for that height, and require that they hold there."""
    wanted, at = desk.planned
    if not wanted:
        raise ScenarioError(Verdict.INVALID, "nobody has decided on newer rules")
    desk.until_height(at + 1)
    now = desk.ledger.pace().app_version
    desk.require("rules in force", f"rules {now} behind height {at}", met=now == wanted)


def _with_key(desk: Desk, person: Person, node: str) -> ValidatorPut:
    signer = desk.ledger.keys().vote(node)
    proof = possession_proof(desk.ledger.chain().chain_id, person.account, signer)
    return ValidatorPut(key=signer.public_key, proof=proof)


def _operator(desk: Desk, node: str) -> Person:
    """Find who runs a validator, and give him something to pay with."""
    name = f"operator {node}"
    if name not in desk.people:
        desk.fund({name: FUNDS}, {name: desk.ledger.keys().operator(node)})
    person = desk.people[name]
    # The same operator may have acted for another node meanwhile.
    person.nonce = desk.ledger.holding(person.account).nonce
    return person


def _each(desk: Desk, names: Sequence[str], body: Body) -> None:
    people = [_operator(desk, name) for name in names]
    desk.carried_out([desk.signed(each, body) for each in people])


def _decided(desk: Desk, motion: Motion) -> None:
    """Let one propose and all say yes, until it has passed."""
    people = [_operator(desk, name) for name in desk.ledger.keys().voters()]
    (told,) = desk.carried_out([desk.signed(people[0], ProposalSubmit(motion))])
    name = next(row[1] for row in told.events if row[0] == "proposal.submit")
    vote = ProposalVote(bytes.fromhex(name), yes=True)
    votes: list[Signed] = [desk.signed(each, vote) for each in people]
    fates = desk.final(votes)
    rows = [row for fate in fates for row in fate.events]
    if not any(row[0] == "proposal.passed" and row[1] == name for row in rows):
        raise ScenarioError(Verdict.LIVENESS, f"all said yes, and it did not pass: {motion}")
