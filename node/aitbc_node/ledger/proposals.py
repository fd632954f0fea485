"""What may the validators decide together, and when has a decision been made?

A validator proposes and leaves a deposit; more than two thirds of all power must say yes before the
time is over. A decision takes effect at the end of the epoch, or at once: a pause, which takes four
fifths, the plan of an upgrade, the end of an epoch. Powers count as they are when a vote comes. Do
not add what may be decided: `motions.py`.
Source: rules 2.11.
"""

import hashlib
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from aitbc_node.canonical import Record, decode, encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import due, motions, objects
from aitbc_node.ledger.balances import fill, move
from aitbc_node.ledger.family import Act, Event, Family, Outcome
from aitbc_node.ledger.motions import EndEpoch, Motion
from aitbc_node.ledger.objects import (
    NATIVE,
    NEW_ACCOUNT,
    TREASURY,
    ObjectKey,
    Proposal,
    balance,
)
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.staking import membership_key
from aitbc_node.ledger.state import Draft, Reader
from aitbc_node.types import Address, Amount, Height
from aitbc_node.validators import ValidatorSet

PROPOSAL_GAS = 80_000
ID_BYTES = 20
DECIDED_MAX = 100
"""Decisions that wait for the end of an epoch."""

OPEN_MAX = 10
"""Open proposals of one proposer: whoever asks for the list reads all of them."""

_DECIDED: ObjectKey = (objects.DECIDED, b"")


class ProposalSubmit(Record, frozen=True, tag="proposal.submit"):
    """Ask the validators for a decision."""

    motion: Motion


class ProposalVote(Record, frozen=True, tag="proposal.vote"):
    """Say yes or no, once."""

    id: Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
    yes: bool


def proposal_id(act: Act) -> bytes:
    """Name what an act proposes."""
    named = ("proposal", act.sender, act.nonce, act.place)
    return hashlib.sha256(encode(named)).digest()[:ID_BYTES]


def submit(draft: Draft, act: Act, body: ProposalSubmit) -> Outcome:
    """Open a proposal, or say why not."""
    if not _power_of(draft, act.sender):
        return Refusal(Code.E_UNAUTHORISED, "motion", "only who votes may propose")
    refusal = motions.check(draft, body.motion, height=act.height)
    if refusal is not None:
        return refusal
    member = draft.membership(act.sender)
    assert member is not None, "a vote without a membership"
    if member.open_proposals >= OPEN_MAX:
        return Refusal(Code.E_LIMIT, "motion", f"{OPEN_MAX} of the sender's are open already")
    deposit = draft.params.proposal_deposit
    owned = balance((draft.account(act.sender) or NEW_ACCOUNT).balances, NATIVE)
    if deposit > owned:
        message = f"the deposit is {deposit}, the account has {owned} after the fee"
        return Refusal(Code.E_INSUFFICIENT, "motion", message)
    if deposit:
        move(draft, act.sender, NATIVE, -deposit)
    name = proposal_id(act)
    ends = Height(act.height + draft.params.proposal_blocks)
    draft.put(
        (objects.PROPOSAL, name),
        Proposal(act.sender, encode(body), Amount(deposit), ends),
    )
    _count(draft, act.sender, 1)
    due.plan(draft, ends, (objects.PROPOSAL, name))
    return [("proposal.submit", name.hex(), act.sender.hex(), str(ends))]


def vote(draft: Draft, act: Act, body: ProposalVote) -> Outcome:
    """Count a vote, and decide when enough have said yes; or say why not."""
    key = (objects.PROPOSAL, body.id)
    found = draft.proposal(body.id)
    if found is None:
        return Refusal(Code.E_UNKNOWN, "id", "no open proposal")
    if act.height > found.ends:
        return Refusal(Code.E_EXPIRED, "id", f"it was open until height {found.ends}")
    if not _power_of(draft, act.sender):
        return Refusal(Code.E_UNAUTHORISED, "id", "only validators decide")
    if any(voter == act.sender for voter, _ in found.votes):
        return Refusal(Code.E_STATE, "id", "has voted already")
    found = replace(found, votes=tuple(sorted((*found.votes, (act.sender, body.yes)))))
    draft.put(key, found)
    events: list[Event] = [
        ("proposal.vote", body.id.hex(), act.sender.hex(), "yes" if body.yes else "no")
    ]
    motion = motion_of(found)
    if not _is_carried(draft, found, motion):
        return events
    if motions.is_too_late(draft, motion, act.height):
        return Refusal(Code.E_EXPIRED, "id", "what it would do has become impossible")
    waiting = draft.decided
    if not motions.acts_at_once(motion) and len(waiting.motions) >= DECIDED_MAX:
        return Refusal(Code.E_LIMIT, "id", "too many decisions wait for the end of the epoch")
    draft.remove(key)
    _count(draft, found.proposer, -1)
    if found.deposit:
        move(draft, found.proposer, NATIVE, found.deposit)
    if isinstance(motion, EndEpoch):
        draft.put(_DECIDED, replace(waiting, ends_epoch=True))
    elif motions.acts_at_once(motion):
        motions.carry_out(draft, motion)
    else:
        draft.put(_DECIDED, replace(waiting, motions=(*waiting.motions, found.motion)))
    return [*events, ("proposal.passed", body.id.hex())]


def carry_out_all(draft: Draft) -> None:
    """Let the decisions of an epoch take effect, in the order in which they were made."""
    for motion in decided(draft):
        motions.carry_out(draft, motion)
    draft.remove(_DECIDED)


def lapse(draft: Draft, key: ObjectKey, _height: Height) -> None:
    """Close a proposal that found too few; the deposit goes to the treasury."""
    found = draft.proposal(key[1])
    if found is None:
        return
    if found.deposit:
        fill(draft, TREASURY, NATIVE, found.deposit)
    draft.remove(key)
    _count(draft, found.proposer, -1)


def motion_of(proposal: Proposal) -> Motion:
    """Return what a proposal asks for."""
    return _read(proposal.motion)


def decided(reader: Reader) -> list[Motion]:
    """List what takes effect at the end of the epoch, oldest first."""
    return [_read(raw) for raw in reader.decided.motions]


def needed_power(voters: ValidatorSet, motion: Motion) -> int:
    """Return the least power whose yes decides."""
    if motions.is_emergency(motion):
        return -(-4 * voters.total_power // 5)
    return 2 * voters.total_power // 3 + 1


def _count(draft: Draft, proposer: Address, more: int) -> None:
    member = draft.membership(proposer)
    assert member is not None, "a registration is never undone"
    counted = replace(member, open_proposals=member.open_proposals + more)
    draft.put(membership_key(proposer), counted)


def _read(raw: bytes) -> Motion:
    return decode(raw, ProposalSubmit).motion


def _power_of(draft: Draft, operator: Address) -> int:
    return sum(entry.power for entry in draft.validators.members if entry.operator == operator)


def _is_carried(draft: Draft, proposal: Proposal, motion: Motion) -> bool:
    said_yes = {voter for voter, is_yes in proposal.votes if is_yes}
    voters = draft.validators
    power = sum(entry.power for entry in voters.members if entry.operator in said_yes)
    return power >= needed_power(voters, motion)


def _gas(_body: ProposalSubmit | ProposalVote) -> int:
    return PROPOSAL_GAS


def _spends(params: Params, _sender: Address, _body: ProposalSubmit) -> int:
    return params.proposal_deposit


def _fault(body: ProposalSubmit) -> Refusal | None:
    return motions.fault(body.motion)


SUBMIT = Family(ProposalSubmit, gas=_gas, fault=_fault, apply=submit, spends=_spends)
VOTE = Family(ProposalVote, gas=_gas, apply=vote)
