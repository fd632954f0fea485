"""Whole machines after crashes, partitions, losses and long absences."""

import copy

import pytest
from msgspec.structs import replace

from aitbc_node.blocks import NO_BLOCK, PREVOTE, FinalBlock
from aitbc_node.canonical import encode
from aitbc_node.codes import Code
from aitbc_node.consensus.inputs import Decided
from aitbc_node.errors import DiskError
from aitbc_node.events import AppendBlock, Committed, Send
from aitbc_node.gossip.messages import VOTES_COUNT_MAX, Finals, Status, VotesSent, decode_message
from aitbc_node.machine import Machine, MachineConfig
from aitbc_node.storage.store import Recovered
from aitbc_node.types import BlockId, Height, Signature
from aitbc_sim.citizens import a_payment, address, signer_of
from aitbc_sim.pump import Pump
from aitbc_sim.testing import a_vote, fake_verify

INTERVAL_MS = 500
TIMEOUT_MS = 1_000


def nonce(pump: Pump, index: int, name: str) -> int:
    """Return how many transactions of an account are final, as one node sees it."""
    account = pump.machine(index).view.state.account(address(name))
    return 0 if account is None else account.nonce


@pytest.mark.proves("E6")
def test_another_validator_proposes_when_one_is_down() -> None:
    """With one of four dead the others go on, at most two time-outs later where it was its turn."""
    pump = Pump().start()
    pump.run_to(3)

    pump.crash(1)
    height = max(pump.heights())
    for step in range(1, 9):
        pump.run_to(height + step, limit_ms=INTERVAL_MS + 2 * TIMEOUT_MS + 200)

    assert pump.notes("round.begins") > 0


@pytest.mark.parametrize("after", range(0, 120, 3))
def test_a_crash_between_any_two_effects_is_survived(after: int) -> None:
    """Killed at any point, a validator comes back, votes nothing twice, and has the same state."""
    pump = Pump().start()
    pump.run_to(2)
    for number in range(5):
        pump.submit(0, a_payment("alice", "bob", 1, nonce=number))

    pump.crash_at[2] = after
    pump.run(lambda: 2 not in pump.crash_at, limit_ms=30_000)
    pump.run(lambda: len(pump.heights()) == 4)
    pump.run_to(max(pump.heights()) + 3)
    pump.settle()

    assert len(pump.roots()) == 1
    assert nonce(pump, 2, "alice") == 5
    assert pump.notes("vote.refused") == 0


def test_all_killed_at_once_lose_no_final_block() -> None:
    """After a restart of everybody the chain goes on where it was."""
    pump = Pump().start()
    pump.run_to(4)
    pump.outcomes(0, a_payment("alice", "bob", 1, nonce=0))
    before = dict(pump.nodes[0].committed)

    for index in range(4):
        pump.crash(index)
    pump.start()
    pump.run_to(max(before) + 3)
    pump.settle()

    assert all(pump.blocks[height] == {block_id} for height, block_id in before.items())
    assert len(pump.roots()) == 1
    assert nonce(pump, 3, "alice") == 1, "what was accepted came back from the journal"


def test_killed_over_and_over_the_height_never_goes_back() -> None:
    """Fifty kills of changing nodes, each at another point of its work."""
    pump = Pump().start()
    pump.run_to(2)
    pump.crash_back_ms = 150

    for kill in range(50):
        index = kill % 4
        before = pump.machine(index).view.height
        pump.crash_at[index] = (kill * 7) % 41
        assert pump.run(lambda: not pump.crash_at, limit_ms=30_000)
        assert pump.run(lambda: len(pump.heights()) == 4, limit_ms=1_000)
        assert pump.machine(index).view.height >= before
    pump.run_to(max(pump.heights()) + 2)
    pump.settle()

    assert len(pump.roots()) == 1
    assert pump.notes("vote.refused") == 0


def test_a_logged_but_undecided_block_is_offered_again_after_a_restart() -> None:
    """All die after the block was logged and before anybody decided: the lock still holds it."""
    pump = Pump().start()
    pump.run_to(2)
    logged = {node.index: len(node.persisted) for node in pump.nodes}
    pump.drop = lambda _from, _to, payload: b"votes" in payload[:8] and pump.now_ms > at_ms + 6
    at_ms = pump.now_ms + INTERVAL_MS
    pump.wait(INTERVAL_MS + 100)
    blocks = {
        effect.id
        for node in pump.nodes
        for effect in node.persisted[logged[node.index] :]
        if isinstance(effect, AppendBlock) and effect.block.header.height == 3
    }
    assert max(pump.heights()) == 2

    for index in range(4):
        pump.crash(index)
    pump.drop = lambda _from, _to, _payload: False
    pump.start()
    pump.run_to(4)

    assert pump.blocks[3] <= blocks
    pump.settle()
    assert len(pump.roots()) == 1


def test_a_minority_commits_nothing_and_catches_up() -> None:
    """Cut 3/1 for a minute: the three go on, the one refuses clients, and joins again in time."""
    pump = Pump().start()
    pump.run_to(3)

    pump.partition([0, 1, 2], [3])
    pump.wait(60_000)
    alone, others = pump.machine(3).view, pump.machine(0).view
    assert pump.outcomes(3, a_payment("alice", "bob", 1, nonce=0)) == [Code.E_NO_QUORUM]
    assert pump.outcomes(0, a_payment("alice", "bob", 1, nonce=0)) == [Code.OK]
    assert alone.height == 3
    assert others.height > 20
    assert (alone.reachable_power, others.reachable_power) == (1, 3)

    pump.heal()
    pump.run_to(max(pump.heights()) + 2, limit_ms=30_000)
    pump.settle()
    assert len(pump.roots()) == 1
    assert pump.run(lambda: pump.machine(3).view.reachable_power == 4, limit_ms=5_000)


def test_two_halves_stand_still_and_go_on_together() -> None:
    """Cut 2/2 nobody commits; after the healing the chain resumes without a fork."""
    pump = Pump().start()
    pump.run_to(3)

    pump.partition([0, 1], [2, 3])
    pump.wait(60_000)
    assert set(pump.heights()) <= {3, 4}
    pump.heal()
    pump.run_to(7, limit_ms=30_000)
    pump.settle()

    assert len(pump.roots()) == 1


@pytest.mark.parametrize("percent", [5, 20, 35])
def test_lost_frames_are_made_up_for(percent: int) -> None:
    """Rounds, summaries and requests are repeated until they arrive."""
    counter = iter(range(10**9))
    pump = Pump(followers=1)
    pump.drop = lambda _from, _to, _payload: next(counter) * 7_919 % 101 < percent
    pump.start()
    pump.run_to(2, limit_ms=60_000)

    for number in range(5):
        pump.submit(0, a_payment("alice", "bob", 1, nonce=number))
    pump.run_to(12, limit_ms=300_000)
    pump.drop = lambda _from, _to, _payload: False
    pump.settle()

    assert len(pump.roots()) == 1
    assert nonce(pump, 4, "alice") == 5
    assert pump.notes("peer.fault") == 0


@pytest.mark.proves("E10")
def test_a_newcomer_verifies_the_whole_chain_and_takes_part() -> None:
    """A validator with an empty disk reaches the tip in batches, and then votes."""
    pump = Pump()
    pump.start(0, 1, 2)
    pump.run_to(1, limit_ms=60_000)
    for number in range(60):
        pump.submit(0, a_payment("alice", "bob", 1, nonce=number))
    pump.run_to(150, limit_ms=600_000)

    pump.start(3)
    pump.run(lambda: pump.machine(3).view.height >= 150, limit_ms=5_000)
    assert not pump.machine(3).view.syncing
    pump.run_to(max(pump.heights()) + 4)
    pump.settle()

    assert len(pump.roots()) == 1
    assert nonce(pump, 3, "alice") == 60
    assert pump.machine(3).view.last_voted_height >= 150
    assert pump.nodes[3].notes["peer.fault"] == 0


def with_a_lie(first: FinalBlock, lie: str) -> FinalBlock:
    """Return a final block that is none any more."""
    certificate, header = first.certificate, first.block.header
    match lie:
        case "block":
            header = replace(header, time_ms=header.time_ms + 1)
            return replace(first, block=replace(first.block, header=header))
        case "signature":
            vote = replace(certificate.votes[0], signature=Signature(bytes(64)))
            certificate = replace(certificate, votes=(vote, *certificate.votes[1:]))
        case "few votes":
            certificate = replace(certificate, votes=certificate.votes[:2])
        case "one vote thrice":
            certificate = replace(certificate, votes=certificate.votes[:1] * 3)
    return replace(first, certificate=certificate)


@pytest.mark.proves("E10")
@pytest.mark.parametrize("lie", ["block", "signature", "few votes", "one vote thrice"])
def test_a_lying_peer_is_dropped_and_another_one_used(lie: str) -> None:
    """Whatever the peer that was asked first answers, the true chain comes from the others."""
    pump = Pump(followers=1).start(0, 1, 2, 3)
    pump.run_to(20, limit_ms=60_000)
    liars: list[int] = []

    def falsify(source: int, target: int, payload: bytes) -> bytes:
        message = decode_message(payload)
        if target != 4 or not isinstance(message, Finals) or (liars and source not in liars):
            return payload
        liars.append(source)
        return encode(Finals((with_a_lie(message.blocks[0], lie), *message.blocks[1:])))

    pump.tamper = falsify
    pump.start(4)
    pump.run_to(24, limit_ms=20_000)
    pump.settle()

    assert liars
    assert pump.nodes[4].notes["peer.fault"] >= 1
    assert len(pump.roots()) == 1


def test_a_silent_peer_is_given_up() -> None:
    """A peer that never answers costs one time-out, then another one is asked."""
    pump = Pump(followers=1).start(0, 1, 2, 3)
    pump.run_to(20, limit_ms=60_000)
    mute: list[int] = []

    def silence(source: int, target: int, payload: bytes) -> bool:
        if target != 4 or b"finals" not in payload[:10]:
            return False
        mute.append(source)
        return source == mute[0]

    pump.drop = silence
    pump.start(4)
    begin_ms = pump.now_ms
    pump.run(lambda: pump.machine(4).view.height >= 20)

    assert mute
    assert pump.now_ms - begin_ms < 5_000
    assert pump.notes("peer.fault") == 0


@pytest.mark.proves("E10")
def test_a_newcomer_gets_past_liars_of_every_kind_at_once() -> None:
    """One forges, one falls silent in the middle, one boasts; the fourth is enough."""
    forger, mute, boaster, honest, newcomer = range(5)
    pump = Pump(followers=1).start(forger, mute, boaster, honest)
    pump.run_to(200, limit_ms=600_000)
    answers: list[int] = []

    def lie(source: int, target: int, payload: bytes) -> bytes:
        message = decode_message(payload)
        if target != newcomer:
            return payload
        if isinstance(message, Status) and source == boaster:
            return encode(Status(Height(10**6)))
        if isinstance(message, Finals):
            answers.append(source)
            if source == forger:
                return encode(Finals((with_a_lie(message.blocks[0], "signature"),)))
            if source == boaster:
                return encode(Finals(()))
        return payload

    pump.tamper = lie
    pump.drop = lambda source, target, payload: (
        (source, target) == (mute, newcomer)
        and b"finals" in payload[:10]
        and answers.count(mute) > 0
    )
    pump.start(newcomer)
    begin_ms = pump.now_ms
    pump.run(lambda: pump.machine(newcomer).view.height >= 200, limit_ms=60_000)
    pump.settle()

    assert {*answers} == {forger, mute, boaster, honest}
    assert pump.now_ms - begin_ms < 20_000
    linked = {peer.id for peer in pump.machine(newcomer).view.peers()}
    assert linked == {pump.nodes[index].id for index in (mute, boaster, honest)}
    assert len(pump.roots()) == 1


def test_a_boaster_does_not_keep_a_node_from_taking_part() -> None:
    """A false claim of a great height stops a validator for one time-out at most."""
    pump = Pump().start()
    pump.run_to(3)

    pump.inject(1, 0, encode(Status(Height(10**9))))
    pump.run_to(6, limit_ms=6_000)
    assert pump.machine(1).view.last_voted_height <= 5
    pump.inject(1, 0, encode(Status(Height(10**9))))
    pump.run_to(12, limit_ms=10_000)

    assert not pump.machine(1).view.syncing
    assert pump.machine(1).view.last_voted_height >= 10


def test_a_peer_hands_out_a_block_that_only_votes_name() -> None:
    """A node that got the votes but not the proposal fetches the block and decides with it."""
    pump = Pump()
    pump.drop = lambda _from, to, payload: to == 3 and b"proposal" in payload[:10]
    pump.start()

    pump.run_to(8, limit_ms=30_000)
    pump.settle()

    assert pump.frames["block?"] > 0
    assert pump.notes("peer.fault") == 0


def test_a_decided_block_that_had_to_make_room_is_fetched_back() -> None:
    """In a very long height the block that wins may be gone when its votes come; others have it."""
    pump = Pump().start()
    pump.run_to(3)
    machine = pump.machine(3)
    decide, lost = machine._on_decided, list[BlockId]()

    def forget_then_decide(decided: Decided) -> None:
        if not lost:
            lost.append(decided.block_id)
            del machine._workshop.shelf._candidates[decided.block_id]
            machine._workshop._offers.pop(decided.block_id, None)
        decide(decided)

    machine._voting._on_decided = forget_then_decide
    pump.run_to(8)
    pump.settle()

    assert lost
    assert pump.frames["block?"] > 0
    assert len(pump.roots()) == 1


def test_a_restored_machine_tells_its_blocks_and_keeps_what_waits() -> None:
    """An index hears of every final block; a journaled transaction waits unless a block has it."""
    pump = Pump().start()
    pump.run_to(2)
    done, waits = (a_payment("alice", "bob", 1, nonce=number) for number in (0, 7))
    assert pump.outcomes(0, done) == ["ok"]
    pump.run_to(max(pump.heights()) + 3)
    store = pump.nodes[0].store
    assert store is not None
    finals = store.read_blocks(Height(1), store.last_height)
    told: list[Committed] = []
    fresh = Machine(
        MachineConfig(role="full"),
        pump.genesis,
        own_id=pump.nodes[0].id,
        signer=None,
        verify=fake_verify,
    )

    fresh.restore(Recovered(finals, (), None, (done, waits)), on_replayed=told.append)

    assert [each.final for each in told] == list(finals)
    assert list(fresh.pending_raws()) == [waits]


def test_a_log_that_lies_is_refused() -> None:
    """A block that does not lead to its own state root stops the start with a hint."""
    pump = Pump().start()
    pump.run_to(3)
    store = pump.nodes[0].store
    assert store is not None
    finals = store.read_blocks(Height(1), Height(3))
    stranger = Machine(
        MachineConfig(role="full"),
        Pump(rich=["carol"]).genesis,
        own_id=pump.nodes[0].id,
        signer=None,
        verify=fake_verify,
    )

    with pytest.raises(DiskError, match="logged block of height 1 is wrong"):
        stranger.restore(Recovered(finals, (), None, ()))


def test_a_node_whose_build_judges_otherwise_stands_still_and_says_so() -> None:
    """It signs nothing more and blames nobody; the others go on; a right build goes on too."""
    pump = Pump().start()
    pump.run_to(3)
    odd = pump.machine(3)
    right = odd._chain.judge
    odd._chain.judge = (  # type: ignore[method-assign]
        lambda proposed, txs: right(proposed, txs) if proposed.header.height < 5 else "planted"
    )

    pump.run(lambda: max(pump.heights()) >= 9)
    pump.wait(2_000)

    assert odd.view.height == 4
    assert "planted" in odd.view.diverged
    assert pump.notes("chain.diverged") == 1
    assert pump.notes("peer.fault") == 0
    assert pump.outcomes(3, a_payment("alice", "bob", 1, nonce=0)) == [Code.E_UNAVAILABLE]
    frozen = odd.view.sign_state
    pump.wait(3_000)
    assert odd.view.sign_state == frozen

    pump.restart(3)
    pump.run_to(max(pump.heights()) + 2)
    pump.settle()
    assert len(pump.roots()) == 1


@pytest.mark.parametrize("with_data", [True, False], ids=["keys and data", "keys only"])
def test_a_key_restored_from_a_backup_votes_no_more(*, with_data: bool) -> None:
    """Its own later votes are in the blocks: some other host may be signing with it right now."""
    pump = Pump().start()
    pump.run_to(3)
    node = pump.nodes[3]
    pump.crash(3)
    keys, data = copy.deepcopy(node.keys.files), copy.deepcopy(node.data.files)
    pump.start(3)
    pump.run_to(max(pump.heights()) + 5)
    voted = pump.machine(3).view.last_voted_height
    pump.crash(3)
    node.keys.files = keys
    if with_data:
        node.data.files = data

    for _ in range(2):  # the second start has what it learned in its log
        pump.restart(3)
        pump.run_to(max(pump.heights()) + 3)

        assert pump.machine(3).view.refusal == "another node signs with this key"
        assert pump.machine(3).view.last_voted_height <= voted + 1


def test_what_a_peer_lacks_is_sent_in_portions_that_it_takes() -> None:
    """A hundred validators in several rounds have more votes than one frame may carry."""
    pump = Pump().start()
    pump.run_to(2)
    peer = pump.nodes[1].id
    count = 2 * VOTES_COUNT_MAX + 1
    voting = pump.machine(0)._voting
    voting._out.take()

    voting._retransmit(peer, tuple(a_vote(PREVOTE, NO_BLOCK, by=0, round_=n) for n in range(count)))

    frames = [effect.payload for effect in voting._out.take() if isinstance(effect, Send)]
    messages = [decode_message(payload) for payload in frames]
    assert sum(len(row.votes) for row in messages if isinstance(row, VotesSent)) == count


def test_a_restarted_validator_listens_for_two_heights_before_it_votes() -> None:
    """Whoever runs a copy of its key would have votes in those blocks."""
    pump = Pump().start()
    pump.run_to(3)
    pump.crash(3)
    start = max(pump.heights())
    place = pump.machine(0).view.validators.index_of(signer_of("v3 votes").public_key)

    pump.start(3)
    pump.run_to(start + 6)

    voted = {height for index, height, _, _ in pump.signed if index == place}
    assert not voted & {start + 1, start + 2}
    assert start + 5 in voted


def test_old_blocks_are_not_what_a_restarted_validator_listens_for() -> None:
    """After a long absence the two heights count from where it has caught up."""
    pump = Pump().start()
    pump.run_to(3)
    pump.crash(3)
    pump.run_to(30, limit_ms=60_000)
    start = max(pump.heights())
    place = pump.machine(0).view.validators.index_of(signer_of("v3 votes").public_key)

    pump.start(3)
    pump.run_to(start + 8)

    voted = {height for index, height, _, _ in pump.signed if index == place and height > 4}
    assert min(voted) > start + 2
    assert start + 7 in voted


def test_listening_ends_where_blocks_come_faster_than_they_are_fetched() -> None:
    """At twenty blocks a second a follower always gets several at once, and votes all the same."""
    pump = Pump(config=MachineConfig(block_interval_ms=50)).start()
    pump.run_to(20)
    pump.crash(3)
    pump.wait(2_000)

    pump.start(3)
    pump.wait(5_000)

    assert pump.machine(3).view.last_voted_height > max(pump.heights()) - 5


def test_nobody_listens_for_ever_when_all_were_restarted() -> None:
    """Without blocks there is nothing to hear: after a few intervals and time-outs all go on."""
    pump = Pump().start()
    pump.run_to(3)
    for index in range(4):
        pump.crash(index)
    start = pump.now_ms

    pump.start()
    height = max(pump.heights())
    pump.run_to(height + 1, limit_ms=3 * INTERVAL_MS + 2 * TIMEOUT_MS + 1_000)

    assert pump.now_ms - start >= 3 * INTERVAL_MS + 2 * TIMEOUT_MS


@pytest.mark.parametrize("powers", [(1,), (7, 1, 1, 1)])
def test_who_decides_alone_waits_for_nobody(powers: tuple[int, ...]) -> None:
    """A quorum of one has no others whose blocks it could wait for."""
    pump = Pump(powers).start()
    pump.run_to(3)

    pump.restart(0)
    pump.run_to(max(pump.heights()) + 1, limit_ms=INTERVAL_MS + TIMEOUT_MS)


def test_a_node_far_behind_begins_behind_a_state_of_its_peers() -> None:
    """It has no block below that state, votes on what comes behind it, and has the others' root."""
    config = MachineConfig(snapshot_blocks=4, snapshot_distance=6)
    pump = Pump(config=config)
    pump.start(0, 1, 2)
    pump.run_to(12, limit_ms=60_000)
    late = pump.nodes[3]

    pump.start(3)

    def has_voted() -> bool:
        return late.machine is not None and late.machine.view.last_voted_height > 12

    assert pump.run(has_voted, limit_ms=60_000)
    pump.settle()
    assert late.notes["snapshot.arrived"] == 1
    assert late.store is not None
    assert late.store.first_height >= 4
    assert len(pump.roots()) == 1
