"""What may the validators decide together, and when has a decision been made?

A validator proposes and leaves a deposit; more than two thirds of all power must say yes before the
time is over. A decision takes effect at the end of the epoch; a pause, which takes four fifths, at
once. Powers count as they are when a vote comes. Do not add what a parameter means.
Source: rules 2.11.
"""

import hashlib
from typing import Annotated, TypeAlias

from msgspec import Meta
from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.canonical import Record, decode, encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import due, objects, params, roster
from aitbc_node.ledger.balances import fill, move
from aitbc_node.ledger.family import Act, Event, Family, Outcome
from aitbc_node.ledger.forms import AccountName, Ticker
from aitbc_node.ledger.objects import (
    ADMITTED,
    NATIVE,
    NEW_ACCOUNT,
    REMOVED,
    TREASURY,
    Decided,
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

_DECIDED: ObjectKey = (objects.DECIDED, b"")


class ChangeParameter(Record, frozen=True, tag="param"):
    """Set one parameter of the chain."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    value: Annotated[int, Meta(ge=0, le=limits.INT_MAX)]


class ShareFees(Record, frozen=True, tag="fee_shares"):
    """Set all three shares of a fee, which are a whole together."""

    proposer_bps: Annotated[int, Meta(ge=0, le=params.BPS)]
    treasury_bps: Annotated[int, Meta(ge=0, le=params.BPS)]
    burn_bps: Annotated[int, Meta(ge=0, le=params.BPS)]


class AdmitValidator(Record, frozen=True, tag="validator_add"):
    """Let an operator validate, if it has bonded enough."""

    operator: AccountName


class RemoveValidator(Record, frozen=True, tag="validator_remove"):
    """Let an operator validate no more; its bond stays its own."""

    operator: AccountName


class PauseAsset(Record, frozen=True, tag="pause"):
    """Stop or resume transfers and minting of an asset; bonds, deposits and rewards go on."""

    asset: Ticker
    paused: bool


Motion: TypeAlias = ChangeParameter | ShareFees | AdmitValidator | RemoveValidator | PauseAsset


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
    refusal = _check_motion(draft, body.motion)
    if refusal is not None:
        return refusal
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
    waiting = draft.decided.motions
    if len(waiting) >= DECIDED_MAX:
        return Refusal(Code.E_LIMIT, "id", "too many decisions wait for the end of the epoch")
    draft.remove(key)
    if found.deposit:
        move(draft, found.proposer, NATIVE, found.deposit)
    if isinstance(motion, PauseAsset):
        _carry_out(draft, motion)
    else:
        draft.put(_DECIDED, Decided((*waiting, found.motion)))
    return [*events, ("proposal.passed", body.id.hex())]


def carry_out_all(draft: Draft) -> None:
    """Let the decisions of an epoch take effect, in the order in which they were made."""
    for motion in decided(draft):
        _carry_out(draft, motion)
    draft.remove(_DECIDED)


def lapse(draft: Draft, key: ObjectKey, _height: Height) -> None:
    """Close a proposal that found too few; the deposit goes to the treasury."""
    found = draft.proposal(key[1])
    if found is None:
        return
    if found.deposit:
        fill(draft, TREASURY, NATIVE, found.deposit)
    draft.remove(key)


def motion_of(proposal: Proposal) -> Motion:
    """Return what a proposal asks for."""
    return _read(proposal.motion)


def decided(reader: Reader) -> list[Motion]:
    """List what takes effect at the end of the epoch, oldest first."""
    return [_read(raw) for raw in reader.decided.motions]


def needed_power(voters: ValidatorSet, motion: Motion) -> int:
    """Return the least power whose yes decides."""
    if isinstance(motion, PauseAsset):
        return -(-4 * voters.total_power // 5)
    return 2 * voters.total_power // 3 + 1


def _read(raw: bytes) -> Motion:
    return decode(raw, ProposalSubmit).motion


def _power_of(draft: Draft, operator: Address) -> int:
    return sum(entry.power for entry in draft.validators.members if entry.operator == operator)


def _is_carried(draft: Draft, proposal: Proposal, motion: Motion) -> bool:
    said_yes = {voter for voter, is_yes in proposal.votes if is_yes}
    voters = draft.validators
    power = sum(entry.power for entry in voters.members if entry.operator in said_yes)
    return power >= needed_power(voters, motion)


def _check_motion(draft: Draft, motion: Motion) -> Refusal | None:
    match motion:
        case ChangeParameter(name=name):
            if name not in Params.__struct_fields__:
                return Refusal(Code.E_UNKNOWN, "motion.name", f"no parameter '{name}'")
            fault = next(params.faults(_changed(draft.params, motion)), None)
            return fault and Refusal(Code.E_AMOUNT, "motion.value", fault.message)
        case ShareFees():
            fault = next(params.faults(_changed(draft.params, motion)), None)
            return fault and Refusal(Code.E_AMOUNT, "motion.burn_bps", fault.message)
        case AdmitValidator(operator=operator) | RemoveValidator(operator=operator):
            if draft.membership(operator) is None:
                return Refusal(Code.E_UNKNOWN, "motion.operator", "nobody registered there")
        case PauseAsset(asset=asset):
            if draft.asset(asset) is None:
                return Refusal(Code.E_ASSET, "motion.asset", f"no asset '{asset}'")
    return None


def _carry_out(draft: Draft, motion: Motion) -> None:
    match motion:
        case ChangeParameter() | ShareFees():
            changed = _changed(draft.params, motion)
            # Two decisions of one epoch may each be sound and not fit together: the first stands.
            if next(params.faults(changed), None) is None:
                draft.put((objects.PARAMS, b""), changed)
        case AdmitValidator(operator=operator):
            _seat(draft, operator, ADMITTED)
        case RemoveValidator(operator=operator):
            _seat(draft, operator, REMOVED)
        case PauseAsset(asset=ticker, paused=paused):
            asset = draft.asset(ticker)
            assert asset is not None, "an asset is never undone"
            draft.put_asset(ticker, replace(asset, paused=paused))


def _changed(before: Params, motion: ChangeParameter | ShareFees) -> Params:
    if isinstance(motion, ChangeParameter):
        return replace(before, **{motion.name: motion.value})
    return replace(
        before,
        fee_proposer_bps=motion.proposer_bps,
        fee_treasury_bps=motion.treasury_bps,
        fee_burn_bps=motion.burn_bps,
    )


def _seat(draft: Draft, operator: Address, seat: str) -> None:
    member = draft.membership(operator)
    assert member is not None, "a registration is never undone"
    draft.put(membership_key(operator), replace(member, seat=seat))
    roster.enter(draft, operator)


def _gas(_body: ProposalSubmit | ProposalVote) -> int:
    return PROPOSAL_GAS


def _spends(params: Params, _sender: Address, _body: ProposalSubmit) -> int:
    return params.proposal_deposit


def _fault(body: ProposalSubmit) -> Refusal | None:
    match body.motion:
        case ChangeParameter(name=name) if not name.isascii():
            return Refusal(Code.E_MALFORMED, "motion.name", "not ASCII")
        case PauseAsset(asset=asset) if not asset.isascii():
            return Refusal(Code.E_MALFORMED, "motion.asset", "not ASCII")
        case _:
            return None


SUBMIT = Family(ProposalSubmit, gas=_gas, fault=_fault, apply=submit, spends=_spends)
VOTE = Family(ProposalVote, gas=_gas, apply=vote)
