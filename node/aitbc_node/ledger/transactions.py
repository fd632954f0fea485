"""What a transaction is made of, how its raw bytes are read, and what is signed.

The raw bytes as received are hashed and signed, never a re-encoding of them; bytes that are not
canonical are refused, so that one transaction never has two ids. Rules that need the state are in
`apply.py` and the files of the rule sets. Do not add those here.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from aitbc_node import limits
from aitbc_node.blocks import tx_id
from aitbc_node.canonical import NotCanonicalError, Record, decode, encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import Signer
from aitbc_node.events import SignatureCheck
from aitbc_node.ledger import families
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.fields import locate
from aitbc_node.ledger.forms import AccountName, Count, Money
from aitbc_node.ledger.policy import Key, Policy, check_policy
from aitbc_node.types import Gas, Height, PublicKey, Signature, TxId

R = TypeVar("R", bound=Record)

SIGN_TAG = b"aitbc/tx\0"


class Transaction(Record, frozen=True):
    """Hold everything that the sender signs.

    Units: `max_gas_price` in thousandths of a base unit per 1000 gas, `tip` in base units of the
    native asset, `valid_until` is the last height whose block may hold the transaction.
    Shape: `policy` while the account has none on record; one body, or 1..16 when `bundle`.
    """

    chain_id: Annotated[str, Meta(min_length=1, max_length=limits.CHAIN_ID_CHARS_MAX)]
    sender: AccountName
    nonce: Count
    valid_until: Annotated[Height, Meta(ge=1, le=limits.INT_MAX)]
    gas_limit: Annotated[Gas, Meta(ge=0, le=limits.INT_MAX)]
    max_gas_price: Count
    tip: Money
    policy: Policy | None
    bundle: bool
    bodies: Annotated[tuple[Body, ...], Meta(min_length=1, max_length=limits.TX_BODIES_MAX)]


class Sig(Record, frozen=True):
    """Carry one key's signature over the sign bytes."""

    key: Key
    sig: Annotated[Signature, Meta(min_length=64, max_length=64)]


class Envelope(Record, frozen=True):
    """Travel: the canonical transaction as opaque bytes, and signatures ascending by key."""

    body: bytes
    sigs: Annotated[tuple[Sig, ...], Meta(max_length=limits.TX_SIGNATURES_MAX)]


class Parsed(msgspec.Struct, frozen=True):
    """Be a transaction whose form is right; nothing is known yet about its signatures."""

    raw: bytes
    id: TxId
    tx: Transaction
    sigs: tuple[Sig, ...]
    sign_bytes: bytes


def parse(raw: bytes) -> Parsed | Refusal:
    """Read raw bytes from anybody; a refusal is a value that names the field at fault."""
    if len(raw) > limits.TX_BYTES_MAX:
        message = f"{len(raw)} bytes, at most {limits.TX_BYTES_MAX}"
        return Refusal(Code.E_SIZE, "", message)
    envelope = _read(raw, Envelope)
    if isinstance(envelope, Refusal):
        return envelope
    tx = _read(envelope.body, Transaction)
    if isinstance(tx, Refusal):
        return tx
    refusal = _check_form(tx) or _check_order(envelope.sigs)
    if refusal is not None:
        return refusal
    return Parsed(raw, tx_id(raw), tx, envelope.sigs, SIGN_TAG + envelope.body)


def sign(tx: Transaction, signers: Sequence[Signer]) -> bytes:
    """Return the raw bytes of a transaction signed by these keys, whatever their order."""
    body = encode(tx)
    message = SIGN_TAG + body
    sigs = [Sig(signer.public_key, signer.sign(message)) for signer in signers]
    return encode(Envelope(body, tuple(sorted(sigs, key=lambda sig: sig.key))))


def signature_checks(parsed: Parsed) -> tuple[SignatureCheck, ...]:
    """List what a verifier has to judge before this transaction may be in a block."""
    return tuple(SignatureCheck(sig.key, parsed.sign_bytes, sig.sig) for sig in parsed.sigs)


def signer_keys(parsed: Parsed) -> tuple[PublicKey, ...]:
    """List the keys that claim to have signed."""
    return tuple(sig.key for sig in parsed.sigs)


def _read(data: bytes, kind: type[R]) -> R | Refusal:
    try:
        return decode(data, kind)
    except NotCanonicalError as error:
        return Refusal(Code.E_MALFORMED, *locate(str(error), data, kind))


def _check_form(tx: Transaction) -> Refusal | None:
    if not tx.chain_id.isascii():
        return Refusal(Code.E_MALFORMED, "chain_id", "not plain ASCII")
    if len(tx.bodies) > 1 and not tx.bundle:
        return Refusal(Code.E_MALFORMED, "bodies", "several bodies without the bundle flag")
    for place, body in enumerate(tx.bodies):
        fault = families.fault_of(body)
        if fault is not None:
            return Refusal(fault.code, f"bodies[{place}].{fault.field}", fault.message)
    return None if tx.policy is None else check_policy(tx.policy)


def _check_order(sigs: tuple[Sig, ...]) -> Refusal | None:
    for low, high in pairwise(sigs):
        if low.key >= high.key:
            return Refusal(Code.E_SIGNATURE, "sigs", "keys are not strictly ascending")
    return None
