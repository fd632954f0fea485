"""What happens to a validator that signed two things at once?

Anybody may show two votes or proposals of one key for the same height and round with different
blocks; their signatures prove the offence to everybody. A transaction shows them for a fee, and a
block by itself for nothing: its proposer has seen them. An offence is punished once: a share of the
bond, and of the coins on their way back that still stood behind the vote then, is destroyed but for
the reporter's part, and the validator is jailed. Nothing else is slashed: a wrong state root would
punish an honest operator for a bad release. Do not add absence here. Source: rules 2.4 and 2.10.
"""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.blocks import PROPOSAL, proposal_sign_bytes, vote_sign_bytes
from aitbc_node.canonical import NotCanonicalError, Record, decode
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import assets, enrolment, objects
from aitbc_node.ledger.balances import move
from aitbc_node.ledger.family import Act, Family, Outcome
from aitbc_node.ledger.forms import Count
from aitbc_node.ledger.objects import EQUIVOCATION, NATIVE, KeyUse, ObjectKey, Offence, Unbonding
from aitbc_node.ledger.params import BPS
from aitbc_node.ledger.policy import Key
from aitbc_node.ledger.staking import membership_key
from aitbc_node.ledger.state import Draft, Reader
from aitbc_node.types import Address, Amount, BlockId, Height, Round, Signature

EVIDENCE_GAS = 80_000
KIND_MAX = 2


class SignedMessage(Record, frozen=True):
    """Repeat what was signed: 0 a proposal, 1 a prevote, 2 a precommit.

    Shape: `valid_round` counts in proposals, `time_ms` in precommits; an empty `block_id` is nil.
    """

    kind: Annotated[int, Meta(ge=0, le=KIND_MAX)]
    height: Annotated[Height, Meta(ge=1, le=limits.INT_MAX)]
    round: Annotated[Round, Meta(ge=0, le=limits.INT_MAX)]
    valid_round: Annotated[Round, Meta(ge=-1, le=limits.INT_MAX)]
    block_id: Annotated[BlockId, Meta(max_length=32)]
    time_ms: Count
    signature: Annotated[Signature, Meta(min_length=64, max_length=64)]

    def sign_bytes(self, chain_id: str) -> bytes:
        """Return what the signature covers."""
        if self.kind == PROPOSAL:
            return proposal_sign_bytes(
                chain_id,
                height=self.height,
                round_=self.round,
                valid_round=self.valid_round,
                block_id=self.block_id,
            )
        return vote_sign_bytes(
            chain_id,
            self.kind,
            height=self.height,
            round_=self.round,
            block_id=self.block_id,
            time_ms=self.time_ms,
        )


class EvidenceSubmit(Record, frozen=True, tag="evidence.submit"):
    """Show two messages that one consensus key must never have signed both.

    Shape: `first` names the lower block id.
    """

    key: Key
    first: SignedMessage
    second: SignedMessage


def read(raw: bytes) -> EvidenceSubmit | Refusal:
    """Take the canonical bytes that a block carries, or say what is wrong with their form."""
    if len(raw) > limits.EVIDENCE_BYTES_MAX:
        return Refusal(Code.E_SIZE, "evidence", f"more than {limits.EVIDENCE_BYTES_MAX} bytes")
    try:
        body = decode(raw, EvidenceSubmit)
    except NotCanonicalError as error:
        return Refusal(Code.E_MALFORMED, "evidence", str(error))
    return _fault(body) or body


def check(reader: Reader, body: EvidenceSubmit, *, height: Height) -> Refusal | None:
    """Say why a block of this height cannot punish the offence, but for false signatures."""
    use = reader.key_use(body.key)
    if use is None:
        return Refusal(Code.E_UNKNOWN, "key", "no validator's key")
    refusal = _check_time(reader, body.first.height, use, now=height)
    if refusal is None and reader.lookup(_place(use, body)) is not None:
        return Refusal(Code.E_PUNISHED, "first.height", "punished already")
    return refusal


def apply(draft: Draft, act: Act, body: EvidenceSubmit) -> Outcome:
    """Punish the offence, or say why not."""
    refusal = check(draft, body, height=act.height) or _check_signatures(draft, act, body)
    if refusal is not None:
        return refusal
    use = draft.key_use(body.key)
    assert use is not None, "checked above"
    offence = _slash(draft, use.operator, body.first.height)
    draft.put(_place(use, body), offence)
    reward = offence.slashed * draft.params.evidence_reporter_bps // BPS
    if reward:
        move(draft, act.sender, NATIVE, reward)
    native = draft.asset(NATIVE)
    assert native is not None, "a state without the native asset"
    burned = offence.slashed - reward
    draft.put_asset(NATIVE, assets.resupplied(native, -burned))
    enrolment.jail(draft, use.operator, act.height, why=EQUIVOCATION)
    names = (use.operator.hex(), str(body.first.height), act.sender.hex())
    return [("slashed", *names, str(reward), str(burned))]


def _slash(draft: Draft, operator: Address, height: Height) -> Offence:
    """Take the share of everything that stood behind the validator at the offence."""
    member, queue = draft.membership(operator), draft.unbonding(operator)
    assert member is not None, "a key of nobody"
    share_bps = draft.params.double_sign_slash_bps
    of_bond = member.bonded * share_bps // BPS
    draft.put(membership_key(operator), replace(member, bonded=Amount(member.bonded - of_bond)))
    liable = slashed = 0
    rows = []
    for row in queue.rows:
        counted = not row.counted_until or row.counted_until >= height
        loss = row.amount * share_bps // BPS if counted else 0
        liable += row.amount if counted else 0
        slashed += loss
        rows.append(replace(row, amount=Amount(row.amount - loss)))
    if slashed:
        draft.put((objects.UNBONDING, operator), Unbonding(tuple(rows)))
    return Offence(Amount(member.bonded + liable), Amount(of_bond + slashed))


def _place(use: KeyUse, body: EvidenceSubmit) -> ObjectKey:
    return objects.OFFENCE, use.operator + body.first.height.to_bytes(8, "big")


def _check_time(reader: Reader, height: Height, use: KeyUse, *, now: Height) -> Refusal | None:
    if height > now:
        return Refusal(Code.E_STATE, "first.height", f"the chain is at {now}")
    oldest = now - reader.params.evidence_max_age_blocks
    if height < oldest:
        return Refusal(Code.E_EXPIRED, "first.height", f"older than height {oldest}")
    if not any(first <= height and (not last or height <= last) for first, last in use.voted):
        return Refusal(Code.E_STATE, "first.height", "the key had no vote at that height")
    return None


def _check_signatures(draft: Draft, act: Act, body: EvidenceSubmit) -> Refusal | None:
    chain_id = draft.chain.chain_id
    for name, message in (("first", body.first), ("second", body.second)):
        if not act.verify(body.key, message.sign_bytes(chain_id), message.signature):
            return Refusal(Code.E_SIGNATURE, f"{name}.signature", "not of this key")
    return None


def _fault(body: EvidenceSubmit) -> Refusal | None:
    first, second = body.first, body.second
    for name in ("kind", "height", "round"):
        if getattr(first, name) != getattr(second, name):
            return Refusal(Code.E_MALFORMED, f"second.{name}", "not that of the first")
    for name, message in (("first", first), ("second", second)):
        if len(message.block_id) not in {0, 32}:
            return Refusal(Code.E_MALFORMED, f"{name}.block_id", "neither 32 bytes nor none")
    if first.block_id >= second.block_id:
        return Refusal(Code.E_MALFORMED, "second.block_id", "not above that of the first")
    return None


def _gas(_body: EvidenceSubmit) -> int:
    return EVIDENCE_GAS


FAMILY = Family(EvidenceSubmit, gas=_gas, fault=_fault, apply=apply)
