"""What does a node say of open proposals, and of what the next epoch brings?

One pure function per route, answered from the state after the newest final block.
"""

import re
from collections.abc import Mapping

from msgspec.structs import asdict

from aitbc_node import bech32, limits
from aitbc_node.codes import Code
from aitbc_node.ledger import forecast, objects, proposals
from aitbc_node.ledger.motions import Motion
from aitbc_node.ledger.state import State
from aitbc_node.rpc import electorate
from aitbc_node.rpc.call import Call
from aitbc_node.rpc.view import RequestFault
from aitbc_node.types import Address, Height

_ID = re.compile(f"[0-9a-f]{{{2 * proposals.ID_BYTES}}}")


def open_proposals(call: Call) -> electorate.Proposals:
    """Answer `GET /state/proposals`."""
    state, height = call.view.state, call.view.height
    found = [(_open(state, name).ends, name) for name in state.listing.proposals]
    first, powers = sorted(found)[: limits.RPC_PROPOSALS_MAX], _powers(state)
    rows = [_row(state, name, height, powers) for _, name in first]
    return electorate.Proposals(height=height, count=len(found), proposals=rows)


def proposal(call: Call) -> electorate.ProposalView:
    """Answer `GET /state/proposals/<id>`."""
    text, state = call.params["id"], call.view.state
    if not _ID.fullmatch(text):
        message = f"{text[:40]!r} is not {2 * proposals.ID_BYTES} lower-case hex digits"
        raise RequestFault(400, Code.E_BAD_REQUEST, message, field="id")
    name = bytes.fromhex(text)
    found = state.proposal(name)
    if found is None:
        message = "no open proposal: it was decided, has lapsed, or never was"
        hint = "GET /state/proposals lists those that are open"
        raise RequestFault(404, Code.E_NOT_FOUND, message, field="id", hint=hint)
    powers = _powers(state)
    votes = [
        electorate.BallotView(address=_text(state, voter), yes=yes, power=powers.get(voter, 0))
        for voter, yes in found.votes
    ]
    row = _row(state, name, call.view.height, powers)
    shown = {field: getattr(row, field) for field in row.__struct_fields__}
    return electorate.ProposalView(**shown, votes=votes)


def epoch(call: Call) -> electorate.Epoch:
    """Answer `GET /epoch`: that of the block above the newest final one."""
    state, height = call.view.state, call.view.height
    blocks, last = state.params.epoch_blocks, forecast.last_of_epoch(state, height)
    coming = forecast.next_validators(state, height)
    rows = [
        electorate.NextVote(
            address=_text(state, member.operator), key=member.key.hex(), power=member.power
        )
        for member in coming.members
    ]
    return electorate.Epoch(
        height=height,
        number=height // blocks,
        first=last - blocks + 1,
        last=last,
        blocks=blocks,
        total_power=state.validators.total_power,
        next_total_power=coming.total_power,
        next_validators=rows,
        decided=[_motion(state, motion) for motion in proposals.decided(state)],
    )


def _open(state: State, name: bytes) -> objects.Proposal:
    found = state.proposal(name)
    assert found is not None, "a listed proposal that is gone"
    return found


def _powers(state: State) -> Mapping[Address, int]:
    return {member.operator: member.power for member in state.validators.members}


def _row(
    state: State, name: bytes, height: Height, powers: Mapping[Address, int]
) -> electorate.ProposalRow:
    found = _open(state, name)
    motion = proposals.motion_of(found)
    return electorate.ProposalRow(
        id=name.hex(),
        height=height,
        proposer=_text(state, found.proposer),
        motion=_motion(state, motion),
        deposit=str(found.deposit),
        ends=found.ends,
        yes_power=sum(powers.get(voter, 0) for voter, yes in found.votes if yes),
        no_power=sum(powers.get(voter, 0) for voter, yes in found.votes if not yes),
        needed_power=proposals.needed_power(state.validators, motion),
        total_power=state.validators.total_power,
    )


def _motion(state: State, motion: Motion) -> electorate.MotionView:
    details = {name: _word(state, value) for name, value in asdict(motion).items()}
    return electorate.MotionView(kind=str(type(motion).__struct_config__.tag), details=details)


def _word(state: State, value: object) -> str:
    match value:
        case bytes():
            return _text(state, Address(value))
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def _text(state: State, address: Address) -> str:
    return bech32.address_text(state.chain.hrp, address)
