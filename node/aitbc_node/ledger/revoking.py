"""How does the key of a node end for good, and who may say so?

Whoever holds the key itself: a record `peer` whose key names it and whose value it has signed. So
nobody can end another's node, a backup of the key is enough to end a stolen one, and what has been
stolen can do no worse than end itself. Do not add what nodes do about it.
"""

import hashlib
from typing import Final

from aitbc_node.canonical import encode
from aitbc_node.crypto import KEY_BYTES, Signer
from aitbc_node.types import PublicKey, Signature

NAMESPACE: Final = "peer"
_PREFIX = b"revoked"
_TAG = b"aitbc/node-revoked\0"


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
