"""How signatures are made and judged, and how keys and hashes become names.

The verification rule, ZIP-215, is part of the protocol: two validators that judge by different
rules could split over one odd signature, so there is one verifier and no fall-back. Key files are
read elsewhere; nothing here touches a disk.
"""

import hashlib
from typing import Protocol

import ed25519_zebra
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aitbc_node.types import Hash, PeerId, PublicKey, Signature

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_FIELD_PRIME = 2**255 - 19
# The y coordinates of the eight points of small order; x is either root, so the sign bit is free.
_SMALL_ORDER_HEIGHTS = frozenset(
    int.from_bytes(bytes.fromhex(text), "little")
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


class Verifier(Protocol):
    """Judge one signature; the simulator brings a cheaper judge of its own."""

    def __call__(self, key: PublicKey, message: bytes, signature: Signature, /) -> bool:
        """Tell whether `signature` by `key` covers `message`."""


class Signer(Protocol):
    """Sign with one key that the signer keeps to itself."""

    @property
    def public_key(self) -> PublicKey:
        """Return the key that verifies what this signer signs."""

    def sign(self, message: bytes) -> Signature:
        """Return the one signature of this key over `message`."""


class SigningKey:
    """Sign with an Ed25519 key held in memory."""

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == KEY_BYTES, "an Ed25519 seed is 32 bytes"
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = PublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> Signature:
        """Return the deterministic signature of RFC 8032 over `message`."""
        return Signature(self._key.sign(message))

    def __repr__(self) -> str:
        return f"SigningKey({self.public_key.hex()[:12]})"


def verify(key: PublicKey, message: bytes, signature: Signature) -> bool:
    """Judge a signature by ZIP-215; wrong lengths are a plain no. Source: ZIP 215."""
    if len(key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    return bool(ed25519_zebra.ed_verify(signature, message, key))


def is_weak_key(key: PublicKey) -> bool:
    """Tell whether a public key is not in canonical form or names a point of small order.

    ZIP-215 lets such keys verify: under the all-zero key, 64 zero bytes sign everything. Genesis,
    account policies, validators and peer records refuse them. Source: rules 2.9.
    """
    height = int.from_bytes(key, "little") & ((1 << 255) - 1)
    return height >= _FIELD_PRIME or height in _SMALL_ORDER_HEIGHTS


def sha256(data: bytes) -> Hash:
    """Hash bytes."""
    return Hash(hashlib.sha256(data).digest())


def peer_id(key: PublicKey) -> PeerId:
    """Name a node by its node key: the first 20 bytes of the key's hash."""
    return PeerId(hashlib.sha256(key).digest()[:20])
