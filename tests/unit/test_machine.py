"""Whole machines in step: blocks, transactions, followers, and what goes over the wire."""

from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from aitbc_node import limits
from aitbc_node.blocks import tx_id
from aitbc_node.codes import Code
from aitbc_node.events import (
    AppendBlock,
    AppendCertificate,
    AppendTransactions,
    DiskFailed,
    DiskHealed,
    Reply,
    SaveSignState,
    Submitted,
)
from aitbc_node.ledger.audit import audit
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.objects import NATIVE, balance
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.ledger.transactions import SIGN_TAG, Parsed, Transaction, parse, sign
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.machine import MachineConfig
from aitbc_node.mempool import PoolLimits
from aitbc_node.types import Amount, PublicKey, Signature
from aitbc_sim.citizens import WEALTH, a_payment, address, signer_of
from aitbc_sim.pump import START_WALL_MS, Pump
from aitbc_sim.testing import fake_verify


def pay(to: str, amount: int) -> Transfer:
    """Pay one citizen."""
    return Transfer((Output(address(to), NATIVE, Amount(amount)),))


def signed(sender: str, body: Body, *, nonce: int, signers: Sequence[str]) -> bytes:
    """Have the keys of these names sign for an account."""
    tx = msgspec.structs.replace(
        _transaction(a_payment(sender, sender, 1, nonce=nonce)), bodies=(body,)
    )
    return sign(tx, [signer_of(name) for name in signers])


def _transaction(raw: bytes) -> Transaction:
    parsed = parse(raw)
    assert isinstance(parsed, Parsed)
    return parsed.tx


def owned(pump: Pump, index: int, name: str) -> int:
    """Return what an account owns, as one node sees it."""
    account = pump.machine(index).view.state.account(address(name))
    return 0 if account is None else balance(account.balances, NATIVE)


def nonce(pump: Pump, index: int, name: str) -> int:
    """Return how many transactions of an account are final, as one node sees it."""
    account = pump.machine(index).view.state.account(address(name))
    return 0 if account is None else account.nonce


@pytest.mark.proves("E4")
def test_four_validators_finalise_blocks() -> None:
    """Every block has more than two thirds of the power in its certificate, and all agree."""
    pump = Pump().start()

    pump.run_to(10)
    pump.settle()

    assert len(pump.roots()) == 1
    assert pump.notes("round.begins") == 0
    for node in pump.nodes:
        certificates = [row for row in node.persisted if isinstance(row, AppendCertificate)]
        assert all(len(row.certificate.votes) >= 3 for row in certificates)


def test_heights_keep_the_block_interval() -> None:
    """The interval is the least time between two commits, and not much is added to it."""
    pump = Pump(config=MachineConfig(block_interval_ms=1_000)).start()
    pump.run_to(1)
    begin_ms = pump.now_ms

    pump.run_to(11)

    assert 10_000 <= pump.now_ms - begin_ms <= 10_500


def test_the_block_is_logged_before_its_vote() -> None:
    """A vote never refers to a block that a crash could take away."""
    pump = Pump().start()

    pump.run_to(5)

    for node in pump.nodes:
        logged: set[bytes] = set()
        for effect in node.persisted:
            if isinstance(effect, AppendBlock):
                logged.add(effect.id)
            elif isinstance(effect, SaveSignState) and effect.state.step >= 2:
                named = effect.state.locked_id or effect.state.valid_id
                assert not named or named in logged


def test_transactions_through_every_node_are_final_once() -> None:
    """Twenty transfers per node arrive everywhere exactly once; no money is made or lost."""
    names = [f"citizen{index}" for index in range(4)]
    pump = Pump(rich=names).start()
    pump.run_to(1)

    for index, name in enumerate(names):
        raws = [a_payment(name, "bob", 7, nonce=number) for number in range(20)]
        assert pump.outcomes(index, *raws) == ["ok"] * 20
    pump.run_to(4)
    pump.settle()

    for index in range(4):
        assert owned(pump, index, "bob") == 4 * 20 * 7
        assert [nonce(pump, index, name) for name in names] == [20] * 4
        assert len(pump.machine(index).view.mempool) == 0
        assert audit(pump.machine(index).view.state) == []


def test_bodies_travel_once_in_a_full_mesh() -> None:
    """A burst leaves its node in a few frames, and nobody passes it on to whom has it anyway."""
    pump = Pump().start()
    pump.run_to(2)

    pump.outcomes(0, *(a_payment("alice", "bob", 1, nonce=number) for number in range(60)))
    pump.run_to(4)

    assert pump.frames["txs"] == 3
    assert pump.frames["bodies?"] == 0


@pytest.mark.proves("E39")
def test_each_signature_of_a_shared_account_is_verified_once_by_each_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two of three sign; what a node found good at its door it does not verify again in a block."""
    verified: Counter[bytes] = Counter()

    def counted(key: PublicKey, message: bytes, signature: Signature) -> bool:
        verified[signature] += message.startswith(SIGN_TAG)
        return fake_verify(key, message, signature)

    monkeypatch.setattr("aitbc_sim.pump.fake_verify", counted)
    keys = tuple(sorted(signer_of(name).public_key for name in ("ann", "ben", "cid")))
    pump = Pump().start()
    pump.run_to(2)
    pump.outcomes(0, signed("alice", AccountPolicy(2, keys), nonce=0, signers=["alice"]))
    pump.run_to(4)

    alone = signed("alice", pay("bob", 7), nonce=1, signers=["ann"])
    both = signed("alice", pay("bob", 7), nonce=1, signers=["ann", "cid"])
    outcomes = [*pump.outcomes(1, alone), *pump.outcomes(1, both)]
    pump.run_to(6)

    assert outcomes == [Code.E_SIGNATURE, Code.OK]
    assert {owned(pump, index, "bob") for index in range(4)} == {WEALTH + 7}
    times = [count for count in verified.values() if count]
    assert times == [4, 4, 4]


def test_every_outcome_of_a_batch_comes_in_its_order() -> None:
    """Good, malformed, badly signed, repeated, used and unaffordable ones each get their code."""
    pump = Pump().start()
    good = a_payment("alice", "bob", 5, nonce=0)
    forged = bytearray(a_payment("alice", "bob", 5, nonce=1))
    forged[-1] ^= 1
    pump.run_to(2)

    codes = pump.outcomes(
        0,
        good,
        b"not a transaction",
        bytes(forged),
        good,
        a_payment("alice", "bob", 5, nonce=99),
        a_payment("nobody", "bob", 5, nonce=0),
        a_payment("bob", "alice", 5, nonce=0, valid_until=1),
    )

    assert codes == [
        Code.OK,
        Code.E_MALFORMED,
        Code.E_SIGNATURE,
        Code.E_DUPLICATE,
        Code.E_NONCE,
        Code.E_POLICY,
        Code.E_EXPIRED,
    ]
    pump.wait(50)
    assert pump.outcomes(1, good) == [Code.E_DUPLICATE]
    pump.run_to(4)
    assert pump.outcomes(0, good) == [Code.E_NONCE]


def test_an_accepted_transaction_is_journaled_before_the_reply() -> None:
    """`ok` means that a killed node still knows the transaction."""
    pump = Pump().start()
    pump.run_to(1)
    node = pump.nodes[0]

    pump.outcomes(0, a_payment("alice", "bob", 5, nonce=0))

    assert any(isinstance(effect, AppendTransactions) for effect in node.persisted)


@pytest.mark.proves("A10")
def test_what_is_not_in_a_block_in_time_expires_everywhere() -> None:
    """Behind a gap it can never be final: each node drops it, and takes it no more."""
    pump = Pump().start()
    pump.run_to(1)
    late = a_payment("alice", "bob", 5, nonce=1, valid_until=4)
    assert pump.outcomes(0, late) == [Code.OK]

    pump.run_to(4)
    pump.outcomes(0, a_payment("alice", "bob", 5, nonce=0))
    pump.run_to(6)

    assert all(len(node.expired) == 1 for node in pump.nodes)
    assert pump.outcomes(1, late) == [Code.E_EXPIRED]
    assert nonce(pump, 0, "alice") == 1


def test_the_pool_is_bounded_per_account() -> None:
    """One sender's burst ends in `account-queue-full`; another sender still gets in."""
    pump = Pump(config=MachineConfig(mempool=PoolLimits(per_account_max=5))).start()
    pump.run_to(1)

    codes = pump.outcomes(0, *(a_payment("alice", "bob", 1, nonce=n) for n in range(7)))

    assert codes == [Code.OK] * 5 + [Code.E_QUEUE_FULL] * 2
    assert pump.outcomes(0, a_payment("bob", "alice", 1, nonce=0)) == [Code.OK]


def test_clients_hand_in_so_much_a_second_for_one_account() -> None:
    """Beyond its share an account is refused by name; another one, and its own later, get in."""
    pump = Pump(config=MachineConfig(mempool=PoolLimits(account_rate=1))).start()
    pump.run_to(1)
    many = 4 * limits.ACCOUNT_BURST_S

    burst = pump.outcomes(0, *(a_payment("alice", "bob", 1, nonce=n) for n in range(many)))
    after = pump.outcomes(0, a_payment("alice", "bob", 1, nonce=many))

    assert burst == [Code.OK] * many  # begun with a full bucket
    assert after == [Code.E_RATE]
    assert pump.outcomes(0, a_payment("bob", "alice", 1, nonce=0)) == [Code.OK]
    pump.wait(many * 1_000)
    assert pump.outcomes(0, a_payment("alice", "bob", 1, nonce=many)) == [Code.OK]


def test_what_others_forge_is_not_counted_for_an_account() -> None:
    """Whoever writes another's name under false signatures does not use up its share."""
    pump = Pump(config=MachineConfig(mempool=PoolLimits(account_rate=1))).start()
    pump.run_to(1)
    for nonce in range(2 * limits.ACCOUNT_BURST_S):
        good = a_payment("alice", "bob", 1, nonce=nonce)
        forged = good[:-1] + bytes([good[-1] ^ 1])
        assert pump.outcomes(0, forged) == [Code.E_SIGNATURE]

    assert pump.outcomes(0, a_payment("alice", "bob", 1, nonce=0)) == [Code.OK]


def test_dearer_transactions_go_first_when_a_block_is_full() -> None:
    """Among equal work the higher tip is final no later."""
    names = [f"citizen{index}" for index in range(6)]
    pump = Pump(rich=names).start()
    pump.run_to(1)

    raws = [a_payment(name, "bob", 1, nonce=0, tip=tip) for tip, name in enumerate(names)]
    pump.outcomes(0, *raws)

    ranked = pump.machine(0).view.mempool.ranked(lambda _: 0)
    assert [entry.content.tx.tip for entry in ranked] == [5, 4, 3, 2, 1, 0]


def test_an_account_cannot_promise_the_same_money_twice() -> None:
    """What waits already is spent already; so nobody fills the pool with what can never pay."""
    pump = Pump().start()
    pump.run_to(2)
    everything = a_payment("alice", "sink", WEALTH - 300, nonce=0)

    codes = pump.outcomes(0, everything, a_payment("alice", "sink", 1, nonce=1))

    assert codes == [Code.OK, Code.E_INSUFFICIENT]


def test_a_pool_full_of_what_cannot_be_paid_makes_room() -> None:
    """An account that spends all after filling its queue does not keep payers out until expiry."""
    payers = ["alice", "bob", "carol", "dave", "erin"]
    pump = Pump(config=MachineConfig(mempool=PoolLimits(txs_max=7)), rich=[*payers, "eve"])
    pump.start()
    assert pump.machine(0).view.mesh.relay.txs_max == 7
    pump.run_to(2)
    rest = [a_payment("eve", "sink", 1, nonce=nonce, valid_until=20) for nonce in (1, 2, 3)]
    everything = a_payment("eve", "sink", WEALTH - 210, nonce=0)
    # The later ones first: each can be paid for while the one that empties the account is unknown.
    assert pump.outcomes(0, *rest) + pump.outcomes(0, everything) == [Code.OK] * 4
    pump.run_to(4)
    clogged = len(pump.machine(0).view.mempool)

    codes = pump.outcomes(0, *(a_payment(name, "sink", 5, nonce=0) for name in payers))

    assert clogged == 3
    assert codes == [Code.OK] * 5
    pump.run_to(22)
    assert pump.nodes[0].expired == [tx_id(raw) for raw in rest]


def test_what_expired_while_a_node_was_down_is_told_after_its_restart() -> None:
    """An accepted transaction is final or provably expired, whatever happened to its node."""
    pump = Pump().start()
    pump.run_to(2)
    stuck = a_payment("alice", "bob", 5, nonce=1, valid_until=6)
    done = a_payment("bob", "alice", 5, nonce=0, valid_until=6)
    assert pump.outcomes(3, stuck, done) == [Code.OK, Code.OK]
    pump.run_to(4)

    pump.crash(3)
    pump.run_to(8)
    pump.start(3)
    pump.settle()
    pump.wait(1_000)

    assert pump.nodes[3].expired == [tx_id(stuck)]


def test_one_validator_finalises_alone() -> None:
    """The same code with n = 1, for the single-node development mode."""
    pump = Pump((1,)).start()
    pump.run_to(1)

    assert pump.outcomes(0, a_payment("alice", "bob", 5, nonce=0)) == [Code.OK]
    pump.run_to(3)

    assert owned(pump, 0, "bob") == WEALTH + 5


@pytest.mark.proves("E9")
def test_a_follower_verifies_and_serves_but_never_votes() -> None:
    """It has every block as soon as the validators, passes transactions on, and signs nothing."""
    pump = Pump(followers=2).start()
    pump.run_to(1)

    assert pump.outcomes(5, a_payment("alice", "bob", 5, nonce=0)) == [Code.OK]
    pump.run_to(4)
    pump.settle()

    assert owned(pump, 4, "bob") == WEALTH + 5
    assert len(pump.roots()) == 1
    assert all(place[0] < 4 for place in pump.signed)
    assert pump.frames["finals?"] == 0, "it follows by votes, not by catching up"
    followers = [pump.nodes[4], pump.nodes[5]]
    assert not any(
        isinstance(effect, SaveSignState) for node in followers for effect in node.persisted
    )


@pytest.mark.parametrize("shape", ["line", "star"])
def test_a_partial_mesh_passes_votes_and_transactions_on(shape: str) -> None:
    """Validators that are not linked with each other still agree, through those between."""

    def knows(one: int, other: int) -> bool:
        return abs(one - other) == 1 if shape == "line" else 0 in (one, other)

    pump = Pump(followers=1, knows=knows).start()
    pump.run_to(2)

    assert pump.outcomes(4, a_payment("alice", "bob", 5, nonce=0)) == [Code.OK]
    pump.run_to(6)
    pump.settle()

    assert {owned(pump, index, "bob") for index in range(5)} == {WEALTH + 5}
    assert pump.notes("round.begins") == 0
    assert pump.notes("peer.fault") == 0


def test_missing_bodies_are_fetched_from_the_proposer() -> None:
    """Transaction gossip may fail altogether: a block's bodies still come, and are verified."""
    pump = Pump()
    pump.drop = lambda _from, _to, payload: b"txs" in payload[:8]
    pump.start()
    pump.run_to(1)

    pump.outcomes(0, *(a_payment("alice", "bob", 1, nonce=number) for number in range(10)))
    assert pump.run(lambda: nonce(pump, 3, "alice") == 10)

    assert pump.frames["bodies?"] > 0
    assert pump.notes("peer.fault") == 0


def test_a_bad_disk_stops_clients_and_peers_until_it_heals() -> None:
    """Nothing is taken that could not be kept; afterwards the node goes on by itself."""
    pump = Pump().start()
    pump.run_to(2)
    machine = pump.machine(0)
    machine.step(DiskFailed(wall_ms=0, reason="disk full"), now_ms=pump.now_ms)

    raws = (a_payment("alice", "bob", 5, nonce=0),)
    effects = machine.step(Submitted(wall_ms=0, request=99, raws=raws), now_ms=pump.now_ms)
    pump.wait(3_000)
    stuck = machine.view.height
    machine.step(DiskHealed(wall_ms=0), now_ms=pump.now_ms)
    pump.run_to(max(pump.heights()) + 2)

    replies = [effect for effect in effects if isinstance(effect, Reply)]
    assert [row.code for row in replies[0].outcomes] == [Code.E_UNAVAILABLE]
    assert stuck < max(pump.heights()) - 2
    pump.settle()
    assert len(pump.roots()) == 1


def test_a_wall_clock_far_from_the_others_is_noted_once() -> None:
    """Votes are still given and the chain goes on; block times follow the majority."""
    pump = Pump()
    pump.wall_skew_ms[2] = 60_000
    pump.start()

    pump.run_to(6)
    ahead_ms = pump.machine(2).view.skew_ms
    pump.wall_skew_ms[2] = 0
    pump.run_to(8)

    assert ahead_ms >= 60_000
    assert abs(pump.machine(2).view.skew_ms) <= 1_000
    assert pump.nodes[2].notes["clock.skewed"] == 1
    assert pump.nodes[2].notes["clock.agrees"] == 1
    assert pump.notes("clock.skewed") == 1
    newest = pump.machine(0).view.last_block
    assert newest is not None
    assert abs(newest[1].time_ms - START_WALL_MS - pump.now_ms) < 2_000


def test_the_same_run_gives_the_same_bytes() -> None:
    """Nothing depends on the order of a set or on the time of day."""

    def run() -> tuple[list[bytes], dict[str, int], int]:
        pump = Pump(followers=1).start()
        pump.run_to(2)
        for index in range(4):
            pump.submit(index, a_payment("alice", "bob", 1, nonce=index))
        pump.crash_at[2] = 40
        pump.run_to(12)
        ids = [pump.nodes[0].committed[height] for height in range(1, 13)]
        return [bytes(block_id) for block_id in ids], dict(pump.frames), pump.effects_done

    assert run() == run()


def test_a_view_tells_what_rpc_needs() -> None:
    """Height, round, proposer, peers and power are those of the running machine."""
    pump = Pump(powers=(4, 3, 2, 1)).start()
    pump.run_to(5)
    pump.wait(100)

    view = pump.machine(0).view

    assert view.last_block is not None
    assert view.last_block[1].height == view.height == 5
    assert view.last_voted_height == 4
    assert view.own_power + 0 in {4, 3, 2, 1}
    assert view.reachable_power == 10
    assert view.step == "idle"
    assert view.sign_state is not None
    assert view.sign_state.height == 5
    assert not view.syncing
    assert view.proposer() in {member.key for member in view.validators.members}
    assert {peer.rtt_ms for peer in view.peers()} == {10}
