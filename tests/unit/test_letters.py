"""A message of an account: its form, its name, and what is refused by the field at fault."""

import pytest
from msgspec.structs import replace

from aitbc_node import examples, limits
from aitbc_node.canonical import decode, encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import sha256, verify
from aitbc_node.ledger.policy import Policy
from aitbc_node.ledger.transactions import Envelope
from aitbc_node.letters import SIGN_TAG, Letter, Sealed, is_topic, read_letter, sign_letter
from aitbc_node.types import Address, PublicKey

TO_ALL, TO_ONE = examples.letters()


def a_letter(**fields: object) -> Letter:
    """Return the example to all, with other fields."""
    body = decode(TO_ALL, Envelope).body
    return replace(decode(body, Letter), **fields)


@pytest.mark.parametrize("raw", [TO_ALL, TO_ONE], ids=["topic", "account"])
def test_what_is_signed_is_read_as_it_was_written(raw: bytes) -> None:
    """Its name is the hash of its bytes, its signature covers the tag and the body as sent."""
    sealed = read_letter(raw)

    assert isinstance(sealed, Sealed)
    assert sealed.id == sha256(raw)
    assert sealed.signers == (examples.KEY.public_key,)
    assert sealed.sign_bytes == SIGN_TAG + encode(sealed.letter)
    assert all(verify(check.key, check.message, check.signature) for check in sealed.checks)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"topic": ""}, Code.E_MALFORMED, "topic"),
        ({"topic": "Upper"}, Code.E_MALFORMED, "topic"),
        ({"topic": "a,b"}, Code.E_MALFORMED, "topic"),
        ({"topic": "t" * 65}, Code.E_MALFORMED, "topic"),
        ({"to": Address(bytes(20))}, Code.E_MALFORMED, "topic"),
        ({"to": Address(bytes(19)), "topic": ""}, Code.E_MALFORMED, "to"),
        ({"chain_id": "kätte"}, Code.E_MALFORMED, "chain_id"),
        ({"correlation": bytes(33)}, Code.E_MALFORMED, "correlation"),
        ({"valid_until": 0}, Code.E_MALFORMED, "valid_until"),
        ({"policy": Policy(1, (PublicKey(bytes(32)),))}, Code.E_POLICY, "policy.keys[0]"),
        ({"content": bytes(limits.LETTER_BYTES_MAX)}, Code.E_SIZE, ""),
    ],
)
def test_a_wrong_form_is_refused_by_its_field(
    fields: dict[str, object], code: Code, field: str
) -> None:
    """Before any signature is looked at, and whoever brought it."""
    refusal = read_letter(sign_letter(a_letter(**fields), [examples.KEY]))

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (code, field)


@pytest.mark.parametrize("raw", [b"", b"\x90", TO_ALL[:-1], TO_ALL + b"\0", encode("no letter")])
def test_bytes_that_are_no_message_are_a_value(raw: bytes) -> None:
    """A stranger's bytes never raise."""
    assert isinstance(read_letter(raw), Refusal)


def test_a_transaction_is_no_message_and_its_signature_none_of_a_message() -> None:
    """What was signed as one thing can never be shown as another."""
    for _, raw in examples.transactions():
        assert isinstance(read_letter(raw), Refusal)
    sealed = read_letter(TO_ALL)
    assert isinstance(sealed, Sealed)
    (sig,) = sealed.sigs
    assert not verify(sig.key, b"aitbc/tx\0" + encode(sealed.letter), sig.sig)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("a", True), ("prices.gpu-hour_1", True), ("7", True), ("t" * 64, True)]
    + [(text, False) for text in ("", ".a", "-a", "A", "a b", "a/b", "ä", "a\n", "t" * 65)],
)
def test_what_a_topic_may_be_called(text: str, *, is_one: bool) -> None:
    """Words that need no escaping, in an address or a shell."""
    assert is_topic(text) is is_one
