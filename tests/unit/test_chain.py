"""Which blocks are good: header, last commit, ids, roots, and what makes a block final."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.blocks import (
    NO_COMMIT,
    PRECOMMIT,
    Certificate,
    CommitVote,
    FinalBlock,
    Header,
    Proposed,
    as_proposed,
    check_form,
    ids_root,
    tx_id,
    vote_sign_bytes,
)
from aitbc_node.canonical import encode
from aitbc_node.certificates import fault_of, median_time_ms
from aitbc_node.chain import Candidate, Chain
from aitbc_node.crypto import sha256
from aitbc_node.errors import PeerFault
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.transactions import Parsed, parse
from aitbc_node.types import BlockId, Hash, Height, Round, Signature, TxId
from aitbc_sim.citizens import CHAIN_ID, GENESIS_MS, a_genesis, a_payment, signer_of
from aitbc_sim.testing import fake_verify

POWERS = (1, 1, 1, 1)
VOTERS = {signer_of(f"v{index} votes").public_key: index for index in range(len(POWERS))}


def a_chain() -> Chain:
    """Begin a chain of four validators and two rich citizens."""
    return Chain(a_genesis(POWERS, ["alice", "bob"]), fake_verify)


def a_tx(nonce: int = 0) -> Parsed:
    """Return a good payment of alice."""
    parsed = parse(a_payment("alice", "bob", 5, nonce=nonce))
    assert isinstance(parsed, Parsed)
    return parsed


def built(chain: Chain, *txs: Parsed) -> Candidate:
    """Build the next block as its first proposer would."""
    return chain.build(txs, proposer=chain.state.validators.proposer(Round(0)).key)


def a_certificate(
    chain: Chain, candidate: Candidate, *, voters: int = 3, time_ms: int | None = None
) -> Certificate:
    """Let the first validators precommit a block of the next height."""
    times = candidate.block.header.time_ms + 1 if time_ms is None else time_ms
    votes = []
    for index, member in enumerate(chain.state.validators.members[:voters]):
        message = vote_sign_bytes(
            CHAIN_ID,
            PRECOMMIT,
            height=chain.next_height,
            round_=Round(0),
            block_id=candidate.id,
            time_ms=times + index,
        )
        signer = signer_of(f"v{VOTERS[member.key]} votes")
        votes.append(CommitVote(index, times + index, signer.sign(message)))
    return Certificate(chain.next_height, Round(0), candidate.id, tuple(votes))


def grow(chain: Chain, *txs: Parsed) -> Candidate:
    """Make one block final."""
    candidate = built(chain, *txs)
    chain.apply(candidate, a_certificate(chain, candidate))
    return candidate


def test_the_first_block_carries_the_genesis_time() -> None:
    """Nothing was voted on before it."""
    chain = a_chain()

    candidate = built(chain)

    assert candidate.block.header.time_ms == GENESIS_MS
    assert candidate.block.last_commit == NO_COMMIT


def test_a_block_is_judged_as_its_proposer_built_it() -> None:
    """Another node that executes the same block comes to the same roots."""
    proposer, other = a_chain(), a_chain()
    for nonce in range(3):
        candidate = built(proposer, a_tx(nonce))
        proposed = candidate.proposed()

        assert check_form(proposed) == candidate.id
        assert other.fault_of_header(proposed) == ""
        judged = other.judge(proposed, candidate.txs)

        assert isinstance(judged, Candidate)
        certificate = a_certificate(proposer, candidate)
        proposer.apply(candidate, certificate)
        other.apply(judged, certificate)
        assert proposer.state.root == other.state.root


def test_the_time_is_the_median_of_the_last_commit() -> None:
    """Votes at t+1, t+2, t+3 of equal power give t+2, later than the parent's."""
    chain = a_chain()
    first = grow(chain)

    second = built(chain)

    assert second.block.header.time_ms == first.block.header.time_ms + 2


def test_the_time_grows_even_when_the_votes_are_early() -> None:
    """A median that is not later than the parent's time gives the parent's plus one."""
    chain = a_chain()
    candidate = built(chain)
    chain.apply(candidate, a_certificate(chain, candidate, time_ms=5))

    assert built(chain).block.header.time_ms == candidate.block.header.time_ms + 1


def test_the_median_is_weighted_by_power() -> None:
    """One heavy voter outweighs three light ones, as its power says."""
    validators = a_genesis((1, 1, 1, 4), ["alice"]).validator_set()
    heavy = next(index for index, row in enumerate(validators.members) if row.power == 4)
    votes = tuple(
        CommitVote(index, 900 if index == heavy else 100, Signature(b"")) for index in range(4)
    )

    certificate = Certificate(Height(1), Round(0), BlockId(bytes(32)), votes)

    assert median_time_ms(certificate, validators) == 900


def test_less_than_a_third_cannot_move_the_median_out_of_the_honest_times() -> None:
    """Whatever the one liar of four says, the time stays between those of the honest."""
    validators = a_genesis(POWERS, ["alice"]).validator_set()
    for lie in (0, 10**15):
        times = (100, 110, lie)
        votes = tuple(CommitVote(index, t, Signature(b"")) for index, t in enumerate(times))
        certificate = Certificate(Height(1), Round(0), BlockId(bytes(32)), votes)

        assert 100 <= median_time_ms(certificate, validators) <= 110


Change = Callable[[Header], Header]

WRONG_HEADERS: dict[str, Change] = {
    "version": lambda h: replace(h, version=2),
    "chain": lambda h: replace(h, chain_id="aitbc-other-1"),
    "height": lambda h: replace(h, height=Height(9)),
    "parent": lambda h: replace(h, parent_id=BlockId(bytes(32))),
    "time": lambda h: replace(h, time_ms=h.time_ms + 1),
    "negative time": lambda h: replace(h, time_ms=-1),
    "proposer": lambda h: replace(h, proposer=signer_of("stranger").public_key),
    "validators": lambda h: replace(h, validators_hash=Hash(bytes(32))),
    "parameters": lambda h: replace(h, params_hash=Hash(bytes(32))),
}
WRONG_ROOTS: dict[str, Change] = {
    "state root": lambda h: replace(h, state_root=Hash(bytes(32))),
    "receipts": lambda h: replace(h, receipts_root=Hash(bytes(32))),
    "next validators": lambda h: replace(h, next_validators_hash=Hash(bytes(32))),
    "application": lambda h: replace(h, app_version=7),
}


@pytest.mark.parametrize("name", WRONG_HEADERS)
def test_a_wrong_header_is_refused_before_any_body_is_fetched(name: str) -> None:
    """What the header alone shows to be wrong costs no transfer of bodies."""
    chain = a_chain()
    grow(chain)
    proposed = built(chain, a_tx()).proposed()

    false = replace(proposed, header=WRONG_HEADERS[name](proposed.header))

    assert chain.fault_of_header(proposed) == ""
    assert chain.fault_of_header(false) != ""


@pytest.mark.parametrize("name", WRONG_ROOTS)
def test_a_wrong_root_shows_when_the_block_is_executed(name: str) -> None:
    """No field of the header is left unchecked."""
    chain = a_chain()
    candidate = built(chain, a_tx())
    proposed = candidate.proposed()

    judged = chain.judge(
        replace(proposed, header=WRONG_ROOTS[name](proposed.header)), candidate.txs
    )

    assert isinstance(judged, str)
    assert chain.height == 0


def test_every_field_of_the_header_is_checked_somewhere() -> None:
    """The two tables above and the form leave nothing out."""
    by_form = {"tx_root", "tx_count", "last_commit_hash", "evidence_root"}
    header = built(a_chain()).block.header
    changed = {
        field
        for change in (*WRONG_HEADERS.values(), *WRONG_ROOTS.values())
        for field in Header.__struct_fields__
        if getattr(change(header), field) != getattr(header, field)
    }

    assert changed | by_form == set(Header.__struct_fields__)


def an_offence(name: str = "v0", *, height: int = 1) -> bytes:
    """Prove that a validator voted for two blocks."""
    signer = signer_of(f"{name} votes")
    bare = [
        SignedMessage(1, Height(height), Round(0), Round(-1), block_id, 0, Signature(bytes(64)))
        for block_id in sorted(BlockId(sha256(part)) for part in (b"one", b"two"))
    ]
    first, second = (
        replace(each, signature=signer.sign(each.sign_bytes(CHAIN_ID))) for each in bare
    )
    return encode(EvidenceSubmit(signer.public_key, first, second))


def showing(chain: Chain, *evidence: bytes) -> Proposed:
    """Put evidence into a good block after the fact, its header and roots as they should be."""
    proposed = built(chain).proposed()
    root = ids_root([tx_id(raw) for raw in evidence])
    return replace(proposed, header=replace(proposed.header, evidence_root=root), evidence=evidence)


def test_a_proposer_shows_what_it_has_and_leaves_out_what_cannot_be_punished() -> None:
    """Its own block is valid whatever others have told it."""
    chain = a_chain()
    proposer = chain.state.validators.proposer(Round(0)).key
    offered = (b"rubbish", an_offence(), an_offence(), an_offence("v1", height=9))

    candidate = chain.build((), proposer=proposer, evidence=offered)

    assert candidate.block.evidence == (an_offence(),)
    assert chain.fault_of_header(candidate.proposed()) == ""
    assert isinstance(chain.judge(candidate.proposed(), ()), Candidate)
    check_form(candidate.proposed())


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        ((b"rubbish",), "evidence 0: malformed"),
        ((an_offence()[:-1] + b"x",), "evidence 0: signature"),
        ((an_offence(), an_offence()), "evidence 1: punished"),
        ((an_offence(height=9),), "evidence 0: wrong-state"),
        ((an_offence("stranger"),), "evidence 0: unknown-object"),
        ((bytes(limits.EVIDENCE_BYTES_MAX + 1),), "evidence 0: size"),
    ],
)
def test_a_block_with_evidence_that_proves_nothing_is_invalid(
    evidence: tuple[bytes, ...], why: str
) -> None:
    """Nobody is punished by a proposer's word."""
    chain = a_chain()
    judged = chain.judge(showing(chain, *evidence), ())

    assert isinstance(judged, str)
    assert judged.startswith(why)


def test_more_evidence_than_a_block_may_show_is_refused_by_the_header() -> None:
    """Each piece costs two verifications and no fee."""
    chain = a_chain()
    many = tuple(an_offence(f"v{index}") for index in range(4))

    assert chain.fault_of_header(showing(chain, *many)) == ""
    assert "more evidence" in chain.fault_of_header(showing(chain, *many, many[0]))


def test_ids_and_last_commit_must_be_those_of_the_header() -> None:
    """Who mixes them up is at fault, and the block itself may still be good."""
    chain = a_chain()
    grow(chain)
    good = built(chain, a_tx()).proposed()
    false: list[Proposed] = [
        replace(good, tx_ids=()),
        replace(good, tx_ids=(TxId(bytes(32)),)),
        replace(good, last_commit=NO_COMMIT),
        replace(good, evidence=(b"anything",)),
        replace(good, header=replace(good.header, tx_count=2)),
    ]

    for proposed in false:
        with pytest.raises(PeerFault):
            check_form(proposed)


def test_a_transaction_twice_or_out_of_turn_makes_a_block_bad() -> None:
    """Ids are unique, nonces follow each other, and signatures are by the right keys."""
    chain = a_chain()
    good = built(chain, a_tx(0))
    twice = replace(
        good.proposed(),
        tx_ids=good.proposed().tx_ids * 2,
        header=replace(good.block.header, tx_root=ids_root(good.proposed().tx_ids * 2), tx_count=2),
    )

    assert chain.fault_of_header(twice) == "a transaction is in it twice"
    assert isinstance(chain.judge(good.proposed(), [a_tx(1)]), str)
    assert isinstance(chain.judge(good.proposed(), [a_tx(0), a_tx(0)]), str)


@pytest.mark.proves("E4")
def test_a_certificate_needs_more_than_two_thirds_of_exactly_this_block() -> None:
    """With 2f votes, doubled, foreign, misplaced or false ones it proves nothing."""
    chain = a_chain()
    candidate = built(chain)
    good = a_certificate(chain, candidate)
    other = a_certificate(chain, built(chain, a_tx()))

    def fault(certificate: Certificate) -> str:
        return chain.fault_of_final(FinalBlock(candidate.block, certificate))

    assert fault(good) == ""
    assert "2 of 4" in fault(a_certificate(chain, candidate, voters=2))
    assert "doubled" in fault(replace(good, votes=(*good.votes[:2], good.votes[1])))
    assert "unordered" in fault(replace(good, votes=good.votes[::-1]))
    assert "unknown" in fault(
        replace(good, votes=(*good.votes[:2], replace(good.votes[2], validator=4)))
    )
    assert "unknown" in fault(
        replace(good, votes=(replace(good.votes[0], validator=-1), *good.votes[1:]))
    )
    assert "another block" in fault(other)
    assert "another block" in fault(replace(good, height=Height(2)))
    assert "false signature" in fault(replace(good, round=Round(1)))
    assert "false signature" in fault(
        replace(good, votes=(replace(good.votes[0], time_ms=7), *good.votes[1:]))
    )
    assert "round" in fault(replace(good, round=Round(-1)))
    assert "time" in fault(
        replace(good, votes=(replace(good.votes[0], time_ms=-7), *good.votes[1:]))
    )
    assert "0 of 4" in fault(replace(good, votes=()))


def test_votes_that_were_proven_before_are_not_verified_again() -> None:
    """The last commit of a proposal mostly repeats what this node has seen already."""
    chain = a_chain()
    candidate = built(chain)
    full = a_certificate(chain, candidate, voters=4)
    known = a_certificate(chain, candidate, voters=3)
    asked: list[bytes] = []

    def counting(key: bytes, message: bytes, signature: bytes) -> bool:
        asked.append(key)
        return fake_verify(key, message, signature)  # type: ignore[arg-type]

    fault = fault_of(
        full,
        chain_id=CHAIN_ID,
        height=chain.next_height,
        block_id=candidate.id,
        validators=chain.state.validators,
        verify=counting,
        proven=known,
    )

    assert fault == ""
    assert asked == [chain.state.validators.members[3].key]


def test_late_votes_make_the_next_last_commit_fuller() -> None:
    """A slow validator's vote is seen in the chain; a certificate of another block is not taken."""
    chain = a_chain()
    candidate = built(chain)
    late = a_certificate(chain, candidate, voters=4)
    chain.apply(candidate, a_certificate(chain, candidate, voters=3))

    chain.add_late_votes(replace(late, block_id=BlockId(bytes(32))))
    before = len(built(chain).block.last_commit.votes)
    chain.add_late_votes(late)

    assert before == 3
    assert len(built(chain).block.last_commit.votes) == 4


def test_a_last_commit_without_a_quorum_makes_a_block_bad() -> None:
    """A proposer cannot hide that its parent is not final."""
    chain = a_chain()
    grow(chain)
    proposed = built(chain).proposed()
    few = replace(proposed.last_commit, votes=proposed.last_commit.votes[:2])

    assert "last commit" in chain.fault_of_header(replace(proposed, last_commit=few))
    assert "last commit" in chain.fault_of_header(replace(proposed, last_commit=NO_COMMIT))


def test_a_block_that_loses_leaves_nothing_behind() -> None:
    """Undo is dropping the candidate: the state is as before until a block is applied."""
    chain = a_chain()
    root = chain.state.root

    candidate = built(chain, a_tx())
    chain.judge(candidate.proposed(), candidate.txs)

    assert chain.state.root == root
    assert candidate.block.header.state_root != root


def test_a_whole_block_and_its_proposal_have_one_id() -> None:
    """Bodies do not enter the id but through their own ids."""
    candidate = built(a_chain(), a_tx())

    assert check_form(as_proposed(candidate.block)) == candidate.id
