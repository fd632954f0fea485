"""How small facts are put on record for a time: names, addresses, peers, audit heads, blobs.

A record belongs to who wrote it until it expires; its room in the state is paid for in advance, by
gas. In `name` a key belongs to whoever took it first; in every other namespace each account has
keys of its own, so nobody can occupy another's. The one exception says that a node key has ended,
or gives way to another: there is one place for each key, and it stays. Do not add meanings of
other values.
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from aitbc_node.canonical import Record
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import SIGNATURE_BYTES, Signer, peer_id
from aitbc_node.ledger import due, revoking
from aitbc_node.ledger.family import Act, Family, Outcome
from aitbc_node.ledger.objects import RECORD, ObjectKey, StoredRecord
from aitbc_node.ledger.state import Draft
from aitbc_node.limits import INT_MAX
from aitbc_node.types import Address, Height, PublicKey

KEY_BYTES_MAX = 64
VALUE_BYTES_MAX = 4_096
TTL_BLOCKS_MAX = 10_000_000

NODE_KEY = b"node"
"""The key in `peer` under which the operator of a validator names its node."""

RECORD_GAS = 21_000
BYTE_GAS = 64
RENT_BYTES = 128
"""What a record costs the state besides its key and value: owner, heights, tree, agenda."""

RENT_DIVISOR = 1_000
"""One gas keeps one byte for this many blocks."""

SHARED = "name"

FOREVER = Height(INT_MAX)
REVOKED_TTL_BLOCKS = 1_000_000
"""The room of a revocation is paid for as if it were for so long; it is never freed."""

Namespace: TypeAlias = Literal["name", "addr", "peer", "audit", "blob"]


class RecordPut(Record, frozen=True, tag="record.put"):
    """Write or renew a record for `ttl` blocks; 0 removes the sender's own."""

    ns: Namespace
    key: Annotated[bytes, Meta(min_length=1, max_length=KEY_BYTES_MAX)]
    value: Annotated[bytes, Meta(max_length=VALUE_BYTES_MAX)]
    ttl: Annotated[int, Meta(ge=0, le=TTL_BLOCKS_MAX)]


def is_shared(ns: str, key: bytes) -> bool:
    """Tell whether there is one place for a key, whoever writes there."""
    return ns == SHARED or revoking.revoked_key(ns, key) is not None


def record_key(ns: str, key: bytes, owner: Address) -> ObjectKey:
    """Return where a record is in the state."""
    owned = b"" if is_shared(ns, key) else owner
    return RECORD, revoking.record_name(ns, key, owned)


def apply(draft: Draft, act: Act, body: RecordPut) -> Outcome:
    """Write, renew or remove a record, or say why not."""
    place = record_key(body.ns, body.key, act.sender)
    revoked = revoking.revoked_key(body.ns, body.key)
    if revoked is not None:
        return _revoke(draft, act, body, place, revoked)
    found = living(draft.record(place[1]), act.height)
    if found is not None and found.owner != act.sender:
        return Refusal(Code.E_UNAUTHORISED, "key", f"taken until height {found.expires}")
    event = ("record.put", body.ns, body.key.hex(), act.sender.hex())
    if body.ttl == 0:
        if found is None:
            return Refusal(Code.E_UNKNOWN, "key", "there is no such record to remove")
        draft.remove(place)
        return [(*event, "removed")]
    expires = Height(act.height + body.ttl)
    draft.put(place, StoredRecord(body.ns, body.key, body.value, act.sender, expires))
    due.plan(draft, expires, place)
    return [(*event, str(expires))]


def revoked_by(chain_id: str, signer: Signer) -> RecordPut:
    """Make the record with which a node key ends itself, whoever hands it in."""
    return ended_by(signer.public_key, revoking.revocation(chain_id, signer))


def ended_by(key: PublicKey, value: bytes) -> RecordPut:
    """Make the record of what a node key has signed about its end."""
    return RecordPut(revoking.NAMESPACE, revoking.record_key_of(key), value, REVOKED_TTL_BLOCKS)


def living(record: StoredRecord | None, height: Height) -> StoredRecord | None:
    """Return a record unless its time is over; its room may be freed a little later."""
    return record if record is not None and height < record.expires else None


def expire(draft: Draft, key: ObjectKey, height: Height) -> None:
    """Free the room of a record whose time is over; a renewed one stays."""
    found = draft.record(key[1])
    if found is not None and living(found, height) is None:
        draft.remove(key)


def _revoke(
    draft: Draft, act: Act, body: RecordPut, place: ObjectKey, revoked: PublicKey
) -> Outcome:
    """Let a node key end, in favour of another one if it says so; nothing brings it back.

    That it named another one it takes back by ending once more, in favour of nobody.
    """
    found, successor = draft.record(place[1]), revoking.successor_of(body.value)
    if found is not None and (successor or not revoking.successor_of(found.value)):
        return Refusal(Code.E_STATE, "key", "it is revoked already")
    if successor is not None and _has_ended(draft, successor):
        return Refusal(Code.E_STATE, "value", "the key in its place is revoked already")
    signatures = revoking.signatures_of(draft.chain.chain_id, revoked, body.value)
    if not all(act.verify(*each) for each in signatures):
        return Refusal(Code.E_SIGNATURE, "value", "not signed by the key that it revokes")
    draft.put(place, StoredRecord(body.ns, body.key, body.value, act.sender, FOREVER))
    ended = peer_id(revoked).hex()
    put = ("record.put", body.ns, body.key.hex(), act.sender.hex(), str(FOREVER))
    told = [] if successor is None else [("node.replaced", ended, peer_id(successor).hex())]
    return [put, ("node.revoked", ended), *told]


def _has_ended(draft: Draft, key: PublicKey) -> bool:
    _, name = record_key(revoking.NAMESPACE, revoking.record_key_of(key), Address(b""))
    return draft.record(name) is not None


def _gas(body: RecordPut) -> int:
    size = len(body.key) + len(body.value)
    rent = -(-(size + RENT_BYTES) * body.ttl // RENT_DIVISOR)
    return RECORD_GAS + BYTE_GAS * size + rent


def _fault(body: RecordPut) -> Refusal | None:
    if revoking.revoked_key(body.ns, body.key) is not None:
        return _fault_of_revocation(body)
    if body.ttl == 0 and body.value:
        return Refusal(Code.E_MALFORMED, "value", "a record that is removed has no value")
    return None


def _fault_of_revocation(body: RecordPut) -> Refusal | None:
    if len(body.value) not in {SIGNATURE_BYTES, revoking.REPLACEMENT_BYTES}:
        return Refusal(Code.E_MALFORMED, "value", "a revocation is a signature by the node key")
    revoked = revoking.revoked_key(body.ns, body.key)
    if revoked is not None and revoking.successor_of(body.value) == revoked:
        return Refusal(Code.E_MALFORMED, "value", "a key does not take its own place")
    if body.ttl != REVOKED_TTL_BLOCKS:
        return Refusal(Code.E_MALFORMED, "ttl", f"a revocation has a ttl of {REVOKED_TTL_BLOCKS}")
    return None


FAMILY = Family(RecordPut, gas=_gas, fault=_fault, apply=apply)
