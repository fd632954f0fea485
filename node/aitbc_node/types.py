"""Which plain values the whole node passes around, told apart by name.

Each is an `int` or `bytes` behind a `NewType`, so that a height is not taken for a round nor a key
for a hash. Do not add records or behaviour here.
"""

from typing import NewType

Height = NewType("Height", int)
"""1-based number of a block; 0 is the state before the first block."""

Round = NewType("Round", int)
"""0-based attempt at a height; -1 stands for *none*, as in the paper."""

Power = NewType("Power", int)
"""Voting power of a validator; a positive integer."""

Amount = NewType("Amount", int)
"""Money in base units (10**-decimals of a coin), 0..2**63-1."""

Gas = NewType("Gas", int)
"""Units of work, priced in thousandths of a base unit per 1000 gas."""

Hash = NewType("Hash", bytes)
"""32 bytes of SHA-256."""

PublicKey = NewType("PublicKey", bytes)
"""32 bytes: an Ed25519 public key."""

Signature = NewType("Signature", bytes)
"""64 bytes: an Ed25519 signature, judged by ZIP-215."""

Address = NewType("Address", bytes)
"""20 bytes that name an account: the hash of its first policy."""

PeerId = NewType("PeerId", bytes)
"""20 bytes that name a node: the hash of its node key."""

TxId = NewType("TxId", bytes)
"""32 bytes: SHA-256 over all raw bytes of a transaction."""

BlockId = NewType("BlockId", bytes)
"""32 bytes: the hash of a block's header."""
