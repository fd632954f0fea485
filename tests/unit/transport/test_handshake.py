"""The handshake: who is believed, and why not."""

import msgspec
import pytest

from aitbc_node.canonical import encode
from aitbc_node.crypto import SigningKey, peer_id
from aitbc_node.errors import PeerFault
from aitbc_node.transport import handshake
from aitbc_node.transport.handshake import Hello, Identity, Proof, Verdict
from aitbc_node.types import Hash, PublicKey, Signature

NONCE = b"n" * 32


def an_identity(
    seed: int = 1, *, chain_id: str = "aitbc-test-1", genesis: bytes = b"g"
) -> Identity:
    """Build a node's identity."""
    return Identity(
        chain_id=chain_id,
        genesis_hash=Hash(genesis * 32),
        signer=SigningKey(bytes([seed]) * 32),
        release="0.1.0",
        advertise=f"host{seed}:8600",
    )


def proof_of(dialer: Identity, acceptor: Identity, *, nonce: bytes = NONCE) -> bytes:
    """Let one node answer the other's greeting."""
    key = acceptor.signer.public_key
    return handshake.prove(dialer, handshake.hello(acceptor, nonce), acceptor_key=key)[1]


def test_both_sides_learn_who_the_other_is() -> None:
    """An honest handshake proves the dialer to the acceptor and ends in a welcome."""
    dialer, acceptor = an_identity(1), an_identity(2)

    seen, proof = handshake.prove(
        dialer, handshake.hello(acceptor, NONCE), acceptor_key=acceptor.signer.public_key
    )
    proved = handshake.judge(acceptor, proof, nonce=NONCE)
    handshake.check_welcome(handshake.verdict())

    assert (seen.id, seen.release) == (acceptor.id, "0.1.0")
    assert (proved.id, proved.advertise) == (dialer.id, "host1:8600")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (an_identity(2, chain_id="aitbc-other-1"), "chain id 'aitbc-other-1'"),
        (an_identity(2, genesis=b"h"), "genesis 6868"),
    ],
)
def test_another_chain_is_refused_by_both_sides(other: Identity, reason: str) -> None:
    """Chain id and genesis are compared before anything else is believed."""
    own = an_identity(1)

    with pytest.raises(PeerFault, match=reason):
        handshake.prove(own, handshake.hello(other, NONCE), acceptor_key=other.signer.public_key)
    with pytest.raises(PeerFault, match=reason):
        handshake.judge(own, proof_of(other, other), nonce=NONCE)


def test_another_version_is_refused() -> None:
    """The reason names both versions."""
    own, other = an_identity(1), an_identity(2)
    hello = msgspec.msgpack.decode(handshake.hello(other, NONCE), type=Hello)
    later = encode(msgspec.structs.replace(hello, version=9))

    with pytest.raises(PeerFault, match="version 9, this node speaks 1"):
        handshake.prove(own, later, acceptor_key=other.signer.public_key)


def test_a_proof_is_worth_nothing_on_another_link() -> None:
    """It answers one nonce of one acceptor: a man in the middle cannot pass it on."""
    dialer, acceptor, thief = an_identity(1), an_identity(2), an_identity(3)
    proof = proof_of(dialer, thief)

    for judge, nonce in ((acceptor, NONCE), (thief, b"m" * 32)):
        with pytest.raises(PeerFault, match="not signed by its key"):
            handshake.judge(judge, proof, nonce=nonce)
    assert handshake.judge(thief, proof, nonce=NONCE).id == dialer.id


def test_a_key_cannot_be_claimed_without_its_signature() -> None:
    """Whoever puts another node's key into a proof is refused."""
    dialer, acceptor, liar = an_identity(1), an_identity(2), an_identity(3)
    proof = msgspec.msgpack.decode(proof_of(liar, acceptor), type=Proof)
    forged = msgspec.structs.replace(proof, key=dialer.signer.public_key)

    with pytest.raises(PeerFault, match="not signed"):
        handshake.judge(acceptor, encode(forged), nonce=NONCE)


def test_an_acceptor_cannot_greet_in_another_name() -> None:
    """The id in the greeting is the one of the certificate's key."""
    dialer, acceptor, other = an_identity(1), an_identity(2), an_identity(3)

    with pytest.raises(PeerFault, match="not the hash"):
        handshake.prove(
            dialer, handshake.hello(acceptor, NONCE), acceptor_key=other.signer.public_key
        )


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x00", b"\xff" * 100, encode(("hello",)), encode(("unknown", 1)), b"\xc1", b"\x9f"],
)
def test_malformed_first_frames_are_the_peers_fault(payload: bytes) -> None:
    """No bytes of a stranger raise anything else."""
    own = an_identity()
    for read in (
        lambda: handshake.prove(own, payload, acceptor_key=PublicKey(bytes(32))),
        lambda: handshake.judge(own, payload, nonce=NONCE),
        lambda: handshake.check_welcome(payload),
    ):
        with pytest.raises(PeerFault):
            read()


def test_wrong_sizes_inside_a_proof_are_refused() -> None:
    """A short key or signature is no key and no signature."""
    acceptor = an_identity(2)
    proof = msgspec.msgpack.decode(proof_of(an_identity(1), acceptor), type=Proof)
    for odd in (
        msgspec.structs.replace(proof, key=PublicKey(b"short")),
        msgspec.structs.replace(proof, signature=Signature(b"short")),
    ):
        with pytest.raises(PeerFault, match="not signed"):
            handshake.judge(acceptor, encode(odd), nonce=NONCE)


def test_a_refusal_carries_its_reason_fit_for_a_log() -> None:
    """What a stranger says is cut and cleaned before it is shown."""
    refusal = encode(Verdict("no room\n\x1b[31m" + "x" * 1000))

    with pytest.raises(PeerFault) as caught:
        handshake.check_welcome(refusal)

    assert caught.value.what.startswith("refused by the peer: no room??[31m")
    assert len(caught.value.what) < 300
    assert caught.value.what.isprintable()


def test_ids_are_hashes_of_keys() -> None:
    """A peer id cannot be chosen."""
    identity = an_identity()

    assert identity.id == peer_id(identity.signer.public_key)
    assert len(identity.id) == 20
