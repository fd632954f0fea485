"""Transactions as bytes: what is read, what is refused, and by which field."""

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitbc_node import limits
from aitbc_node.canonical import encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import verify
from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.policy import Policy
from aitbc_node.ledger.transactions import SIGN_TAG, Envelope, Parsed, parse, sign, signature_checks
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Amount
from aitbc_sim.town import Town, a_genesis, address, key_of, pay

GOOD = Town(a_genesis()).tx("alice", pay("bob", 5))
PLAIN = st.none() | st.integers(-9, 9) | st.text(max_size=3) | st.binary(max_size=3)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4), max_leaves=9)

Fields = list  # an array as a stranger would put it together


def fields_of(town: Town) -> Fields:
    """Take a good transaction apart into plain msgpack values."""
    return msgspec.msgpack.decode(encode(town.draft("alice", pay("bob", 5, "AIT"), policy=None)))


def wrapped(fields: Fields) -> bytes:
    """Sign whatever these fields are and put them into an envelope."""
    body = msgspec.msgpack.encode(fields)
    signature = key_of("alice").sign(SIGN_TAG + body)
    return msgspec.msgpack.encode([body, [[key_of("alice").public_key, signature]]])


def test_raw_bytes_are_what_is_hashed_and_signed(town: Town) -> None:
    """The id covers all raw bytes; the signature covers the tag and the body as received."""
    draft = town.draft("alice", pay("bob", 5))

    parsed = parse(sign(draft, [key_of("alice")]))

    assert isinstance(parsed, Parsed)
    assert parsed.tx == draft
    assert parsed.sign_bytes == b"aitbc/tx\0" + encode(draft)
    [check] = signature_checks(parsed)
    assert check.message == parsed.sign_bytes
    assert verify(check.key, check.message, check.signature)


@pytest.mark.proves("A16")
@pytest.mark.parametrize(
    "amount",
    ["", "-1", "1.5", "1e9", "5", -1, 0, 1.5, 1e9, 5.0, float("nan"), 2**63, 2**64 - 1, None, True],
)
def test_a_wrong_amount_is_refused_by_its_field(town: Town, amount: object) -> None:
    """Only an integer within 1..2**63-1 is an amount; the refusal says where it stands."""
    fields = fields_of(town)
    fields[9][0][1][0][2] = amount

    refusal = parse(wrapped(fields))

    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.E_MALFORMED
    assert refusal.field == "bodies[0].outs[0].amount"


@pytest.mark.proves("A16")
@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        ([0], "x" * 49, "chain_id"),
        ([0], "", "chain_id"),
        ([1], b"short", "sender"),
        ([1], "text", "sender"),
        ([2], -1, "nonce"),
        ([3], 0, "valid_until"),
        ([3], "soon", "valid_until"),
        ([4], -1, "gas_limit"),
        ([5], 2**63, "max_gas_price"),
        ([6], -1, "tip"),
        ([7], [0, [b"k" * 32]], "policy.threshold"),
        ([7], [1, []], "policy.keys"),
        ([7], [1, [b"k" * 31]], "policy.keys[0]"),
        ([8], 1, "bundle"),
        ([9], [], "bodies"),
        ([9, 0, 0], "nonsense", "bodies[0].type"),
        ([9, 0, 1], [], "bodies[0].outs"),
        ([9, 0, 1, 0, 0], b"", "bodies[0].outs[0].to"),
        ([9, 0, 1, 0, 1], "", "bodies[0].outs[0].asset"),
        ([9, 0, 1, 0, 1], "THIRTEENCHARS", "bodies[0].outs[0].asset"),
        ([9, 0, 2], "x" * 257, "bodies[0].memo"),
    ],
)
def test_every_field_has_bounds(town: Town, place: list[int], value: object, field: str) -> None:
    """Whatever is out of shape is refused and named before anything else is looked at."""
    fields = fields_of(town)
    target = fields
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value

    refusal = parse(wrapped(fields))

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (Code.E_MALFORMED, field)


def test_too_large_is_told_before_it_is_read() -> None:
    """The size is checked first, so reading costs a stranger's victim nothing."""
    refusal = parse(bytes(limits.TX_BYTES_MAX + 1))

    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.E_SIZE


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw + b"\0",
        lambda raw: raw[:-1],
        lambda raw: b"\xdc\0\2" + raw[1:],
        lambda _: b"",
        lambda _: b"\xc1",
        lambda _: b"\x91" * 60_000,
    ],
    ids=["trailing", "truncated", "long array head", "empty", "reserved byte", "deep"],
)
def test_bytes_that_are_not_the_one_encoding_are_refused(town: Town, damage: object) -> None:
    """One transaction has one encoding, so it has one id."""
    raw = town.tx("alice", pay("bob", 1)).raw

    refusal = parse(damage(raw))

    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.E_MALFORMED


def test_a_body_in_a_longer_encoding_is_refused(town: Town) -> None:
    """The inner bytes are canonical too: nonce 0 as a 64-bit integer is not nonce 0."""
    body = bytearray(encode(town.draft("alice", pay("bob", 1))))
    sender_end = body.index(address("alice")) + 20
    assert body[sender_end] == 0
    body[sender_end : sender_end + 1] = b"\xcf" + struct.pack(">Q", 0)

    refusal = parse(encode(Envelope(bytes(body), ())))

    assert isinstance(refusal, Refusal)
    assert "shortest" in refusal.message


@pytest.mark.parametrize(
    ("memo", "good"),
    [
        ("café", True),
        ("cafe\u0301", False),
        ("\u00e9" * 128, True),
        ("\u00e9" * 129, False),
        ("\U000105c9", False),
        ("\U000105d2\u0307", False),
    ],
    ids=["composed", "decomposed", "256 bytes", "258 bytes", "newer", "newer, decomposed"],
)
def test_memos_have_one_form_under_every_version_of_unicode(
    town: Town, memo: str, *, good: bool
) -> None:
    """Text that two Python versions could judge differently is text that could split the chain."""
    transfer = Transfer((Output(address("bob"), "AIT", Amount(1)),), memo)

    parsed = parse(sign(town.draft("alice", transfer), [key_of("alice")]))

    assert isinstance(parsed, Parsed) is good
    if not good:
        assert parsed.field == "bodies[0].memo"


@pytest.mark.parametrize(
    ("changes", "bodies", "field"),
    [
        ({"chain_id": "aitbc-té-1"}, [], "chain_id"),
        ({}, [pay("bob", 1, "É")], "bodies[0].outs[0].asset"),
        ({}, [AssetSupply("É", address("bob"), 1)], "bodies[0].asset"),
    ],
)
def test_names_are_plain_ascii(
    town: Town, changes: dict[str, str], bodies: list[Body], field: str
) -> None:
    """No name is ever normalised, compared or printed in two ways."""
    draft = town.draft("alice", *(bodies or [pay("bob", 1)]), **changes)

    refusal = parse(sign(draft, [key_of("alice")]))

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (Code.E_MALFORMED, field)


def test_several_bodies_need_the_bundle_flag(town: Town) -> None:
    """All-or-nothing is asked for, never assumed."""
    draft = town.draft("alice", pay("bob", 1), pay("bob", 2), bundle=False)

    refusal = parse(sign(draft, [key_of("alice")]))

    assert isinstance(refusal, Refusal)
    assert refusal.field == "bodies"


def test_a_supply_change_of_zero_is_refused(town: Town) -> None:
    """It would change nothing and still ask everyone to work."""
    refusal = parse(sign(town.draft("mint", AssetSupply("mUSDA", address("bob"), 0)), []))

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (Code.E_AMOUNT, "bodies[0].delta")


def test_signatures_ascend_by_key_and_none_is_there_twice(town: Town) -> None:
    """The order is fixed, else relays could make new ids by sorting."""
    draft = town.draft("alice", pay("bob", 1))
    good = parse(sign(draft, [key_of("alice"), key_of("bob")]))
    assert isinstance(good, Parsed)

    for sigs in (good.sigs[::-1], (good.sigs[0], good.sigs[0])):
        refusal = parse(encode(Envelope(encode(draft), sigs)))
        assert isinstance(refusal, Refusal)
        assert refusal.code is Code.E_SIGNATURE


def test_too_many_signatures_are_refused_unread(town: Town) -> None:
    """Verifying is what costs; the number is bounded by the encoding."""
    sig = [bytes(32), bytes(64)]
    raw = msgspec.msgpack.encode([encode(town.draft("alice", pay("bob", 1))), [sig] * 17])

    refusal = parse(raw)

    assert isinstance(refusal, Refusal)
    assert refusal.field == "sigs"


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (Policy(1, (bytes(32),)), "policy.keys[0]"),
        (Policy(2, (b"\x09" * 32,)), "policy.threshold"),
        (Policy(1, (b"\x09" * 32, b"\x08" * 32)), "policy.keys"),
        (Policy(1, (b"\x09" * 32, b"\x09" * 32)), "policy.keys"),
    ],
)
def test_a_policy_that_is_not_sound_is_refused(town: Town, policy: Policy, field: str) -> None:
    """Keys of small order let anybody sign; disorder would give one policy two addresses."""
    refusal = parse(sign(town.draft("alice", pay("bob", 1), policy=policy), []))

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (Code.E_POLICY, field)


@given(raw=st.binary(max_size=300))
def test_reading_never_fails_otherwise(raw: bytes) -> None:
    """Whatever the bytes, the answer is a value."""
    assert isinstance(parse(raw), Refusal)


@given(data=st.data())
def test_no_changed_byte_goes_unnoticed(data: st.DataObject) -> None:
    """A flipped bit is refused, or it is another transaction whose signature does not verify."""
    raw = bytearray(GOOD.raw)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    parsed = parse(bytes(raw))

    if isinstance(parsed, Parsed):
        assert parsed.id != GOOD.id
        assert not all(
            verify(check.key, check.message, check.signature) for check in signature_checks(parsed)
        )


@given(value=VALUES, place=st.integers(0, 9))
def test_any_value_in_any_place_is_judged(value: object, place: int) -> None:
    """Refusals name a field whatever stands there instead; nothing raises."""
    fields = msgspec.msgpack.decode(encode(GOOD.tx))
    fields[place] = value

    parsed = parse(wrapped(fields))

    assert isinstance(parsed, Parsed | Refusal)
