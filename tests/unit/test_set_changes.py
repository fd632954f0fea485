"""Whole machines whose validators change: nobody stops, and whoever comes later agrees."""

import pytest
from msgspec.structs import replace

from aitbc_node.blocks import PRECOMMIT
from aitbc_node.crypto import sha256
from aitbc_node.ledger.audit import audit
from aitbc_node.ledger.bonding import StakeBond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.types import Amount, BlockId, Height, Round, Signature
from aitbc_sim.citizens import CHAIN_ID, address, an_act, signer_of
from aitbc_sim.pump import Pump

COIN = 1_000_000
EPOCH = 20
FOUNDERS = ("v0", "v1", "v2", "v3")


def powers(pump: Pump, index: int) -> dict[str, int]:
    """Return each founder's power as one node sees it."""
    votes = pump.machine(index).view.state.validators
    return {name: votes.power_of(signer_of(f"{name} votes").public_key) for name in FOUNDERS}


def a_vote(block_id: BlockId) -> SignedMessage:
    """Have v3's key precommit a block of height 3."""
    bare = SignedMessage(
        PRECOMMIT, Height(3), Round(0), Round(-1), block_id, 7, Signature(bytes(64))
    )
    signature = signer_of("v3 votes").sign(bare.sign_bytes(CHAIN_ID))
    return replace(bare, signature=signature)


@pytest.fixture
def pump() -> Pump:
    """Run four validators of two votes each, and a follower that is not there yet."""
    return Pump((2, 2, 2, 2), followers=1, rich=("alice", *FOUNDERS)).start(0, 1, 2, 3)


def test_a_validator_leaves_at_the_end_of_an_epoch_and_the_others_go_on(pump: Pump) -> None:
    """Its votes count until the last height of the epoch and are not missed from the next on."""
    pump.run_to(1)
    assert pump.outcomes(0, an_act("v3", ValidatorPut(status="leaving"), nonce=0)) == ["ok"]

    pump.run_to(EPOCH - 1)
    before = powers(pump, 0)
    pump.run_to(EPOCH + 5)
    pump.settle()

    assert before == dict.fromkeys(FOUNDERS, 2)
    assert [powers(pump, index) for index in range(4)] == [{**before, "v3": 0}] * 4
    assert pump.notes("round.begins") == 0
    assert not pump.machine(3).view.own_power
    assert len(pump.roots()) == 1


def test_more_power_comes_in_steps_and_quorums_follow(pump: Pump) -> None:
    """With ten of sixteen votes v0's silence stops the others, though three of four are up."""
    pump.run_to(1)
    bond = StakeBond(address("v0"), Amount(8 * COIN))
    assert pump.outcomes(1, an_act("alice", bond, nonce=0)) == ["ok"]
    pump.run_to(5 * EPOCH + 1, limit_ms=120_000)
    assert powers(pump, 1)["v0"] == 10

    pump.crash(0)
    height = max(pump.heights())
    pump.wait(10_000)
    stalled = max(pump.heights())
    pump.restart(0)
    pump.run_to(height + 5, limit_ms=60_000)

    assert stalled <= height + 1
    assert all(audit(pump.machine(index).view.state) == [] for index in range(4))


def test_evidence_is_punished_once_and_everywhere_the_same(pump: Pump) -> None:
    """Shown to two nodes at once: half of the bond goes, once, and the vote with the epoch.

    The two votes are made here, with the key of a node that itself never signs twice.
    """
    first, second = sorted(
        (a_vote(BlockId(sha256(name))) for name in (b"one", b"two")),
        key=lambda message: message.block_id,
    )
    body = EvidenceSubmit(signer_of("v3 votes").public_key, first, second)
    pump.run_to(5)
    assert pump.outcomes(0, an_act("alice", body, nonce=0)) == ["ok"]
    assert pump.outcomes(1, an_act("v0", body, nonce=0)) == ["ok"]

    pump.run_to(EPOCH + 5)
    pump.settle()

    members = [pump.machine(index).view.state.membership(address("v3")) for index in range(4)]
    assert [(member.bonded, member.status) for member in members] == [(COIN, "jailed")] * 4
    assert [powers(pump, index)["v3"] for index in range(4)] == [0] * 4
    assert len(pump.roots()) == 1
    assert all(audit(pump.machine(index).view.state) == [] for index in range(4))


@pytest.mark.parametrize("restarts", [False, True], ids=["on", "restarted"])
def test_a_new_key_takes_over_by_itself_and_no_vote_is_missed(
    pump: Pump, *, restarts: bool
) -> None:
    """Of three voters all are needed, so each block has the vote of the old key or of the new one.

    A restart in between finds both keys, each with what it has signed.
    """
    old, new = (signer_of(name).public_key for name in ("v1 votes", "v1 votes later"))
    pump.run_to(2)
    pump.crash(3)
    pump.give_key(1, "v1 votes later")
    put = ValidatorPut(
        key=new, proof=possession_proof(CHAIN_ID, address("v1"), signer_of("v1 votes later"))
    )
    assert pump.outcomes(0, an_act("v1", put, nonce=0)) == ["ok"]
    if restarts:
        pump.run_to(EPOCH - 5, limit_ms=60_000)
        pump.restart(1)
    pump.run_to(EPOCH + 4, limit_ms=120_000)
    if restarts:
        pump.restart(1)
        pump.run_to(EPOCH + 8, limit_ms=120_000)

    store = pump.nodes[0].store
    assert store is not None
    newest = store.read_blocks(Height(4), store.last_height)
    assert {len(final.block.last_commit.votes) for final in newest} == {3}
    told = [pump.machine(index).view for index in (0, 1, 2)]
    keys = {member.key for member in told[0].state.validators.members}
    assert (old in keys, new in keys) == (False, True)
    assert told[1].own_key == new
    assert {view.reachable_power for view in told} == {6}
    assert pump.notes("vote.twin") == pump.notes("vote.refused") == 0


def test_restarts_and_latecomers_follow_through_every_change(pump: Pump) -> None:
    """A log is replayed, and blocks are caught up with, over the ends of epochs."""
    pump.run_to(1)
    bond = StakeBond(address("v0"), Amount(COIN))
    pump.outcomes(0, an_act("alice", bond, nonce=0))
    pump.outcomes(0, an_act("v3", ValidatorPut(status="leaving"), nonce=0))
    pump.run_to(2 * EPOCH + 3, limit_ms=60_000)

    pump.crash(1)
    pump.restart(1)
    pump.start(4)
    pump.run_to(2 * EPOCH + 10, limit_ms=60_000)
    pump.settle()

    assert [powers(pump, index) for index in range(5)] == [powers(pump, 0)] * 5
    assert powers(pump, 4) == {"v0": 3, "v1": 2, "v2": 2, "v3": 0}
    assert len(pump.roots()) == 1
