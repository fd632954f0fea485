"""Each checker of the simulator turns red on what it is there for, and names itself."""

import pytest
from msgspec.structs import replace

from aitbc_node.blocks import (
    NO_COMMIT,
    PRECOMMIT,
    Block,
    Certificate,
    CommitVote,
    FinalBlock,
    Header,
    block_id,
    vote_sign_bytes,
)
from aitbc_node.canonical import encode
from aitbc_node.crypto import sha256
from aitbc_node.events import Committed, TxReceipt
from aitbc_node.ledger import objects
from aitbc_node.ledger.genesis import initial_state
from aitbc_node.ledger.motions import EndEpoch
from aitbc_node.ledger.objects import Proposal
from aitbc_node.ledger.proposals import ProposalSubmit
from aitbc_node.ledger.state import State
from aitbc_node.types import Amount, BlockId, Hash, Height, Power, PublicKey, Round, TxId
from aitbc_node.validators import ValidatorSet
from aitbc_sim import checkers as checkers_module
from aitbc_sim.checkers import Checkers, Violation
from aitbc_sim.founding import a_genesis
from aitbc_sim.history import History
from aitbc_sim.options import Options
from aitbc_sim.run import Case, run
from aitbc_sim.testing import CHAIN_ID, FakeSigner
from aitbc_sim.world import World

pytestmark = pytest.mark.unit

FOUNDING = a_genesis(Options())
VOTERS = FOUNDING.validator_set()
ZERO = Hash(bytes(32))


def a_state() -> State:
    """Return the state of a new chain."""
    return initial_state(FOUNDING)


def some_checkers() -> Checkers:
    """Return checkers that have seen nothing yet."""
    return Checkers(VOTERS, epoch_blocks=FOUNDING.params.epoch_blocks)


def with_votes(state: State, voters: ValidatorSet) -> State:
    """Return another state, in which these may vote."""
    return State({**state.contents, (objects.VALIDATORS, b""): voters})


def a_certificate(id_: BlockId, height: int, signers: tuple[int, ...]) -> Certificate:
    """Return precommits of these validators for a block."""
    message = vote_sign_bytes(
        CHAIN_ID, PRECOMMIT, height=Height(height), round_=Round(0), block_id=id_, time_ms=5
    )
    rows = tuple(
        CommitVote(by, 5, FakeSigner(VOTERS.members[by].key).sign(message)) for by in signers
    )
    return Certificate(Height(height), Round(0), id_, rows)


def a_commit(
    state: State,
    *,
    height: int = 1,
    root: Hash | None = None,
    time_ms: int = 0,
    signers: tuple[int, ...] = (0, 1, 2),
    txs: tuple[bytes, ...] = (),
    parent: bytes = bytes(32),
) -> Committed:
    """Announce a block with this state behind it."""
    header = Header(
        version=1,
        chain_id=CHAIN_ID,
        height=Height(height),
        parent_id=BlockId(parent),
        time_ms=time_ms,
        proposer=PublicKey(bytes(32)),
        tx_root=ZERO,
        tx_count=0,
        state_root=state.root if root is None else root,
        receipts_root=ZERO,
        last_commit_hash=ZERO,
        validators_hash=VOTERS.digest(),
        next_validators_hash=state.validators.digest(),
        params_hash=ZERO,
        app_version=1,
        evidence_root=ZERO,
    )
    id_ = block_id(header)
    final = FinalBlock(Block(header, (), NO_COMMIT, ()), a_certificate(id_, height, signers))
    receipts = tuple(TxReceipt(TxId(tx), "ok", 0, 0, ()) for tx in txs)
    return Committed(id_, final, receipts)


def test_what_is_right_passes() -> None:
    """The same block on two nodes, and the next one."""
    checkers, state = some_checkers(), a_state()

    for index in (0, 1):
        for commit in (a_commit(state, txs=(b"a",)), a_commit(state, height=2, txs=(b"b",))):
            checkers.executed(index, commit, state)
            checkers.announced(index, commit)


def test_two_blocks_of_one_height_break_agreement() -> None:
    """Also when the first one was seen on a node long dead."""
    checkers, state = some_checkers(), a_state()
    checkers.executed(0, a_commit(state), state)
    checkers.announced(0, a_commit(state))

    with pytest.raises(Violation, match=r"^agreement: height 1: node 1 has"):
        checkers.announced(1, a_commit(state, time_ms=9))


def test_a_state_that_is_not_the_header_s_breaks_equal_roots() -> None:
    """The node went on from another state than the one that was voted for."""
    state = a_state()

    with pytest.raises(Violation, match=r"^state_root_equal"):
        some_checkers().executed(0, a_commit(state, root=sha256(b"other")), state)


def test_a_fault_of_the_audit_breaks_conservation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the ledger's audit lists is a violation, found at the first sight of a root."""
    monkeypatch.setattr(checkers_module, "audit", lambda _state: ["I1: AIT: held 2, supply 1"])
    state = a_state()

    with pytest.raises(Violation, match=r"^supply_conserved: height 1: I1"):
        some_checkers().executed(0, a_commit(state), state)


@pytest.mark.parametrize("signers", [(), (0,), (0, 1), (0, 0, 0)])
def test_too_few_signatures_make_no_certificate(signers: tuple[int, ...]) -> None:
    """Two thirds are not more than two thirds, and nobody counts twice."""
    state = a_state()

    with pytest.raises(Violation, match=r"^certificate: height 1"):
        some_checkers().announced(0, a_commit(state, signers=signers))


def test_precommits_for_another_block_make_no_certificate() -> None:
    """The signatures must be for exactly this id."""
    state = a_state()
    commit = a_commit(state)
    other = a_commit(state, time_ms=9).final.certificate
    forged = Committed(commit.id, FinalBlock(commit.final.block, other), ())

    with pytest.raises(Violation, match=r"^certificate"):
        some_checkers().announced(0, forged)


def test_a_height_is_judged_by_the_voters_of_the_state_before_it() -> None:
    """Who may not vote any more signs in vain, although the genesis names him."""
    checkers, state = some_checkers(), a_state()
    last = VOTERS.members[-1]
    fewer = with_votes(state, ValidatorSet(VOTERS.members[:-1]))
    ends_epoch = FOUNDING.params.epoch_blocks

    for height in range(1, ends_epoch):
        commit = a_commit(state, height=height)
        checkers.executed(0, commit, state)
        assert not checkers.announced(0, commit)
    change = a_commit(fewer, height=ends_epoch)
    checkers.executed(0, change, fewer)

    assert checkers.announced(0, change)
    assert checkers.voters.index_of(last.key) is None
    with pytest.raises(Violation, match=r"^certificate"):
        checkers.announced(0, a_commit(fewer, height=ends_epoch + 1, signers=(0, 1, 3)))


def test_voters_change_by_less_than_a_third_and_at_the_end_of_an_epoch() -> None:
    """Two of four at once, or one in the middle of an epoch, is a violation of its own name."""
    state = a_state()
    for count, height in ((2, FOUNDING.params.epoch_blocks), (3, 1)):
        checkers = Checkers(VOTERS, epoch_blocks=FOUNDING.params.epoch_blocks)
        fewer = with_votes(state, ValidatorSet(VOTERS.members[:count]))
        for before in range(1, height):
            commit = a_commit(state, height=before)
            checkers.executed(0, commit, state)
            checkers.announced(0, commit)
        change = a_commit(fewer, height=height)
        checkers.executed(0, change, fewer)

        with pytest.raises(Violation, match=r"^validator_set"):
            checkers.announced(0, change)


@pytest.mark.parametrize(("name", "is_right"), [(b"e" * 20, True), (b"o" * 20, False)])
def test_an_epoch_ends_early_where_that_was_decided(name: bytes, is_right: bool) -> None:  # noqa: FBT001 - a row
    """One of four may go within an epoch when a proposal to end it has passed, and no other one."""
    state = a_state()
    motion = encode(ProposalSubmit(EndEpoch()))
    opened = Proposal(VOTERS.members[0].operator, motion, Amount(0), Height(9))
    asked = State({**state.contents, (objects.PROPOSAL, b"e" * 20): opened})
    fewer = with_votes(state, ValidatorSet(VOTERS.members[:3]))
    checkers = some_checkers()
    for commit in (a_commit(asked), a_commit(asked, height=2)):
        checkers.executed(0, commit, asked)
        checkers.announced(0, commit)
    told = TxReceipt(TxId(b"x"), "ok", 0, 0, (("proposal.passed", name.hex()),))
    change = replace(a_commit(fewer, height=3), receipts=(told,))
    checkers.executed(0, change, fewer)

    if is_right:
        assert checkers.announced(0, change)
        assert len(checkers.decided_ends) == 1
    else:
        with pytest.raises(Violation, match=r"^validator_set: height 3: a change within an epoch"):
            checkers.announced(0, change)


def test_a_block_that_nobody_lived_to_announce_is_judged_with_the_next() -> None:
    """A change of the set in it is as wrong as in any other."""
    checkers, state = some_checkers(), a_state()
    fewer = with_votes(state, ValidatorSet(VOTERS.members[:3]))
    first, lost = a_commit(state), a_commit(fewer, height=2)
    third = a_commit(fewer, height=3, parent=lost.id)
    for commit, after in ((first, state), (lost, fewer), (third, fewer)):
        checkers.executed(0, commit, after)
    checkers.announced(0, first)
    checkers.restarted(0, Height(2), least=Height(1))

    with pytest.raises(Violation, match=r"^validator_set: height 2: a change within an epoch"):
        checkers.announced(0, third)


def test_a_header_names_the_voters_of_the_state() -> None:
    """Its word for who votes next is compared with the state that it leads to."""
    checkers, state = some_checkers(), a_state()
    more = ValidatorSet(tuple(replace(member, power=Power(2)) for member in VOTERS.members))
    commit = a_commit(state)
    checkers.executed(0, commit, state)
    checkers._voters_after[state.root] = more

    with pytest.raises(Violation, match=r"^validator_set: height 1: its header"):
        checkers.announced(0, commit)


def test_only_liars_may_be_slashed() -> None:
    """An offence of an operator whose node keeps the rules is a violation, a liar's is counted."""
    operator = VOTERS.members[0].operator
    place = (objects.OFFENCE, operator + (7).to_bytes(8, "big"))
    slashed = State({**a_state().contents, place: objects.Offence(Amount(2), Amount(1))})
    knowing = Checkers(VOTERS, epoch_blocks=20, liars={operator})
    knowing.executed(0, a_commit(slashed), slashed)

    assert len(knowing.offences) == 1
    with pytest.raises(Violation, match=r"^no_honest_slash: .* for height 7"):
        some_checkers().executed(0, a_commit(slashed), slashed)


def test_a_block_that_nobody_lived_to_announce_leads_to_the_next_all_the_same() -> None:
    """It was on a disk, its node died and came back: the next block has its voters."""
    checkers, state = some_checkers(), a_state()
    silent = a_commit(state)
    checkers.executed(0, silent, state)
    checkers.restarted(0, Height(1), least=Height(0))
    follower = a_commit(state, height=2, parent=silent.id)
    checkers.executed(0, follower, state)

    assert not checkers.announced(0, follower)


def test_no_build_goes_on_with_rules_that_it_does_not_know() -> None:
    """The header says whose rules a block has; newer ones than the node's are a violation."""
    checkers, state = some_checkers(), a_state()
    commit = a_commit(state)
    checkers.executed(0, commit, state)
    checkers.announced(0, commit, knows=1)

    with pytest.raises(Violation, match=r"^rules_known: node 1 announces 1 by rules 1"):
        checkers.announced(1, commit, knows=0)


def test_a_transaction_in_two_blocks_is_found() -> None:
    """Once is once, at whatever height and on whatever node."""
    checkers, state = some_checkers(), a_state()
    checkers.executed(0, a_commit(state), state)
    checkers.announced(0, a_commit(state, txs=(b"a",)))

    with pytest.raises(Violation, match=r"^tx_once"):
        checkers.announced(1, a_commit(state, height=2, txs=(b"a",)))


def test_another_root_after_a_replay_is_found() -> None:
    """A log that leads elsewhere than its node is a violation."""
    with pytest.raises(Violation, match=r"^replay"):
        some_checkers().replayed(0, Height(3), ZERO, expected=sha256(b"x"))


def test_a_mesh_that_does_not_go_on_is_stuck() -> None:
    """No time for the liveness phase: the checker says how far everybody came."""
    with pytest.raises(Violation, match=r"^liveness: heights"):
        World(1, Options(liveness_ms_max=1), History()).run()


def test_an_assertion_of_the_node_is_a_crash_not_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the node's code raises ends the run as a finding, with its traceback."""

    def broken(*_: object, **__: object) -> None:
        raise AssertionError("planted")

    monkeypatch.setattr("aitbc_node.machine.Machine.step", broken)
    outcome = run(Case(1))

    assert outcome.verdict == "crash"
    assert "planted" in outcome.message
