"""Each checker of the simulator turns red on what it is there for, and names itself."""

import pytest

from aitbc_node.blocks import (
    NO_COMMIT,
    PRECOMMIT,
    Block,
    Certificate,
    CommitVote,
    FinalBlock,
    Header,
    block_id,
)
from aitbc_node.crypto import sha256
from aitbc_node.events import Committed, TxReceipt
from aitbc_node.ledger.genesis import initial_state
from aitbc_node.ledger.state import State
from aitbc_node.types import BlockId, Hash, Height, PublicKey, Round, TxId
from aitbc_sim import checkers as checkers_module
from aitbc_sim.checkers import Checkers, Violation
from aitbc_sim.history import History
from aitbc_sim.options import Options
from aitbc_sim.run import Case, run
from aitbc_sim.testing import CHAIN_ID, a_set, a_vote
from aitbc_sim.workload import a_genesis
from aitbc_sim.world import World

pytestmark = pytest.mark.unit

VOTERS = a_set([1, 1, 1, 1])
ZERO = Hash(bytes(32))


def a_state() -> State:
    """Return the state of a new chain."""
    return initial_state(a_genesis((1, 1, 1, 1)))


def a_certificate(id_: BlockId, height: int, signers: tuple[int, ...]) -> Certificate:
    """Return precommits of these validators for a block."""
    votes = [a_vote(PRECOMMIT, id_, by=by, height=height, time_ms=5) for by in signers]
    rows = tuple(CommitVote(vote.validator, vote.time_ms, vote.signature) for vote in votes)
    return Certificate(Height(height), Round(0), id_, rows)


def a_commit(
    state: State,
    *,
    height: int = 1,
    root: Hash | None = None,
    time_ms: int = 0,
    signers: tuple[int, ...] = (0, 1, 2),
    txs: tuple[bytes, ...] = (),
) -> Committed:
    """Announce a block with this state behind it."""
    header = Header(
        version=1,
        chain_id=CHAIN_ID,
        height=Height(height),
        parent_id=BlockId(bytes(32)),
        time_ms=time_ms,
        proposer=PublicKey(bytes(32)),
        tx_root=ZERO,
        tx_count=0,
        state_root=state.root if root is None else root,
        receipts_root=ZERO,
        last_commit_hash=ZERO,
        validators_hash=ZERO,
        next_validators_hash=ZERO,
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
    checkers, state = Checkers(), a_state()

    for index in (0, 1):
        for commit in (a_commit(state, txs=(b"a",)), a_commit(state, height=2, txs=(b"b",))):
            checkers.executed(index, commit, state)
            checkers.announced(index, commit, VOTERS)


def test_two_blocks_of_one_height_break_agreement() -> None:
    """Also when the first one was seen on a node long dead."""
    checkers, state = Checkers(), a_state()
    checkers.announced(0, a_commit(state), VOTERS)

    with pytest.raises(Violation, match=r"^agreement: height 1: node 1 has"):
        checkers.announced(1, a_commit(state, time_ms=9), VOTERS)


def test_a_state_that_is_not_the_header_s_breaks_equal_roots() -> None:
    """The node went on from another state than the one that was voted for."""
    state = a_state()

    with pytest.raises(Violation, match=r"^state_root_equal"):
        Checkers().executed(0, a_commit(state, root=sha256(b"other")), state)


def test_a_fault_of_the_audit_breaks_conservation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the ledger's audit lists is a violation, found at the first sight of a root."""
    monkeypatch.setattr(checkers_module, "audit", lambda _state: ["I1: AIT: held 2, supply 1"])
    state = a_state()

    with pytest.raises(Violation, match=r"^supply_conserved: height 1: I1"):
        Checkers().executed(0, a_commit(state), state)


@pytest.mark.parametrize("signers", [(), (0,), (0, 1), (0, 0, 0)])
def test_too_few_signatures_make_no_certificate(signers: tuple[int, ...]) -> None:
    """Two thirds are not more than two thirds, and nobody counts twice."""
    state = a_state()

    with pytest.raises(Violation, match=r"^certificate: height 1"):
        Checkers().announced(0, a_commit(state, signers=signers), VOTERS)


def test_precommits_for_another_block_make_no_certificate() -> None:
    """The signatures must be for exactly this id."""
    state = a_state()
    commit = a_commit(state)
    other = a_commit(state, time_ms=9).final.certificate
    forged = Committed(commit.id, FinalBlock(commit.final.block, other), ())

    with pytest.raises(Violation, match=r"^certificate"):
        Checkers().announced(0, forged, VOTERS)


def test_a_transaction_in_two_blocks_is_found() -> None:
    """Once is once, at whatever height and on whatever node."""
    checkers, state = Checkers(), a_state()
    checkers.announced(0, a_commit(state, txs=(b"a",)), VOTERS)

    with pytest.raises(Violation, match=r"^tx_once"):
        checkers.announced(1, a_commit(state, height=2, txs=(b"a",)), VOTERS)


def test_another_root_after_a_replay_is_found() -> None:
    """A log that leads elsewhere than its node is a violation."""
    with pytest.raises(Violation, match=r"^replay"):
        Checkers().replayed(0, Height(3), ZERO, expected=sha256(b"x"))


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
