"""What is a message from one account to another, or to all who listen to a topic?

It is read and signed like a transaction, but no block ever holds it: it lives until a height, and
every node that is up hears of it at most once. Whether it may be passed on now is `broker.py`'s
question. Do not add that here. In code a message of an account is a *letter*, to be told apart from
what nodes say to each other.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from aitbc_node import limits
from aitbc_node.canonical import NotCanonicalError, Record, decode, encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import Signer, sha256
from aitbc_node.events import SignatureCheck
from aitbc_node.ledger.fields import locate
from aitbc_node.ledger.forms import AccountName, Count
from aitbc_node.ledger.policy import Policy, check_policy
from aitbc_node.ledger.transactions import Envelope, Sig
from aitbc_node.posting import Delivered
from aitbc_node.types import Hash, Height, PublicKey

R = TypeVar("R", bound=Record)

SIGN_TAG = b"aitbc/message\0"

_TOPIC = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Letter(Record, frozen=True):
    """Hold everything that the sender signs.

    Shape: `to` an account or, where that is None, `topic`; `correlation` names the conversation and
    is empty outside one; `number` tells two equal letters apart; `valid_until` is the last height
    at which it is passed on; `policy` while the sender has none on record.
    """

    chain_id: Annotated[str, Meta(min_length=1, max_length=limits.CHAIN_ID_CHARS_MAX)]
    sender: AccountName
    to: AccountName | None
    topic: Annotated[str, Meta(max_length=limits.LETTER_TOPIC_CHARS_MAX)]
    correlation: Annotated[bytes, Meta(max_length=limits.LETTER_CORRELATION_BYTES_MAX)]
    number: Count
    valid_until: Annotated[Height, Meta(ge=1, le=limits.INT_MAX)]
    policy: Policy | None
    content: bytes

    @property
    def goal(self) -> bytes:
        """Name where it goes, to count what goes there."""
        return b"topic/" + self.topic.encode() if self.to is None else self.to


class Sealed(msgspec.Struct, frozen=True, gc=False):
    """Be a letter whose form is right; nothing is known yet about its signatures."""

    raw: bytes
    id: Hash
    letter: Letter
    sigs: tuple[Sig, ...]
    sign_bytes: bytes

    @property
    def weight(self) -> int:
        """Count how often it counts where messages are counted."""
        return -(-len(self.raw) // limits.LETTER_UNIT_BYTES)

    @property
    def delivered(self) -> Delivered:
        """Return what a listener is handed once it is verified."""
        letter = self.letter
        return Delivered(
            id=self.id,
            sender=letter.sender,
            to=letter.to,
            topic=letter.topic,
            correlation=letter.correlation,
            valid_until=letter.valid_until,
            content=letter.content,
        )

    @property
    def signers(self) -> tuple[PublicKey, ...]:
        """List the keys that claim to have signed."""
        return tuple([sig.key for sig in self.sigs])

    @property
    def checks(self) -> tuple[SignatureCheck, ...]:
        """List what a verifier has to judge before it is passed on."""
        return tuple([SignatureCheck(sig.key, self.sign_bytes, sig.sig) for sig in self.sigs])


def read_letter(raw: bytes) -> Sealed | Refusal:
    """Read raw bytes from anybody; a refusal is a value that names the field at fault."""
    if len(raw) > limits.LETTER_BYTES_MAX:
        return Refusal(Code.E_SIZE, "", f"{len(raw)} bytes, at most {limits.LETTER_BYTES_MAX}")
    envelope = _read(raw, Envelope)
    if isinstance(envelope, Refusal):
        return envelope
    letter = _read(envelope.body, Letter)
    if isinstance(letter, Refusal):
        return letter
    refusal = _fault_of_form(letter)
    if refusal is None and any(low.key >= high.key for low, high in pairwise(envelope.sigs)):
        refusal = Refusal(Code.E_SIGNATURE, "sigs", "keys are not strictly ascending")
    if refusal is not None:
        return refusal
    return Sealed(raw, sha256(raw), letter, envelope.sigs, SIGN_TAG + envelope.body)


def sign_letter(letter: Letter, signers: Sequence[Signer]) -> bytes:
    """Return the raw bytes of a letter signed by these keys, whatever their order."""
    body = encode(letter)
    sigs = [Sig(signer.public_key, signer.sign(SIGN_TAG + body)) for signer in signers]
    return encode(Envelope(body, tuple(sorted(sigs, key=lambda sig: sig.key))))


def is_topic(text: str) -> bool:
    """Tell whether this is a topic's name: a-z, 0-9, and `._-` behind the first."""
    return len(text) <= limits.LETTER_TOPIC_CHARS_MAX and bool(_TOPIC.fullmatch(text))


def _fault_of_form(letter: Letter) -> Refusal | None:
    if not letter.chain_id.isascii():
        return Refusal(Code.E_MALFORMED, "chain_id", "not plain ASCII")
    if letter.to is None and not is_topic(letter.topic):
        return Refusal(Code.E_MALFORMED, "topic", "no account and no topic to go to")
    if letter.to is not None and letter.topic:
        return Refusal(Code.E_MALFORMED, "topic", "an account and a topic to go to")
    return None if letter.policy is None else check_policy(letter.policy)


def _read(data: bytes, kind: type[R]) -> R | Refusal:
    try:
        return decode(data, kind)
    except NotCanonicalError as error:
        return Refusal(Code.E_MALFORMED, *locate(str(error), data, kind))
