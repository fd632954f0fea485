"""What may the operator of this node ask of it, and who is the operator?

Whoever knows the token; it is compared in constant time, before anything else of a request is read.
The routes are on a port of their own that only listens on the loopback interface, and on no other.
Pure: requests become commands, what came of them becomes answers. Do not add waiting here.
"""

import hashlib
import hmac
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from aitbc_node import limits
from aitbc_node.codes import Code, Refusal
from aitbc_node.events import Drained, Finalized, PeersSought, Snapshotted
from aitbc_node.rpc import schema
from aitbc_node.rpc.call import decoded
from aitbc_node.rpc.view import Request, RequestFault
from aitbc_node.types import Address, PublicKey, Signature

_SCHEME = b"Bearer "
_STATUS = {Code.E_CONFLICT: 409, Code.E_UNAVAILABLE: 503}


class Drain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wait for a good moment to stop, at most so long; then let own turns pass."""

    deadline_ms: Annotated[int, Meta(ge=0, le=limits.DRAIN_MS_MAX)]


class Finalize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Write this data version from now on; builds that do not know it stay out."""

    data_version: Annotated[int, Meta(ge=1, le=limits.INT_MAX)]


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keep the state of the newest block, so that the next start is short."""


class Discover(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask all peers now which others there are."""


class Recover(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dial everybody that is missing now, without the delays of dials in vain."""


class NextKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Make the key that is to vote next, unless there is one that the ledger was not told of."""


class MadeKey(msgspec.Struct, frozen=True):
    """Be what the operator hands in for a new key: its public part and whose it is."""

    key: PublicKey
    proof: Signature
    operator: Address
    made: bool


Command: TypeAlias = Drain | Finalize | NextKey | Snapshot | Discover | Recover
Done: TypeAlias = Drained | Finalized | MadeKey | Snapshotted | PeersSought | Refusal

COMMANDS: dict[str, msgspec.json.Decoder[Command]] = {
    "/admin/drain": msgspec.json.Decoder(Drain),
    "/admin/finalize": msgspec.json.Decoder(Finalize),
    "/admin/next-key": msgspec.json.Decoder(NextKey),
    "/admin/snapshot": msgspec.json.Decoder(Snapshot),
    "/admin/net/discover": msgspec.json.Decoder(Discover),
    "/admin/net/recover": msgspec.json.Decoder(Recover),
}


def admit(authorization: bytes, *, token: str) -> None:
    """Let the operator in.

    Raises: RequestFault for everybody else.
    """
    given = authorization.removeprefix(_SCHEME).strip()
    # Digests are of one length, so the comparison tells nothing, not even the token's length.
    is_right = hmac.compare_digest(_digest(given), _digest(token.encode()))
    if not (is_right and authorization.startswith(_SCHEME)):
        headers = (("www-authenticate", "Bearer"), ("connection", "close"))
        hint = "send `Authorization: Bearer TOKEN` with the content of rpc.admin_token_file"
        message = "this interface is for the operator of the node"
        raise RequestFault(401, Code.E_OPERATOR, message, hint=hint, headers=headers)


def read(request: Request) -> Command:
    """Read a request of the operator.

    Raises: RequestFault that names the field at fault.
    """
    decoder = COMMANDS.get(request.path)
    if decoder is None:
        hint = f"there are {', '.join(COMMANDS)}"
        raise RequestFault(404, Code.E_NOT_FOUND, "no such route here", hint=hint)
    if request.method != "POST":
        headers = (("allow", "POST"),)
        raise RequestFault(405, Code.E_BAD_REQUEST, "only POST goes here", headers=headers)
    return decoded(decoder.decode, request.body, code=Code.E_BAD_REQUEST)


def answer(done: Done) -> schema.Answer:
    """Tell the operator what came of a command.

    Raises: RequestFault when it was refused.
    """
    match done:
        case Drained(height=height, next_turn_in=turn_in, in_time=in_time):
            return schema.DrainAnswer(height=height, next_turn_in=turn_in, in_time=in_time)
        case Finalized(data_version=data_version):
            return schema.FinalizeAnswer(data_version=data_version)
        case MadeKey(key=key, proof=proof, operator=operator, made=made):
            return schema.NextKeyAnswer(
                key=key.hex(), proof=proof.hex(), operator=operator.hex(), made=made
            )
        case Snapshotted(height=height, bytes_written=size):
            return schema.SnapshotAnswer(height=height, bytes_written=size)
        case PeersSought(sought=sought, linked=linked, known=known):
            return schema.PeersSoughtAnswer(sought=sought, linked=linked, known=known)
        case Refusal(code=code, field=field, message=message):
            raise RequestFault(_STATUS[code], code, message, field=field)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
