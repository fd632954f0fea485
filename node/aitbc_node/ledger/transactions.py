"""What a transaction is made of, how its raw bytes are read, and what is signed.

The raw bytes as received are hashed and signed, never a re-encoding of them; bytes that are not
canonical are refused, so that one transaction never has two ids. Rules that need the state are in
`apply.py` and the files of the rule sets. Do not add those here.
"""

import unicodedata
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
from aitbc_node.ledger.fields import locate
from aitbc_node.ledger.policy import Key, Policy, check_policy
from aitbc_node.types import Address, Amount, Gas, Height, PublicKey, Signature, TxId

R = TypeVar("R", bound=Record)

SIGN_TAG = b"aitbc/tx\0"

Count = Annotated[int, Meta(ge=0, le=limits.INT_MAX)]
Money = Annotated[Amount, Meta(ge=0, le=limits.INT_MAX)]
Ticker = Annotated[str, Meta(min_length=1, max_length=limits.TICKER_CHARS_MAX)]
AccountName = Annotated[Address, Meta(min_length=20, max_length=20)]


class Output(Record, frozen=True):
    """Give one amount of one asset to one account."""

    to: AccountName
    asset: Ticker
    amount: Annotated[Amount, Meta(ge=1, le=limits.INT_MAX)]


class Transfer(Record, frozen=True, tag="transfer"):
    """Pay from the sender's account. Shape: memo of at most 256 bytes in UTF-8, NFC."""

    outs: Annotated[tuple[Output, ...], Meta(min_length=1, max_length=limits.TX_OUTPUTS_MAX)]
    memo: Annotated[str, Meta(max_length=limits.MEMO_BYTES_MAX)] = ""


class AssetSupply(Record, frozen=True, tag="asset.supply"):
    """Create (delta > 0) or destroy (delta < 0) units of an asset in an account."""

    asset: Ticker
    account: AccountName
    delta: Annotated[int, Meta(ge=-limits.INT_MAX, le=limits.INT_MAX)]


Body = Transfer | AssetSupply


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


def is_plain_text(text: str, *, bytes_max: int) -> bool:
    """Judge text for people in a way that is the same under every Python version.

    Unicode promises that the NFC form of characters assigned in a version never changes later; for
    characters that are newer than a node's tables two nodes could disagree. Hence only characters
    of Unicode 3.2, whose tables every Python carries, as in RFC 3454.
    """
    if text.isascii():
        return len(text) <= bytes_max
    if len(text.encode()) > bytes_max or not unicodedata.is_normalized("NFC", text):
        return False
    return all(unicodedata.ucd_3_2_0.category(char) != "Cn" for char in text)


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
        fault = _fault_of(body)
        if fault is not None:
            return Refusal(fault.code, f"bodies[{place}].{fault.field}", fault.message)
    return None if tx.policy is None else check_policy(tx.policy)


def _fault_of(body: Body) -> Refusal | None:
    match body:
        case Transfer(outs=outs, memo=memo):
            if not is_plain_text(memo, bytes_max=limits.MEMO_BYTES_MAX):
                message = "over 256 bytes, not NFC, or a character newer than Unicode 3.2"
                return Refusal(Code.E_MALFORMED, "memo", message)
            for index, out in enumerate(outs):
                if not out.asset.isascii():
                    return Refusal(Code.E_MALFORMED, f"outs[{index}].asset", "not ASCII")
        case AssetSupply(asset=asset, delta=delta):
            if not asset.isascii():
                return Refusal(Code.E_MALFORMED, "asset", "not ASCII")
            if delta == 0:
                return Refusal(Code.E_AMOUNT, "delta", "zero changes nothing")
    return None


def _check_order(sigs: tuple[Sig, ...]) -> Refusal | None:
    for low, high in pairwise(sigs):
        if low.key >= high.key:
            return Refusal(Code.E_SIGNATURE, "sigs", "keys are not strictly ascending")
    return None
