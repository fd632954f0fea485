"""What do peers send, and what must hold of whatever they send?

A peer's fault is a `PeerFault`, a bad transaction a `Refusal`; anything else is a defect. What is
taken must encode to the bytes that came, or one thing would have two hashes. Do not add judgement.
"""

import functools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from aitbc_node import examples
from aitbc_node.blocks import Block, Certificate, FinalBlock, Header, block_id
from aitbc_node.canonical import NotCanonicalError, decode, encode
from aitbc_node.certificates import fault_of
from aitbc_node.codes import Refusal
from aitbc_node.consensus.messages import (
    Proposal,
    RoundSummary,
    Vote,
    is_sane_proposal,
    is_sane_vote,
)
from aitbc_node.errors import PeerFault
from aitbc_node.gossip.messages import decode_message
from aitbc_node.ledger import evidence
from aitbc_node.ledger.apply import build
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.transactions import Envelope, Parsed, Sig, parse, signature_checks
from aitbc_node.letters import read_letter
from aitbc_node.transport import handshake
from aitbc_node.transport.frames import HEAD_BYTES, FrameDecoder, framed
from aitbc_node.types import Amount
from aitbc_node.version import VERSION
from aitbc_sim.testing import FakeSigner, a_set, fake_verify
from aitbc_sim.town import Town, a_genesis, address, pay, supply
from aitbc_toolkit.suites.fuzz.decoder import Decoder

_BODY: Any = Body  # a union is no type to mypy where a type is wanted
_SIGNER = FakeSigner(examples.KEY.public_key)
_IDENTITY = handshake.Identity(examples.CHAIN_ID, examples.GENESIS, _SIGNER, VERSION, "[::1]:1")
_NONCE = bytes(handshake.NONCE_BYTES)
_VOTERS = a_set((1, 2, 3, 4, 5, 6, 7))
_PIECES = 31


def decoders() -> tuple[Decoder, ...]:
    """List them."""
    return (
        Decoder("frame", frame, _frames, is_packed=False),
        Decoder("handshake", first_frame, lambda: _examples("handshake")),
        Decoder("message", message, lambda: _examples("message")),
        Decoder("consensus", consensus, lambda: _examples("proposal", "vote", "summary")),
        Decoder("block", block, lambda: _examples("header", "certificate", "block", "final")),
        Decoder("transaction", transaction, _transactions),
        Decoder("body", body, _bodies),
        Decoder("evidence", testimony, _testimonies),
        Decoder("letter", letter, examples.letters),
    )


def frame(data: bytes) -> bool:
    """Cut a stream in the same frames however it comes, and keep no more than one."""
    piece, stream = 1 + data[0] % _PIECES if data else 1, data[1:]
    whole = _cut(stream, len(stream) or 1)
    assert _cut(stream, piece) == whole, "other frames when the stream comes in pieces"
    if whole is None:
        return False
    taken = b"".join(map(framed, whole))
    assert stream.startswith(taken), "frames that were not in the stream"
    kept = len(stream) - len(taken)
    assert kept < HEAD_BYTES + handshake.HANDSHAKE_BYTES_MAX, "more than one frame is kept"
    return bool(whole)


def _cut(stream: bytes, piece: int) -> list[bytes] | None:
    decoder = FrameDecoder(handshake.HANDSHAKE_BYTES_MAX)
    payloads: list[bytes] = []
    try:
        for at in range(0, len(stream), piece):
            payloads += decoder.feed(stream[at : at + piece])
    except PeerFault:
        return None
    return payloads


def first_frame(data: bytes) -> bool:
    """Read a first frame as dialer, as acceptor, and as who waits for the verdict."""
    ends = (
        lambda: handshake.prove(_IDENTITY, data, acceptor_key=_SIGNER.public_key),
        lambda: handshake.judge(_IDENTITY, data, nonce=_NONCE),
        lambda: handshake.check_welcome(data),
    )
    for end in ends:
        with suppress(PeerFault):
            end()
    try:
        said = handshake.decode_first(data)
    except PeerFault:
        return False
    assert encode(said) == data
    return True


def message(data: bytes) -> bool:
    """Read a frame of a linked peer, of any kind."""
    try:
        said = decode_message(data)
    except PeerFault:
        return False
    assert encode(said) == data
    return True


def consensus(data: bytes) -> bool:
    """Read what validators say, and ask of it what is asked before its signature is checked."""
    for kind in (Proposal, Vote, RoundSummary):
        said = _decoded(data, kind)
        if said is None:
            continue
        if isinstance(said, RoundSummary):
            return True
        if _is_sane(said):
            assert said.sign_bytes(examples.CHAIN_ID)
        return True
    return False


def _is_sane(said: Proposal | Vote) -> bool:
    if isinstance(said, Proposal):
        return is_sane_proposal(said)
    return is_sane_vote(said, validator_count=len(_VOTERS.members))


def block(data: bytes) -> bool:
    """Read a block or a part of one, and judge its certificate."""
    for kind in (FinalBlock, Block, Header, Certificate):
        found = _decoded(data, kind)
        if found is None:
            continue
        if isinstance(found, FinalBlock):
            _judge(found.certificate, found.block.header)
        if isinstance(found, Header):
            block_id(found)
        return True
    return False


def _judge(certificate: Certificate, header: Header) -> None:
    fault_of(
        certificate,
        chain_id=examples.CHAIN_ID,
        height=header.height,
        block_id=block_id(header),
        validators=_VOTERS,
        verify=fake_verify,
    )


def transaction(data: bytes) -> bool:
    """Read a transaction: good or refused with a field, never anything else."""
    parsed = parse(data)
    if isinstance(parsed, Refusal):
        assert parsed.code
        assert len(parsed.message) < 2 * len(data) + 400, "a refusal that outgrows its cause"
        return False
    assert encode(Envelope(encode(parsed.tx), parsed.sigs)) == data
    signature_checks(parsed)
    return True


def body(data: bytes) -> bool:
    """Build a block of any body at all, signed by a rich citizen; the state stays as it was."""
    wanted = _decoded(data, _BODY)
    if wanted is None:
        return False
    town, sigs = _town()
    parsed = parse(encode(Envelope(encode(town.draft("alice", wanted)), sigs)))
    if isinstance(parsed, Refusal):
        return False
    admitted = town.admit(parsed) is None
    before = town.state.root
    built = build(town.state, town.context(), [parsed])
    assert town.state.root == before, "building a block has changed the state"
    assert admitted or not built.txs, "a block takes what may not wait for one"
    return bool(built.txs)


@functools.cache
def _town() -> tuple[Town, tuple[Sig, ...]]:
    """Return a ledger, and signatures that are of the right form."""
    town = Town(a_genesis())
    return town, town.tx("alice", pay("bob", 1)).sigs


def testimony(data: bytes) -> bool:
    """Read what a block shows as evidence."""
    read = evidence.read(data)
    if isinstance(read, Refusal):
        return False
    assert encode(read) == data
    return True


def letter(data: bytes) -> bool:
    """Read a message of an account: good or refused with a field, never anything else."""
    sealed = read_letter(data)
    if isinstance(sealed, Refusal):
        assert sealed.code
        assert len(sealed.message) < 2 * len(data) + 400, "a refusal that outgrows its cause"
        return False
    assert encode(Envelope(encode(sealed.letter), sealed.sigs)) == data
    assert len(sealed.checks) == len(sealed.signers)
    return True


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        value = decode(data, kind)
    except NotCanonicalError:
        return None
    assert encode(value) == data
    return value


# Good examples to begin with.


def _examples(*kinds: str) -> Iterator[bytes]:
    for name, value in examples.values():
        if name.partition(".")[0] in kinds:
            yield encode(value)


def _frames() -> Iterator[bytes]:
    payloads = [*_examples("handshake")]
    yield b"\x00" + b"".join(map(framed, payloads))
    yield from (b"\x04" + framed(payload) for payload in payloads)


def _transactions() -> Iterator[bytes]:
    for _, raw in examples.transactions():
        yield raw


def _some_bodies() -> list[Any]:
    found: list[Any] = []
    for raw in _transactions():
        parsed = parse(raw)
        assert isinstance(parsed, Parsed)
        found += parsed.tx.bodies
    return found


def _bodies() -> Iterator[bytes]:
    own = StakeBond(address("north"), Amount(10**6)), StakeUnbond(address("north"), Amount(1))
    for one in (*_some_bodies(), pay("bob", 5), pay("bob", 5, "mUSDA"), supply("bob", 7), *own):
        yield encode(one)


def _testimonies() -> Iterator[bytes]:
    for one in _some_bodies():
        if isinstance(one, evidence.EvidenceSubmit):
            yield encode(one)
