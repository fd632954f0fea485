"""Would another build understand what this one sends, and this one what the other sends?

Writes one example of everything that travels or is signed, and reads such examples: the bytes must
be what this build would write itself, and mean the same. A deploy lets the old and the new build
read each other before it touches a node. Pure; the link itself is tried in `shaking.py`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from aitbc_node import examples
from aitbc_node.blocks import (
    PROTOCOL_VERSION,
    Block,
    Certificate,
    FinalBlock,
    Header,
    block_id,
    certificate_hash,
    ids_root,
    tx_id,
)
from aitbc_node.canonical import NotCanonicalError, decode, encode
from aitbc_node.codes import Refusal
from aitbc_node.consensus.messages import Proposal, RoundSummary, Vote
from aitbc_node.crypto import verify
from aitbc_node.errors import PeerFault, UsageError
from aitbc_node.gossip import messages
from aitbc_node.ledger.transactions import Envelope, Parsed, parse, signature_checks
from aitbc_node.transport import handshake
from aitbc_node.version import VERSION

Meaning = dict[str, object]


class UnreadableError(ValueError):
    """These bytes are nothing that this build knows."""


class Example(msgspec.Struct, frozen=True):
    """Be one thing that travels: its bytes in hex, their hash, and what they mean.

    `needs` is what a release says of itself that is sent it; empty where everybody is.
    """

    bytes: str
    hash: str
    meaning: Meaning
    needs: str = ""


class Examples(msgspec.Struct, frozen=True):
    """Be one of everything, as one build writes it."""

    protocol: int
    version: str
    examples: dict[str, Example]


class Reading(msgspec.Struct, frozen=True):
    """Tell how one example was read; `hash` is of the bytes that this build would write."""

    ok: bool
    hash: str = ""
    why: str = ""


class Readings(msgspec.Struct, frozen=True):
    """Tell how everything was read."""

    ok: bool
    version: str
    written_by: str
    examples: dict[str, Reading]


def write() -> Examples:
    """Write one example of everything."""
    written = {name: _example(name, encode(value)) for name, value in examples.values()}
    written |= {name: _example(name, raw) for name, raw in examples.transactions()}
    return Examples(PROTOCOL_VERSION, VERSION, written)


def read(document: bytes) -> Readings:
    """Read what another build wrote.

    Raises: UsageError when it is no such document at all.
    """
    try:
        written = msgspec.json.decode(document, type=Examples)
    except msgspec.MsgspecError as error:
        hint = "aitbc-node wire write | aitbc-node wire read"
        raise UsageError(f"no examples on standard input: {error}", hint=hint) from error
    found = {name: _reading(name, example) for name, example in written.examples.items()}
    is_all = bool(found) and all(reading.ok for reading in found.values())
    return Readings(is_all, VERSION, written.version, found)


def frames(release: str) -> Iterator[bytes]:
    """Yield the payload of every message that a peer of this release is sent."""
    for name, value in examples.values():
        if name.startswith("message.") and examples.NEEDS.get(name, "") in release:
            yield encode(value)


def _example(name: str, raw: bytes) -> Example:
    _, meaning = _understood(name, raw)
    return Example(raw.hex(), _digest(raw), meaning, examples.NEEDS.get(name, ""))


def _reading(name: str, example: Example) -> Reading:
    try:
        raw = bytes.fromhex(example.bytes)
        own, meaning = _understood(name, raw)
    except (UnreadableError, PeerFault, NotCanonicalError, ValueError) as error:
        return Reading(ok=False, why=str(error))
    if _digest(own) != example.hash:
        return Reading(ok=False, hash=_digest(own), why="this build would write other bytes")
    if meaning != example.meaning:
        apart = sorted(
            key
            for key in {*meaning, *example.meaning}
            if meaning.get(key) != example.meaning.get(key)
        )
        why = f"it means something else to this build: {', '.join(apart)}"
        return Reading(ok=False, hash=_digest(own), why=why)
    return Reading(ok=True, hash=_digest(own))


# What is read, and what it means.


def _read_transaction(raw: bytes) -> Parsed:
    parsed = parse(raw)
    if isinstance(parsed, Refusal):
        raise UnreadableError(f"{parsed.code}: {parsed.field}: {parsed.message}")
    return parsed


_READERS: Mapping[str, Callable[[bytes], Any]] = {
    "message": messages.decode_message,
    "handshake": handshake.decode_first,
    "transaction": _read_transaction,
    "proposal": lambda raw: decode(raw, Proposal),
    "vote": lambda raw: decode(raw, Vote),
    "summary": lambda raw: decode(raw, RoundSummary),
    "header": lambda raw: decode(raw, Header),
    "certificate": lambda raw: decode(raw, Certificate),
    "block": lambda raw: decode(raw, Block),
    "final": lambda raw: decode(raw, FinalBlock),
}


def _understood(name: str, raw: bytes) -> tuple[bytes, Meaning]:
    """Return the bytes that this build would write instead, and what they mean to it."""
    reader = _READERS.get(name.partition(".")[0])
    if reader is None:
        raise UnreadableError("this build knows no such thing")
    value = reader(raw)
    if isinstance(value, Parsed):
        return encode(Envelope(encode(value.tx), value.sigs)), _meaning(value)
    return encode(value), _meaning(value)


def _meaning(value: object) -> Meaning:
    match value:
        case Proposal() | Vote():
            return {"signed": _digest(value.sign_bytes(examples.CHAIN_ID))}
        case RoundSummary():
            return {"height": value.height, "round": value.round, "step": value.step}
        case Header():
            named = {"height": value.height, "time_ms": value.time_ms}
            return {"id": block_id(value).hex(), "state_root": value.state_root.hex(), **named}
        case Certificate():
            return {"hash": certificate_hash(value).hex(), "of": value.block_id.hex()}
        case Block():
            ids = ids_root([tx_id(raw) for raw in value.txs])
            return {**_meaning(value.header), "txs": ids.hex()}
        case FinalBlock():
            return {**_meaning(value.block), **_meaning(value.certificate)}
        case Parsed():
            return _meaning_of_transaction(value)
        case messages.ProposalSent():
            return {"kind": "ProposalSent", **_meaning(value.proposed.header)}
        case messages.BlockFound():
            return {"kind": "BlockFound", **_meaning(value.block)}
        case messages.Finals():
            return {"kind": "Finals", "count": len(value.blocks)}
        case _:
            return {"kind": type(value).__name__}


def _meaning_of_transaction(parsed: Parsed) -> Meaning:
    tx = parsed.tx
    return {
        "id": parsed.id.hex(),
        "sender": tx.sender.hex(),
        "nonce": tx.nonce,
        "valid_until": tx.valid_until,
        "gas": [tx.gas_limit, tx.max_gas_price, tx.tip],
        "bodies": [type(body).__name__ for body in tx.bodies],
        "signatures_hold": all(
            verify(check.key, check.message, check.signature) for check in signature_checks(parsed)
        ),
    }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
