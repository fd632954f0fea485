"""How does the key of a node end for good, in favour of which other one, and who may say so?

Whoever holds the key itself: a record `peer` whose key names it and whose value it has signed. So
nobody can end another's node, and a backup of the key is enough to end a stolen one. A key may name
its successor, which signs as well, so that nobody is made one unasked. Who has stolen a key can
hand on what it opens, until whoever has it, too, takes that back by ending it in favour of nobody,
which is the last word. So a key that gave way still ends what it opened for its successor: it is
worth keeping safe until every operator's own list has the new one. Do not add what nodes do.
"""

import hashlib
from typing import Final

from aitbc_node.canonical import encode
from aitbc_node.crypto import KEY_BYTES, SIGNATURE_BYTES, Signer
from aitbc_node.types import PublicKey, Signature

NAMESPACE: Final = "peer"
_PREFIX = b"revoked"
_TAG = b"aitbc/node-revoked\0"
_REPLACED_TAG = b"aitbc/node-replaced\0"

REPLACEMENT_BYTES = KEY_BYTES + 2 * SIGNATURE_BYTES


def record_key_of(key: PublicKey) -> bytes:
    """Return the key of the record that revokes a node key."""
    return _PREFIX + key


def revoked_key(namespace: str, key: bytes) -> PublicKey | None:
    """Return which node key a record revokes; None for every other record."""
    is_one = namespace == NAMESPACE and key.startswith(_PREFIX)
    if not is_one or len(key) != len(_PREFIX) + KEY_BYTES:
        return None
    return PublicKey(key[len(_PREFIX) :])


def record_name(ns: str, key: bytes, owned: bytes) -> bytes:
    """Name the place of a record; `owned` is empty where one place is everybody's."""
    return hashlib.sha256(encode((ns, key, owned))).digest()


def revocation_message(chain_id: str, key: PublicKey) -> bytes:
    """Return what a node key signs to end itself; the tag keeps it apart from everything else."""
    return _TAG + encode((chain_id, key))


def revocation(chain_id: str, signer: Signer) -> Signature:
    """Sign, with the node key itself, that nobody may use it any more."""
    return signer.sign(revocation_message(chain_id, signer.public_key))


def successor_of(value: bytes) -> PublicKey | None:
    """Return which key the value of a revocation puts in the place of the ended one, if any."""
    return PublicKey(value[:KEY_BYTES]) if len(value) == REPLACEMENT_BYTES else None


def replacement_message(chain_id: str, key: PublicKey, successor: PublicKey) -> bytes:
    """Return what both keys sign."""
    return _REPLACED_TAG + encode((chain_id, key, successor))


def replacement(chain_id: str, signer: Signer, successor: Signer) -> bytes:
    """Sign, with both keys, that nobody may use the one any more, and the other is in its place."""
    message = replacement_message(chain_id, signer.public_key, successor.public_key)
    return successor.public_key + signer.sign(message) + successor.sign(message)


def signatures_of(
    chain_id: str, key: PublicKey, value: bytes
) -> list[tuple[PublicKey, bytes, Signature]]:
    """Say which key has to have signed what, if the value of a revocation is to count."""
    successor = successor_of(value)
    if successor is None:
        return [(key, revocation_message(chain_id, key), Signature(value))]
    message = replacement_message(chain_id, key, successor)
    first, second = value[KEY_BYTES:-SIGNATURE_BYTES], value[-SIGNATURE_BYTES:]
    return [(key, message, Signature(first)), (successor, message, Signature(second))]
