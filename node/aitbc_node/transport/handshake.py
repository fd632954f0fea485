"""What two nodes say to each other before the first message, and why each believes the other.

The acceptor is proved by TLS: its certificate carries the node key whose hash the dialer pinned.
The dialer is proved by its first frame: a signature with its node key over the acceptor's key and
a fresh nonce, so that it is worth nothing on any other link. Both name their chain, because two
chains must never mix. Pure; sockets are in `links.py`.

Shape: acceptor `Hello`, dialer `Proof`, acceptor `Verdict`; either side may answer with a `Verdict`
that carries a reason and hangs up. Source: rules 3.
"""

from typing import Any

import msgspec

from aitbc_node.blocks import PROTOCOL_VERSION
from aitbc_node.canonical import NotCanonicalError, Record, decode, encode
from aitbc_node.crypto import Signer, peer_id, sha256, verify
from aitbc_node.errors import PeerFault
from aitbc_node.limits import KIB
from aitbc_node.types import Hash, PeerId, PublicKey, Signature

TAG = "aitbc/link"
NONCE_BYTES = 32
HANDSHAKE_BYTES_MAX = 4 * KIB
RELEASE_CHARS_MAX = 64
ADDRESS_CHARS_MAX = 256


class Hello(Record, frozen=True, tag="hello"):
    """Say who accepted, on which chain, and give the nonce to sign."""

    protocol: str
    version: int
    chain_id: str
    genesis_hash: Hash
    id: PeerId
    nonce: bytes
    release: str


class Proof(Record, frozen=True, tag="proof"):
    """Say who dialled, on which chain, and prove it; `advertise` is where to dial back or ""."""

    protocol: str
    version: int
    chain_id: str
    genesis_hash: Hash
    key: PublicKey
    signature: Signature
    release: str
    advertise: str


class Verdict(Record, frozen=True, tag="verdict"):
    """End the handshake: welcome without a reason, refused with one."""

    reason: str


_FIRST: Any = Hello | Proof | Verdict  # a union is no type to mypy where a type is wanted


class Identity(msgspec.Struct, frozen=True):
    """Be what a node says about itself on every link."""

    chain_id: str
    genesis_hash: Hash
    signer: Signer
    release: str
    advertise: str = ""

    @property
    def id(self) -> PeerId:
        """Return the node's own id."""
        return peer_id(self.signer.public_key)


class Peer(msgspec.Struct, frozen=True):
    """Be what a finished handshake has shown about the other side."""

    id: PeerId
    release: str
    advertise: str = ""


def hello(own: Identity, nonce: bytes) -> bytes:
    """Return the acceptor's first payload."""
    assert len(nonce) == NONCE_BYTES, "a nonce that could repeat"
    return encode(
        Hello(TAG, PROTOCOL_VERSION, own.chain_id, own.genesis_hash, own.id, nonce, own.release)
    )


def prove(own: Identity, payload: bytes, *, acceptor_key: PublicKey) -> tuple[Peer, bytes]:
    """Answer a `Hello` on a link whose certificate carries `acceptor_key`.

    Raises: PeerFault when the other side is on another chain or does not speak the protocol.
    """
    said = decode_first(payload)
    if isinstance(said, Verdict):
        raise PeerFault(f"refused by the peer: {_clean(said.reason)}")
    if not isinstance(said, Hello) or len(said.nonce) != NONCE_BYTES:
        raise PeerFault("no greeting in its first frame")
    _check_chain(own, said)
    if said.id != peer_id(acceptor_key):
        raise PeerFault("its id is not the hash of its certificate's key")
    message = _signed_bytes(own, acceptor_key, said.nonce, dialer=own.id)
    proof = Proof(
        TAG,
        PROTOCOL_VERSION,
        own.chain_id,
        own.genesis_hash,
        own.signer.public_key,
        own.signer.sign(message),
        own.release,
        own.advertise,
    )
    return Peer(said.id, _clean(said.release)), encode(proof)


def judge(own: Identity, payload: bytes, *, nonce: bytes) -> Peer:
    """Judge a dialer's `Proof` that answers `nonce`.

    Raises: PeerFault when it proves nothing or comes from another chain.
    """
    said = decode_first(payload)
    if isinstance(said, Verdict):
        raise PeerFault(f"refused by the peer: {_clean(said.reason)}")
    if not isinstance(said, Proof):
        raise PeerFault("no proof in its first frame")
    _check_chain(own, said)
    dialer = peer_id(said.key)
    message = _signed_bytes(own, own.signer.public_key, nonce, dialer=dialer)
    if not verify(said.key, message, said.signature):
        raise PeerFault("its proof is not signed by its key")
    return Peer(dialer, _clean(said.release), _clean(said.advertise, chars_max=ADDRESS_CHARS_MAX))


def verdict(reason: str = "") -> bytes:
    """Return the payload that ends a handshake."""
    return encode(Verdict(reason[: RELEASE_CHARS_MAX * 4]))


def check_welcome(payload: bytes) -> None:
    """Read the acceptor's `Verdict`.

    Raises: PeerFault with the reason when it is a refusal.
    """
    said = decode_first(payload)
    if not isinstance(said, Verdict):
        raise PeerFault("no verdict on our proof")
    if said.reason:
        raise PeerFault(f"refused by the peer: {_clean(said.reason, chars_max=256)}")


def _check_chain(own: Identity, said: Hello | Proof) -> None:
    if said.protocol != TAG or said.version != PROTOCOL_VERSION:
        raise PeerFault(f"protocol version {said.version}, this node speaks {PROTOCOL_VERSION}")
    if said.chain_id != own.chain_id:
        raise PeerFault(f"chain id {_clean(said.chain_id)!r}, this node is on {own.chain_id!r}")
    if said.genesis_hash != own.genesis_hash:
        raise PeerFault(
            f"genesis {said.genesis_hash.hex()[:16]}, this node has {own.genesis_hash.hex()[:16]}"
        )


def _signed_bytes(own: Identity, acceptor_key: PublicKey, nonce: bytes, *, dialer: PeerId) -> bytes:
    acceptor = peer_id(acceptor_key)
    return encode(
        (TAG, own.chain_id, own.genesis_hash, sha256(acceptor_key), nonce, acceptor, dialer)
    )


def decode_first(payload: bytes) -> Hello | Proof | Verdict:
    """Read a payload of the handshake.

    Raises: PeerFault when it is none.
    """
    try:
        said: Hello | Proof | Verdict = decode(payload, _FIRST)
    except NotCanonicalError as error:
        raise PeerFault(f"a malformed first frame: {error}") from error
    return said


def _clean(text: str, *, chars_max: int = RELEASE_CHARS_MAX) -> str:
    """Make text of a stranger fit for a log line."""
    return "".join(char if char.isprintable() else "?" for char in text[:chars_max])
