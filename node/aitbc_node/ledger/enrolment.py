"""How does an account become a validator, change its key, step back and return?

Registering costs gas only; power comes from bonds and begins with the next epoch. So does a new
key, and the old one is remembered: its signatures can still be evidence. Nobody registers a key
that was ever registered before. Do not add bonds here.
"""

from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from aitbc_node.canonical import Record
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import is_weak_key
from aitbc_node.ledger import objects
from aitbc_node.ledger.family import Act, Event, Family, Outcome
from aitbc_node.ledger.forms import NAME_BYTES_MAX, is_plain_text
from aitbc_node.ledger.objects import (
    AWAY_LEAVING,
    CANDIDATE,
    JAILED,
    LEAVING,
    KeyUse,
    Membership,
)
from aitbc_node.ledger.params import BPS
from aitbc_node.ledger.policy import Key
from aitbc_node.ledger.possession import possession_message
from aitbc_node.ledger.staking import membership_key
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address, Height, PublicKey, Signature

VALIDATOR_GAS = 60_000
ENDPOINT_BYTES_MAX = 128


class ValidatorPut(Record, frozen=True, tag="validator.put"):
    """Register as a validator, or change what is given; nil leaves as it is.

    Shape: `proof` is the key's `possession_proof` for the sender, there if and only if `key` is.
    """

    key: Key | None = None
    proof: Annotated[Signature, Meta(min_length=64, max_length=64)] | None = None
    commission_bps: Annotated[int, Meta(ge=0, le=BPS)] | None = None
    region: Annotated[str, Meta(max_length=NAME_BYTES_MAX)] | None = None
    endpoint: Annotated[str, Meta(max_length=ENDPOINT_BYTES_MAX)] | None = None
    status: Literal["leaving", "joining", "unjail"] | None = None


def apply(draft: Draft, act: Act, body: ValidatorPut) -> Outcome:
    """Register or change a validator, or say why not."""
    member = draft.membership(act.sender)
    if member is None and body.key is None:
        return Refusal(Code.E_UNKNOWN, "key", "registering a validator takes its consensus key")
    refusal = _check_key(draft, act, body) or _check_commission(draft, body)
    if refusal is not None:
        return refusal
    events: list[Event] = []
    if member is None:
        assert body.key is not None, "checked above"
        member = Membership(body.key, None, draft.params.commission_min_bps, "", "")
        draft.put((objects.KEY_USE, body.key), KeyUse(act.sender))
        events.append(("validator.registered", act.sender.hex(), body.key.hex()))
    elif body.key is not None:
        member = _with_key(draft, act, member, body.key)
        events.append(("validator.key", act.sender.hex(), body.key.hex()))
    changed = _with_status(member, body.status, act.height)
    if isinstance(changed, Refusal):
        return changed
    draft.put(membership_key(act.sender), _with_details(changed, body))
    return [*events, ("validator.put", act.sender.hex(), changed.status)]


def is_member(draft: Draft, operator: Address) -> bool:
    """Tell whether an operator has a vote at this height."""
    return any(member.operator == operator for member in draft.validators.members)


def rotate(draft: Draft, operator: Address) -> Membership:
    """Put an operator's next key, if there is one, in the place of the present one."""
    member = draft.membership(operator)
    assert member is not None, "an operator without a membership"
    if member.next_key is None:
        return member
    changed = replace(member, key=member.next_key, next_key=None)
    draft.put(membership_key(operator), changed)
    return changed


def jail(draft: Draft, operator: Address, height: Height, *, why: str) -> None:
    """Let an operator lose its vote in the epochs that follow, before anybody else's power moves.

    In the next one, if it has less than a third of the power.
    """
    member = draft.membership(operator)
    assert member is not None, "a key of nobody"
    until = Height(height + draft.params.jail_blocks)
    jailed = replace(member, status=JAILED, jailed_until=until, jailed_for=why)
    draft.put(membership_key(operator), jailed)


def freed(member: Membership) -> Membership:
    """Let one out of jail; who was leaving when it was jailed for absence is leaving still."""
    was_leaving = member.jailed_for == AWAY_LEAVING
    return replace(member, status=LEAVING if was_leaving else CANDIDATE)


def _with_key(draft: Draft, act: Act, member: Membership, key: PublicKey) -> Membership:
    """Note a new key; who has no vote now uses it at once."""
    draft.put((objects.KEY_USE, key), KeyUse(act.sender))
    changed = replace(member, next_key=key)
    draft.put(membership_key(act.sender), changed)
    if is_member(draft, act.sender):
        return changed
    return rotate(draft, act.sender)


def _with_status(member: Membership, status: str | None, height: Height) -> Membership | Refusal:
    match status:
        case "unjail" if member.status != JAILED:
            return Refusal(Code.E_STATE, "status", f"it is not jailed but {member.status}")
        case "unjail" if height < member.jailed_until:
            return Refusal(Code.E_STATE, "status", f"jailed until height {member.jailed_until}")
        case "unjail":
            return freed(member)
        case "leaving" if member.status == JAILED:
            return Refusal(Code.E_STATE, "status", "it is jailed")
        case "leaving" if member.status == LEAVING:
            return Refusal(Code.E_STATE, "status", "it is leaving already")
        case "leaving":
            return replace(member, status=LEAVING)
        case "joining" if member.status != LEAVING:
            return Refusal(Code.E_STATE, "status", f"it is not leaving but {member.status}")
        case "joining":
            return replace(member, status=CANDIDATE)
        case _:
            return member


def _with_details(member: Membership, body: ValidatorPut) -> Membership:
    names = ("commission_bps", "region", "endpoint")
    given = {name: getattr(body, name) for name in names if getattr(body, name) is not None}
    return replace(member, **given)


def _check_key(draft: Draft, act: Act, body: ValidatorPut) -> Refusal | None:
    if body.key is None or body.proof is None:
        return None
    if draft.key_use(body.key) is not None:
        return Refusal(Code.E_KEY_TAKEN, "key", "was registered before, by whomever")
    claim = possession_message(draft.chain.chain_id, act.sender)
    if not act.verify(body.key, claim, body.proof):
        return Refusal(Code.E_SIGNATURE, "proof", "does not show possession of the consensus key")
    return None


def _check_commission(draft: Draft, body: ValidatorPut) -> Refusal | None:
    low, high = draft.params.commission_min_bps, draft.params.commission_max_bps
    if body.commission_bps is None or low <= body.commission_bps <= high:
        return None
    return Refusal(Code.E_AMOUNT, "commission_bps", f"not within {low}..{high}")


def _fault(body: ValidatorPut) -> Refusal | None:
    if (body.key is None) != (body.proof is None):
        return Refusal(Code.E_MALFORMED, "proof", "a key and its proof come together")
    if body.key is not None and is_weak_key(body.key):
        return Refusal(Code.E_MALFORMED, "key", "of small order or not in canonical form")
    if body.region is not None and not is_plain_text(body.region, bytes_max=NAME_BYTES_MAX):
        return Refusal(Code.E_MALFORMED, "region", f"not NFC, or over {NAME_BYTES_MAX} bytes")
    if body.endpoint is not None and not body.endpoint.isascii():
        return Refusal(Code.E_MALFORMED, "endpoint", "not ASCII")
    return None


def _gas(_body: ValidatorPut) -> int:
    return VALIDATOR_GAS


FAMILY = Family(ValidatorPut, gas=_gas, fault=_fault, apply=apply)
