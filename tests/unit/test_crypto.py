"""Signatures and keys: one rule for all validators, ZIP-215, and no weak keys in the ledger."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitbc_node.crypto import SigningKey, is_weak_key, peer_id, sha256, verify
from aitbc_node.types import PublicKey, Signature

VECTORS = Path(__file__).parent / "vectors"
CASES: list[dict[str, Any]] = json.loads((VECTORS / "signatures.json").read_text())["cases"]
WEAK: dict[str, list[str]] = json.loads((VECTORS / "weak_keys.json").read_text())
FIELD_PRIME = 2**255 - 19


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_each_vector_is_judged_as_the_protocol_says(case: dict[str, Any]) -> None:
    """Honest, broken and odd signatures; the odd ones split validators with another rule."""
    key = PublicKey(bytes.fromhex(case["key"]))
    signature = Signature(bytes.fromhex(case["signature"]))

    assert verify(key, bytes.fromhex(case["message"]), signature) is case["valid"]


def test_every_pair_of_small_points_verifies_with_a_zero_answer() -> None:
    """ZIP-215 accepts all fourteen encodings as key and as R; a stricter library would not."""
    small = [bytes.fromhex(text) for text in WEAK["small_order"]]
    assert len(small) == 14

    for key, nonce_point in product(small, small):
        signature = Signature(nonce_point + bytes(32))
        assert verify(PublicKey(key), b"anything at all", signature)


def test_keys_that_sign_for_everybody_are_refused() -> None:
    """All encodings of small order, and every encoding that is not canonical, are weak."""
    for text in (*WEAK["small_order"], *WEAK["not_canonical_and_not_small"]):
        assert is_weak_key(PublicKey(bytes.fromhex(text)))
    assert len(WEAK["small_order"]) + len(WEAK["not_canonical_and_not_small"]) == 48


def test_honest_keys_are_not_weak() -> None:
    """Nobody with a proper key is turned away."""
    for text in WEAK["accepted"]:
        assert not is_weak_key(PublicKey(bytes.fromhex(text)))


@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=80))
def test_what_is_signed_verifies_and_the_key_is_sound(seed: bytes, message: bytes) -> None:
    """Signer and verifier are different libraries; they agree on honest signatures."""
    signer = SigningKey(seed)

    assert verify(signer.public_key, message, signer.sign(message))
    assert not is_weak_key(signer.public_key)


@given(value=st.integers(0, 2**256 - 1))
def test_a_key_is_weak_exactly_when_it_is_in_the_table(value: int) -> None:
    """The table is the whole rule."""
    key = value.to_bytes(32, "little")
    listed = key.hex() in {*WEAK["small_order"], *WEAK["not_canonical_and_not_small"]}

    assert is_weak_key(PublicKey(key)) is listed


@given(offset=st.integers(-20, 18), sign=st.integers(0, 1))
def test_the_edge_of_the_canonical_form_is_exact(offset: int, sign: int) -> None:
    """From the field's prime on, an encoding is not canonical."""
    value = FIELD_PRIME + offset
    key = PublicKey((value | sign << 255).to_bytes(32, "little"))

    assert is_weak_key(key) is (offset >= -1)


@pytest.mark.parametrize(("key_bytes", "signature_bytes"), [(31, 64), (33, 64), (32, 63), (32, 65)])
def test_a_wrong_length_is_a_plain_no(key_bytes: int, signature_bytes: int) -> None:
    """Lengths are judged before any native code sees the bytes."""
    assert verify(PublicKey(bytes(key_bytes)), b"", Signature(bytes(signature_bytes))) is False


def test_signing_is_deterministic_and_secret() -> None:
    """The same message twice has one signature, and printing a key does not show its seed."""
    signer = SigningKey(sha256(b"seed"))

    assert signer.sign(b"message") == signer.sign(b"message")
    assert sha256(b"seed").hex() not in repr(signer)


def test_a_peer_is_named_by_its_node_key() -> None:
    """Twenty bytes of the key's hash."""
    key = PublicKey(bytes(range(32)))

    assert peer_id(key) == sha256(key)[:20]
