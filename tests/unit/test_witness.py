"""Evidence without anybody's hand: who signs twice is punished by a block of whoever saw it."""

from collections.abc import Callable
from itertools import permutations

import pytest
from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.blocks import PREVOTE, PROPOSAL
from aitbc_node.canonical import decode, encode
from aitbc_node.chain import Chain
from aitbc_node.consensus.inputs import Equivocation
from aitbc_node.consensus.messages import Proposal, Vote
from aitbc_node.crypto import sha256
from aitbc_node.events import SaveEvidence
from aitbc_node.gossip.links import REQUESTS_PER_TICK_MAX
from aitbc_node.gossip.messages import EvidenceSeen, FinalsWanted, VotesSent, decode_message
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.ledger import evidence
from aitbc_node.ledger.audit import audit
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.mesh import Meeting, Mesh, mesh_of
from aitbc_node.outbox import Outbox
from aitbc_node.types import BlockId, Height, PeerId, PublicKey, Round, Signature
from aitbc_node.witness import PER_KEY_MAX, Witness
from aitbc_sim.citizens import CHAIN_ID, a_genesis, address, signer_of
from aitbc_sim.pump import Pump
from aitbc_sim.testing import fake_verify

COIN = 1_000_000
OFFENDER = 3
KEY = signer_of(f"v{OFFENDER} votes")
ONE, TWO = (BlockId(sha256(name)) for name in (b"one", b"two"))


def signs_twice(pump: Pump, height: int, *, before: int = 0) -> Callable[[int, int, bytes], bytes]:
    """Let v3 prevote a second block at one height, and tell one node alone."""

    def tamper(sender: int, to: int, payload: bytes) -> bytes:
        message = decode_message(payload)
        if (sender, to) != (OFFENDER, before) or not isinstance(message, VotesSent):
            return payload
        own = pump.machine(0).view.state.validators.index_of(KEY.public_key)
        votes = [decode(vote, Vote) for vote in message.votes]
        second = [
            signed(replace(vote, block_id=TWO))
            for vote in votes
            if (vote.validator, vote.height, vote.kind) == (own, height, PREVOTE)
        ]
        return encode(VotesSent((*message.votes, *map(encode, second))))

    return tamper


def signed(message: Vote | Proposal) -> Vote | Proposal:
    """Have v3's key sign a vote or a proposal."""
    return replace(message, signature=KEY.sign(message.sign_bytes(CHAIN_ID)))


def bonds(pump: Pump) -> list[tuple[int, str]]:
    """Return what each node says stands behind v3, and whether it is in jail."""
    members = [pump.machine(index).view.state.membership(address("v3")) for index in range(4)]
    return [(member.bonded, member.status) for member in members if member is not None]


@pytest.fixture
def pump() -> Pump:
    """Run four validators of two votes each."""
    return Pump((2, 2, 2, 2)).start()


@pytest.mark.proves("E7")
def test_who_signs_twice_is_slashed_without_a_transaction(pump: Pump) -> None:
    """Once, everywhere the same, and nobody paid for it; the proof is forgotten then."""
    pump.tamper = signs_twice(pump, 4)

    pump.run_to(10)
    pump.settle()

    assert bonds(pump) == [(COIN, "jailed")] * 4
    assert len(pump.roots()) == 1
    for told in ("validator.slashed", "validator.jailed", "attack.nothing-at-stake"):
        assert pump.notes(told) == 4
    assert all(pump.machine(index).view.state.tally.violations() == [] for index in range(4))
    assert all(audit(pump.machine(index).view.state) == [] for index in range(4))
    blocks = [pump.nodes[1].store.block(Height(height)) for height in range(1, 11)]
    assert sum(len(final.block.evidence) for final in blocks) == 1
    assert sum(final.block.header.tx_count for final in blocks) == 0
    kept = [effect for effect in pump.nodes[0].persisted if isinstance(effect, SaveEvidence)]
    assert [len(effect.raws) for effect in kept] == [1, 0]


def test_what_only_a_follower_has_seen_is_punished_all_the_same() -> None:
    """It proposes no block and writes nothing, but tells those who do."""
    pump = Pump((2, 2, 2, 2), followers=1).start()
    pump.tamper = signs_twice(pump, 4, before=4)

    pump.run_to(12)
    pump.settle()

    assert bonds(pump) == [(COIN, "jailed")] * 4
    assert not any(isinstance(effect, SaveEvidence) for effect in pump.nodes[4].persisted)


def a_proof(height: int = 3) -> EvidenceSubmit:
    """Show two prevotes of v3."""

    def prevote(block_id: BlockId) -> SignedMessage:
        at, first, none = Height(height), Round(0), Round(-1)
        message = SignedMessage(PREVOTE, at, first, none, block_id, 0, NOT_SIGNED)
        return replace(message, signature=KEY.sign(message.sign_bytes(CHAIN_ID)))

    return EvidenceSubmit(KEY.public_key, *map(prevote, sorted((ONE, TWO))))


NOT_SIGNED = Signature(bytes(64))


def shown(pump: Pump, body: EvidenceSubmit) -> None:
    """Let v1 show v0 a proof, and let them make of it what they will."""
    pump.inject(0, 1, encode(EvidenceSeen(encode(body))))
    pump.wait(200)


def test_a_peer_s_proof_counts_and_goes_round_once(pump: Pump) -> None:
    """Everybody hears of it, nobody twice from one peer, and showing it again changes nothing."""
    pump.run_to(5)

    shown(pump, a_proof())
    told = pump.frames["evidence"]
    shown(pump, a_proof())
    pump.run_to(10)
    pump.settle()

    assert bonds(pump) == [(COIN, "jailed")] * 4
    assert 3 <= told <= 9
    assert pump.frames["evidence"] == told
    shown(pump, a_proof())
    pump.run_to(14)
    assert bonds(pump) == [(COIN, "jailed")] * 4, "once"


def false_signature() -> EvidenceSubmit:
    """Change what one of them signed."""
    proof = a_proof()
    return replace(proof, second=replace(proof.second, signature=NOT_SIGNED))


def one_block() -> EvidenceSubmit:
    """Show the same vote twice."""
    proof = a_proof()
    return replace(proof, second=proof.first)


@pytest.mark.parametrize("forge", [false_signature, one_block])
def test_a_proof_that_is_none_is_its_sender_s_fault(
    pump: Pump, forge: Callable[[], EvidenceSubmit]
) -> None:
    """The link is closed; nobody else hears of it."""
    pump.run_to(5)

    shown(pump, forge())

    assert pump.nodes[0].notes["peer.fault"] == 1
    assert pump.frames["evidence"] == 0
    pump.run_to(8)
    assert bonds(pump) == [(2 * COIN, "active")] * 4


def test_a_flood_of_proofs_is_not_looked_at(pump: Pump) -> None:
    """Who greets after a split may have many to show and much to ask: neither is a fault."""
    pump.run_to(5)
    known = encode(EvidenceSeen(encode(a_proof(height=10**6))))
    asked = encode(FinalsWanted(Height(1), Height(1)))

    for _ in range(limits.EVIDENCE_KEPT_MAX):
        pump.inject(0, 1, known)
    for _ in range(REQUESTS_PER_TICK_MAX // 2):
        pump.inject(0, 1, asked)
    proof = a_proof()
    shown(pump, replace(proof, second=replace(proof.second, signature=Signature(bytes(64)))))

    assert pump.nodes[0].notes["peer.fault"] == 0


def test_who_was_cut_off_hears_of_it_when_it_is_back() -> None:
    """A new link is greeted with what nobody has punished yet."""
    pump = Pump((2, 2, 2, 2), followers=1).start()
    pump.run_to(3)
    pump.tamper = signs_twice(pump, 4, before=4)
    pump.drop = lambda sender, _to, payload: sender == 4 and b"evidence" in payload[:12]
    pump.run_to(6)
    assert bonds(pump) == [(2 * COIN, "active")] * 4
    pump.drop = lambda _from, _to, _payload: False
    for index in range(3):
        pump.restart(index)

    pump.run_to(12, limit_ms=60_000)
    pump.settle()

    assert bonds(pump) == [(COIN, "jailed")] * 4


def test_a_restart_of_everybody_does_not_save_the_offender(pump: Pump) -> None:
    """All die before a block shows it: it is on the disk of whoever saw it."""
    pump.tamper = signs_twice(pump, 4)
    assert pump.run(lambda: any(isinstance(e, SaveEvidence) for e in pump.nodes[0].persisted))
    assert bonds(pump) == [(2 * COIN, "active")] * 4

    for index in range(4):
        pump.crash(index)
    pump.tamper = lambda _from, _to, payload: payload
    pump.start()
    pump.run_to(10, limit_ms=60_000)
    pump.settle()

    assert bonds(pump) == [(COIN, "jailed")] * 4
    assert len(pump.roots()) == 1


def test_a_replay_goes_through_blocks_with_evidence(pump: Pump) -> None:
    """From the log, and for a node that catches up."""
    pump.tamper = signs_twice(pump, 4)
    pump.run_to(4)
    pump.crash(2)
    pump.run(lambda: False, limit_ms=10_000)
    pump.restart(1)
    pump.restart(2)

    pump.run_to(30, limit_ms=60_000)
    pump.settle()

    assert bonds(pump) == [(COIN, "jailed")] * 4
    assert len(pump.roots()) == 1


# The witness alone.


@pytest.fixture
def outbox() -> Outbox:
    """Collect effects."""
    return Outbox()


def alone(outbox: Outbox) -> Mesh:
    """Return the view of a node without links."""
    meeting = Meeting(bootstrap=(), listed_only=False, subnets=Subnets(), own_record=None)
    return mesh_of(
        outbox,
        own_id=PeerId(bytes(20)),
        chain_id=CHAIN_ID,
        meeting=meeting,
        signer=None,
        verify=fake_verify,
        interval_ms=500,
    )


@pytest.fixture
def witness(outbox: Outbox) -> Witness:
    """Have a witness of a chain before its first block."""
    chain = Chain(a_genesis((1, 1, 1, 1), ()), fake_verify)
    return Witness(outbox, chain, alone(outbox), fake_verify, proposes=True)


def a_vote(block_id: BlockId, *, height: int = 1) -> Vote:
    """Have v3 prevote."""
    return signed(  # type: ignore[return-value]  # a vote for a vote
        Vote(PREVOTE, Height(height), Round(0), block_id, 0, 0, Signature(b""))
    )


def an_offence(*, height: int = 1, key: PublicKey = KEY.public_key) -> Equivocation:
    """Report two prevotes of one height."""
    return Equivocation(a_vote(ONE, height=height), a_vote(TWO, height=height), key)


def test_one_proof_a_height_is_kept_and_few_of_one_key(witness: Witness) -> None:
    """Who signs twice in every round fills neither memory nor disk."""
    for height in (1, *range(1, 50)):
        witness.see(an_offence(height=height))
    assert len(witness.offered()) == PER_KEY_MAX

    for number in range(100):
        witness.see(an_offence(key=PublicKey(sha256(b"%d" % number))))

    assert len(witness.offered()) == limits.EVIDENCE_KEPT_MAX
    assert all(len(raw) <= limits.EVIDENCE_BYTES_MAX for raw in witness.offered())


@pytest.mark.parametrize("order", list(permutations((ONE, TWO))))
def test_what_is_kept_has_the_form_that_the_ledger_wants(
    witness: Witness, order: tuple[BlockId, BlockId]
) -> None:
    """Whichever came first, votes and proposals alike, with their signatures."""
    first, second = (
        signed(Proposal(Height(1), Round(2), Round(1), block_id, Signature(b"")))
        for block_id in order
    )
    witness.see(Equivocation(first, second, KEY.public_key))

    [raw] = witness.offered()
    body = evidence.read(raw)

    assert isinstance(body, EvidenceSubmit)
    assert (body.first.kind, body.first.valid_round) == (PROPOSAL, Round(1))
    for message in (body.first, body.second):
        assert fake_verify(KEY.public_key, message.sign_bytes(CHAIN_ID), message.signature)


def test_two_proposals_of_one_block_are_no_offence(witness: Witness) -> None:
    """They differ in the round that justifies them; the ledger punishes two blocks only."""
    first, second = (
        signed(Proposal(Height(1), Round(2), Round(valid), ONE, Signature(b"")))
        for valid in (-1, 1)
    )

    witness.see(Equivocation(first, second, KEY.public_key))

    assert witness.offered() == ()


def test_what_no_block_may_show_is_forgotten(witness: Witness, outbox: Outbox) -> None:
    """A key that never voted here, and bytes that are no evidence."""
    witness.see(an_offence(key=PublicKey(bytes(32))))
    witness.restore([b"rubbish"])

    witness.block_is_final()

    assert witness.offered() == ()
    assert [len(effect.raws) for effect in outbox.take()] == [1, 0]  # type: ignore[attr-defined]


@pytest.mark.proves("T11")
def test_a_proposer_that_dies_is_replaced_and_one_that_signs_twice_is_put_out(pump: Pump) -> None:
    """The next in turn makes the block; the offender loses half, is jailed, then has no vote."""
    pump.run_to(3)
    view = pump.machine(0).view
    leader = next(
        index for index in range(4) if pump.machine(index).view.own_key == view.proposer()
    )
    height = view.height + 1
    pump.crash(leader)
    up = [index for index in range(4) if index != leader]

    assert pump.run(lambda: all(pump.machine(index).view.height >= height for index in up))
    store = pump.nodes[up[0]].store
    assert store is not None
    final = store.block(Height(height))
    assert final is not None
    assert 1 <= final.certificate.round <= 2

    pump.start(leader)
    now = pump.machine(up[0]).view.height
    pump.tamper = signs_twice(pump, now + 2)
    pump.run_to(21, limit_ms=120_000)
    pump.settle()

    assert bonds(pump) == [(COIN, "jailed")] * 4
    powers = {pump.machine(index).view.validators.power_of(KEY.public_key) for index in range(4)}
    assert powers == {0}
    assert len(pump.roots()) == 1
