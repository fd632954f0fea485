"""What a transaction is made of, how its raw bytes are read, and what is signed.

The raw bytes as received are hashed and signed, never a re-encoding of them; bytes that are not
canonical are refused, so that one transaction never has two ids. Rules that need the state are in
`apply.py` and the files of the rule sets. Do not add those here.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta

from aitbc_node import limits
from aitbc_node.blocks import tx_id
from aitbc_node.canonical import NotCanonicalError, Record, encode, reader_of
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import Signer
from aitbc_node.events import SignatureCheck
from aitbc_node.ledger import families
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.fields import locate
from aitbc_node.ledger.forms import AccountName, Count, Money
from aitbc_node.ledger.policy import Key, Policy, check_policy
from aitbc_node.types import Gas, Height, PublicKey, Signature, TxId

SIGN_TAG = b"aitbc/tx\0"

SIGNATURE_GAS = 5_000


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


_read_envelope = reader_of(Envelope)
_read_transaction = reader_of(Transaction)


class Parsed(msgspec.Struct, frozen=True, gc=False):
    """Be a transaction whose form is right; nothing is known yet about its signatures.

    Its form says all of its `gas`, so nobody runs out of it half-way.
    """

    raw: bytes
    id: TxId
    tx: Transaction
    sigs: tuple[Sig, ...]
    keys: tuple[PublicKey, ...]
    """Who claims to have signed: the keys of `sigs`."""
    sign_bytes: bytes
    gas: Gas


def parse(raw: bytes, name: TxId | None = None) -> Parsed | Refusal:
    """Read raw bytes from anybody; a refusal is a value that names the field at fault.

    `name` is their id, where it is known already.
    """
    if len(raw) > limits.TX_BYTES_MAX:
        message = f"{len(raw)} bytes, at most {limits.TX_BYTES_MAX}"
        return Refusal(Code.E_SIZE, "", message)
    kind: type[Record] = Envelope
    data = raw
    try:
        envelope = _read_envelope(raw)
        kind, data = Transaction, envelope.body
        tx = _read_transaction(data)
    except NotCanonicalError as error:
        return Refusal(Code.E_MALFORMED, *locate(str(error), data, kind))
    sigs = envelope.sigs
    refusal = _check_form(tx) or _check_order(sigs)
    if refusal is not None:
        return refusal
    gas = gas_of(tx, signatures=len(sigs))
    keys = tuple([sig.key for sig in sigs])
    return Parsed(raw, name or tx_id(raw), tx, sigs, keys, SIGN_TAG + envelope.body, gas)


def gas_of(tx: Transaction, *, signatures: int = 1) -> Gas:
    """Return the gas that a transaction uses, whether or not its bodies succeed.

    Every validator verifies every signature, which costs more than everything else together.
    """
    bodies = tx.bodies
    if len(bodies) == 1:  # nearly all
        gas = families.gas_of(bodies[0])
    else:
        gas = sum([families.gas_of(body) for body in bodies])
    return Gas(gas + SIGNATURE_GAS * (signatures - 1) if signatures > 1 else gas)


def sign(tx: Transaction, signers: Sequence[Signer]) -> bytes:
    """Return the raw bytes of a transaction signed by these keys, whatever their order."""
    body = encode(tx)
    message = SIGN_TAG + body
    sigs = [Sig(signer.public_key, signer.sign(message)) for signer in signers]
    return encode(Envelope(body, tuple(sorted(sigs, key=lambda sig: sig.key))))


def signature_checks(parsed: Parsed) -> tuple[SignatureCheck, ...]:
    """List what a verifier has to judge before this transaction may be in a block."""
    return tuple([SignatureCheck(sig.key, parsed.sign_bytes, sig.sig) for sig in parsed.sigs])


def _check_form(tx: Transaction) -> Refusal | None:
    if not tx.chain_id.isascii():
        return Refusal(Code.E_MALFORMED, "chain_id", "not plain ASCII")
    if len(tx.bodies) > 1 and not tx.bundle:
        return Refusal(Code.E_MALFORMED, "bodies", "several bodies without the bundle flag")
    for place, body in enumerate(tx.bodies):
        if (fault := families.fault_of(body)) is not None:
            return Refusal(fault.code, f"bodies[{place}].{fault.field}", fault.message)
    return None if tx.policy is None else check_policy(tx.policy)


def _check_order(sigs: tuple[Sig, ...]) -> Refusal | None:
    if len(sigs) > 1:  # few have more
        for low, high in pairwise(sigs):
            if low.key >= high.key:
                return Refusal(Code.E_SIGNATURE, "sigs", "keys are not strictly ascending")
    return None
