"""Whole machines among peers and proposers that do not keep to the rules."""

import random
from collections.abc import Iterable

import msgspec
import pytest
from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.blocks import PRECOMMIT, block_id, ids_root, tx_id
from aitbc_node.canonical import decode, encode
from aitbc_node.consensus.messages import Proposal, Vote
from aitbc_node.events import (
    DiskFailed,
    DiskHealed,
    Effect,
    FrameReceived,
    PeerDown,
    PeerUp,
    Send,
    Submitted,
    Verify,
    WireFull,
)
from aitbc_node.gossip.links import REQUESTS_PER_TICK_MAX
from aitbc_node.gossip.messages import (
    BlockWanted,
    Bodies,
    BodiesWanted,
    FinalsWanted,
    Hello,
    Message,
    Ping,
    ProposalSent,
    Status,
    SummarySent,
    Transactions,
    VotesSent,
    decode_message,
)
from aitbc_node.gossip.standing import BAN_MS, Standing
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transactions import Envelope, Parsed, Transaction, parse, sign
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.machine import TICK_MS
from aitbc_node.types import (
    Amount,
    BlockId,
    Gas,
    Hash,
    Height,
    PeerId,
    PublicKey,
    Round,
    Signature,
    TxId,
)
from aitbc_sim.citizens import CHAIN_ID, a_payment, address, signer_of
from aitbc_sim.pump import Node, Pump

ID = BlockId(bytes(32))


def forged_payment(nonce: int = 0) -> bytes:
    """Return a transaction whose signature is false."""
    raw = bytearray(a_payment("alice", "bob", 5, nonce=nonce))
    raw[-1] ^= 1
    return bytes(raw)


def a_forged_vote(validator: int) -> Vote:
    """Return a precommit of height 3 that nobody signed."""
    return Vote(PRECOMMIT, Height(3), Round(0), ID, 5, validator, Signature(bytes(64)))


def faults_of(pump: Pump, index: int, message: Message | bytes) -> int:
    """Let a linked peer send this to a node; return how many faults the node noted."""
    before = pump.nodes[index].notes["peer.fault"]
    sender = (index + 1) % 4
    payload = message if isinstance(message, bytes) else encode(message)
    pump.inject(index, sender, payload)
    pump.wait(50)
    return pump.nodes[index].notes["peer.fault"] - before


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x00" * 100,
        Transactions((b"no transaction",)),
        Transactions((forged_payment(),)),
        VotesSent((b"no vote",)),
        SummarySent(b"no summary"),
        Hello(PublicKey(bytes(32)), Signature(bytes(64))),
        VotesSent((encode(a_forged_vote(1)),)),
        VotesSent((encode(a_forged_vote(99)),)),
    ],
    ids=[
        "nothing",
        "zeros",
        "malformed transaction",
        "forged transaction",
        "malformed vote",
        "malformed summary",
        "forged hello",
        "forged vote",
        "vote of nobody",
    ],
)
def test_what_no_honest_node_sends_costs_the_link(message: Message | bytes) -> None:
    """One note, one closed link, and the chain goes on as if nothing had been."""
    pump = Pump().start()
    pump.run_to(2)
    assert pump.run(lambda: pump.machine(0).view.step == "propose")

    assert faults_of(pump, 0, message) == 1
    pump.run_to(max(pump.heights()) + 3)
    pump.settle()
    assert len(pump.roots()) == 1


@pytest.mark.parametrize(
    "message",
    [
        Ping(1),
        Status(Height(1)),
        Bodies(ID, (b"nobody asked for this",)),
        BodiesWanted(ID, (TxId(ID),)),
        FinalsWanted(Height(5), Height(10**15)),
        FinalsWanted(Height(1), Height(10**15)),
        Transactions((a_payment("alice", "bob", 5, nonce=70),)),
        Transactions((a_payment("alice", "bob", 5, nonce=0, valid_until=1),)),
        Transactions((a_payment("nobody", "bob", 5, nonce=0),)),
    ],
)
def test_what_an_honest_node_may_send_at_a_bad_moment_costs_nothing(message: Message) -> None:
    """Late, early and useless messages are dropped without blame."""
    pump = Pump().start()
    pump.run_to(2)

    assert faults_of(pump, 0, message) == 0


def test_who_forges_a_vote_is_banned_and_still_is_after_a_restart() -> None:
    """One false signature is enough, the disk remembers, and time ends it."""
    pump = Pump(followers=1).start()
    pump.run_to(2)
    assert pump.run(lambda: pump.machine(0).view.step == "propose")
    rogue = pump.nodes[4].id
    banned_ms = pump.now_ms
    pump.inject(0, 4, encode(VotesSent((encode(a_forged_vote(1)),))))
    pump.wait(2 * TICK_MS)  # bans are stored with a tick

    pump.crash(0)
    pump.wait(5_000)
    pump.start()
    pump.wait(5_000)
    assert rogue not in pump.machine(0).view.mesh.linked()
    [(banned, left_ms)] = pump.machine(0).view.mesh.peers.standing.banned(pump.now_ms)

    assert banned == rogue
    assert left_ms == BAN_MS - (pump.now_ms - banned_ms)
    assert pump.run(lambda: rogue in pump.machine(0).view.mesh.linked(), limit_ms=2 * BAN_MS)
    assert pump.now_ms >= banned_ms + BAN_MS


def test_a_peer_that_only_asks_is_dropped() -> None:
    """Answers are much larger than questions."""
    pump = Pump().start()
    pump.run_to(3)
    peer = pump.nodes[1].id

    for _ in range(REQUESTS_PER_TICK_MAX + 1):
        pump.inject(0, 1, encode(FinalsWanted(Height(1), Height(3))))

    assert pump.nodes[0].notes["peer.fault"] == 1
    assert peer not in {view.id for view in pump.machine(0).view.peers()}


@pytest.mark.parametrize("seed", range(6))
def test_mutated_frames_of_a_live_mesh_never_stop_it(seed: int) -> None:
    """Real frames with a few bytes changed, one in ten, and the mesh still agrees."""
    draw = random.Random(seed)  # noqa: S311 - repeatable on purpose
    pump = Pump()
    mutated = 0

    def mutate(_source: int, target: int, payload: bytes) -> bytes:
        nonlocal mutated
        machine = pump.nodes[target].machine
        if machine is not None:
            machine._mesh.peers.standing = Standing()  # bans would end the test early
        if draw.random() > 0.1:
            return payload
        mutated += 1
        changed = bytearray(payload)
        for _ in range(draw.randint(1, 4)):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        return bytes(changed)

    pump.tamper = mutate
    pump.start()
    pump.run_to(2, limit_ms=60_000)
    for number in range(40):
        pump.submit(number % 4, a_payment("alice", "bob", 1, nonce=number))
        pump.wait(500)
    pump.tamper = lambda _from, _to, payload: payload
    pump.run_to(max(pump.heights()) + 3, limit_ms=60_000)
    pump.settle()

    assert mutated > 200
    assert pump.notes("peer.fault") > 100
    assert len(pump.roots()) == 1
    assert max(pump.heights()) > 5


def twisted(value: object, draw: random.Random) -> object:
    """Change one place deep inside a decoded message into something of the same kind."""
    match value:
        case list() if value and draw.random() < 0.8:
            place = draw.randrange(len(value))
            return [*value[:place], twisted(value[place], draw), *value[place + 1 :]]
        case list():
            return value[:-1] if draw.random() < 0.5 else value * 2
        case bool() | None:
            return value
        case int():
            near = min(value + 1, 2**63)
            return draw.choice([-1, 0, 1, near, 2**31, 2**63 - 1, 2**64 - 1, -(2**63)])
        case bytes():
            return draw.choice([b"", bytes(32), value[:-1], value + b"x", draw.randbytes(32)])
        case _:
            return draw.choice(["", "transfer", "é", "x" * 100])


@pytest.mark.parametrize("seed", range(3))
def test_twisted_messages_of_every_kind_raise_nothing(seed: int) -> None:
    """Well-formed frames with strange values: at most a fault each, and the node still works."""
    draw = random.Random(seed)  # noqa: S311 - repeatable on purpose
    frames: dict[str, list[bytes]] = {}
    pump = Pump(followers=1)

    def collect(_source: int, _target: int, payload: bytes) -> bytes:
        frames.setdefault(type(decode_message(payload)).__name__, []).append(payload)
        return payload

    pump.tamper = collect
    pump.drop = lambda _from, to, payload: to == 3 and b"txs" in payload[:8]
    pump.start(0, 1, 2, 3)
    for number in range(10):
        pump.run_to(number + 2, limit_ms=60_000)
        pump.submit(0, a_payment("alice", "bob", 1, nonce=number))
    pump.start(4)
    pump.run_to(14, limit_ms=60_000)
    pump.tamper = lambda _from, _to, payload: payload
    faults: list[str] = []

    def note(peer: PeerId, what: str, *, is_forgery: bool = False) -> None:
        faults.append(f"{peer.hex()} {what} {is_forgery}")

    pump.machine(1)._mesh.fault = note  # type: ignore[method-assign]

    for _ in range(3_000):
        kind = draw.choice(sorted(frames))
        message = msgspec.msgpack.decode(draw.choice(frames[kind]))
        for _ in range(draw.randint(1, 2)):
            message = twisted(message, draw)
        pump.inject(1, draw.choice([0, 2, 3]), msgspec.msgpack.encode(message))
        if draw.random() < 0.1:
            pump.wait(20)
    pump.run_to(max(pump.heights()) + 3, limit_ms=60_000)
    pump.settle()

    assert {"Finals", "ProposalSent", "VotesSent", "Transactions", "BodiesWanted"} <= set(frames)
    assert len(faults) > 500
    assert len(pump.roots()) == 1


class Liar:
    """Change the proposals of one validator and sign them again with its key."""

    def __init__(self, pump: Pump, index: int) -> None:
        self.pump = pump
        self.index = index
        self.lies = 0
        pump.tamper = self.tamper

    def change(self, message: ProposalSent, target: int) -> ProposalSent | None:
        """Return another proposal, or None to leave it."""
        raise NotImplementedError

    def tamper(self, source: int, target: int, payload: bytes) -> bytes:
        """Replace the liar's own proposals."""
        if source != self.index:
            return payload
        message = decode_message(payload)
        if not isinstance(message, ProposalSent):
            return payload
        changed = self.change(message, target)
        if changed is None:
            return payload
        self.lies += 1
        return encode(changed)

    def signed(self, message: ProposalSent, state_root: Hash) -> ProposalSent:
        """Propose the same block with another state root."""
        header = replace(message.proposed.header, state_root=state_root)
        proposal = replace(decode(message.proposal, Proposal), block_id=block_id(header))
        signer = signer_of(f"v{self.index} votes")
        signature = signer.sign(proposal.sign_bytes(CHAIN_ID))
        proposed = replace(message.proposed, header=header)
        return ProposalSent(encode(replace(proposal, signature=signature)), proposed)


def test_a_block_with_a_wrong_state_root_is_voted_down() -> None:
    """The others prevote nil, the next proposer's block is final, and no peer is blamed."""

    class WrongRoot(Liar):
        def change(self, message: ProposalSent, target: int) -> ProposalSent:
            del target
            return self.signed(message, Hash(bytes(32)))

    pump = Pump().start()
    pump.run_to(2)
    liar = WrongRoot(pump, 1)
    pump.run_to(9, limit_ms=60_000)
    pump.settle()

    assert liar.lies > 0
    assert pump.notes("block.invalid") >= 3
    assert pump.notes("round.begins") > 0
    assert pump.notes("peer.fault") == 0
    assert len(pump.roots()) == 1


def test_a_proposer_that_tells_two_stories_makes_no_fork() -> None:
    """Half gets one block, half another, both signed: no two blocks are final at any height."""

    class TwoStories(Liar):
        def change(self, message: ProposalSent, target: int) -> ProposalSent | None:
            return self.signed(message, Hash(bytes(32))) if target % 2 else None

    pump = Pump().start()
    pump.run_to(2)
    liar = TwoStories(pump, 2)
    pump.run_to(10, limit_ms=60_000)
    pump.settle()

    assert liar.lies > 0
    assert all(len(ids) == 1 for ids in pump.blocks.values())
    assert len(pump.roots()) == 1


def test_a_block_with_a_forged_transaction_is_voted_down() -> None:
    """Its body comes only inside the block, is verified there, and the block is bad."""
    pump = Pump().start()
    pump.run_to(2)
    forged = parse(forged_payment())
    assert isinstance(forged, Parsed)
    liar = pump.machine(3)
    liar._pool.add(liar._intake._entry(forged), next_nonce=0)

    pump.run_to(10, limit_ms=60_000)
    pump.settle()

    assert pump.notes("block.invalid") >= 3
    assert pump.frames["bodies?"] > 0
    assert len(pump.roots()) == 1
    account = pump.machine(0).view.state.account(forged.tx.sender)
    assert account is not None
    assert account.nonce == 0


def test_a_header_that_does_not_belong_to_its_proposal_is_a_fault() -> None:
    """Neither a foreign block nor mixed-up ids reach the consensus."""
    pump = Pump().start()
    seen: list[ProposalSent] = []

    def collect(_source: int, _target: int, payload: bytes) -> bytes:
        message = decode_message(payload)
        if isinstance(message, ProposalSent):
            seen.append(message)
        return payload

    pump.tamper = collect
    pump.run_to(3)
    proposal = replace(decode(seen[-1].proposal, Proposal), height=Height(4))
    foreign = replace(proposal, block_id=ID)
    mixed = replace(seen[-1].proposed, tx_ids=(TxId(ID),))

    assert faults_of(pump, 0, ProposalSent(encode(foreign), seen[-1].proposed)) == 1
    assert faults_of(pump, 1, ProposalSent(encode(proposal), mixed)) == 1


def test_a_flood_of_transactions_leaves_no_more_than_the_bounds_allow() -> None:
    """Memory stays bounded whatever a peer sends; the flood's rest is dropped, not faulted."""
    names = [f"citizen{index}" for index in range(200)]
    pump = Pump(rich=names)
    pump.start()
    pump.run_to(2)
    raws = [a_payment(name, "bob", 1, nonce=nonce) for name in names for nonce in range(70)]
    for start in range(0, len(raws), limits.TX_BATCH_COUNT_MAX):
        batch = tuple(raws[start : start + limits.TX_BATCH_COUNT_MAX])
        pump.inject(0, 1, encode(Transactions(batch)))
    pump.wait(100)

    assert len(pump.machine(0).view.mempool) <= limits.MEMPOOL_TXS_MAX
    assert pump.notes("peer.fault") == 0
    pump.run_to(max(pump.heights()) + 4, limit_ms=60_000)
    pump.settle()
    assert len(pump.roots()) == 1


def sent_bytes(effects: Iterable[Effect]) -> int:
    """Sum what some effects send."""
    return sum(len(effect.payload) for effect in effects if isinstance(effect, Send))


def feed(pump: Pump, index: int, sender: PeerId, message: Message) -> list[Effect]:
    """Let a peer say something to a node; return what the node would do, without doing it."""
    frame = FrameReceived(wall_ms=0, peer=sender, payload=encode(message))
    return pump.machine(index).step(frame, now_ms=pump.now_ms)


def a_large_payment(name: str, nonce: int) -> bytes:
    """Sign a payment to two hundred, about 7 KB."""
    outs = tuple(Output(address(f"to {index}"), NATIVE, Amount(1)) for index in range(200))
    envelope = decode(a_payment(name, "bob", 1, nonce=nonce), Envelope)
    tx = decode(envelope.body, Transaction)
    gas = Gas(5_000_000)
    return sign(replace(tx, gas_limit=gas, bodies=(Transfer(outs),)), [signer_of(name)])


def test_asking_for_one_body_ten_thousand_times_gives_it_once() -> None:
    """An answer fits a frame whatever the question repeats."""
    pump = Pump().start()
    pump.run_to(2)
    raw = a_large_payment("alice", 0)
    assert pump.outcomes(0, raw) == ["ok"]

    effects = feed(pump, 0, pump.nodes[1].id, BodiesWanted(ID, (tx_id(raw),) * 10_000))

    assert len(raw) < sent_bytes(effects) < 2 * len(raw)


def test_one_peer_gets_a_bounded_number_of_bytes_per_tick() -> None:
    """Asking for a whole block two hundred times gives little more than one block's bound."""
    names = [f"citizen{index}" for index in range(40)]
    pump = Pump(rich=names).start()
    pump.run_to(2)
    pump.outcomes(0, *(a_large_payment(name, 0) for name in names))
    assert pump.run(lambda: _tip_count(pump) > 0)
    tip = pump.machine(0).view.last_block
    assert tip is not None

    peer = pump.nodes[1].id
    total = sum(sent_bytes(feed(pump, 0, peer, BlockWanted(tip[0]))) for _ in range(200))

    assert 1_000_000 < total < 2 * limits.BLOCK_BYTES_MAX


def _tip_count(pump: Pump) -> int:
    tip = pump.machine(0).view.last_block
    return 0 if tip is None else tip[1].tx_count


def test_a_replayed_transaction_in_a_block_and_in_gossip_stops_nobody() -> None:
    """What came inside a block only was never admitted; gossip of it must not skip that."""
    pump = Pump().start()
    pump.run_to(2)
    old = a_payment("alice", "bob", 1, nonce=0)
    assert pump.outcomes(0, old) == ["ok"]
    pump.run_to(4)

    class Replay(Liar):
        def change(self, message: ProposalSent, target: int) -> ProposalSent:
            header = replace(message.proposed.header, tx_root=ids_root([tx_id(old)]), tx_count=1)
            proposal = replace(decode(message.proposal, Proposal), block_id=block_id(header))
            signature = signer_of("v1 votes").sign(proposal.sign_bytes(CHAIN_ID))
            bodies = Bodies(block_id(header), (old,))
            for extra in (bodies, Transactions((old,))):
                node = pump.nodes[target]
                frame = FrameReceived(wall_ms=0, peer=pump.nodes[1].id, payload=encode(extra))
                pump._later(node, 6, frame)
            proposed = replace(message.proposed, header=header, tx_ids=(tx_id(old),))
            return ProposalSent(encode(replace(proposal, signature=signature)), proposed)

    liar = Replay(pump, 1)
    pump.run_to(10, limit_ms=60_000)
    pump.settle()

    assert liar.lies > 0
    assert pump.notes("block.invalid") > 0
    assert len(pump.roots()) == 1


def test_a_frame_of_forged_votes_costs_one_check_and_one_note() -> None:
    """The first one closes the link; the rest of the frame is not looked at."""
    pump = Pump().start()
    pump.run_to(2)
    assert pump.run(lambda: pump.machine(0).view.step == "propose")

    votes = tuple(encode(replace(a_forged_vote(1), round=Round(row))) for row in range(800))
    pump.inject(0, 1, encode(VotesSent(votes)))

    assert pump.nodes[0].notes["peer.fault"] == 1


@pytest.mark.parametrize("count", [12])
def test_boasters_neither_stop_voting_nor_catching_up(count: int) -> None:
    """Strangers claim a great height and never answer: blocks go on, and a newcomer gets them."""
    pump = Pump(followers=1).start(0, 1, 2, 3)
    pump.run_to(10)
    pump.start(4)
    strangers = [PeerId(bytes([200, number]) * 10) for number in range(count)]
    send = pump._send
    known = set(pump._by_id)
    pump._by_id.update(dict.fromkeys(strangers, pump.nodes[0]))
    pump._send = lambda source, target, payload: (  # type: ignore[method-assign]
        send(source, target, payload) if source is not target and target.id in known else None
    )

    def boast() -> None:
        for node in pump.nodes:
            for peer in strangers:
                up = PeerUp(wall_ms=0, peer=peer, outbound=False, address="there:1", version="1")
                if not pump.machine(node.index)._mesh.peers.is_linked(peer):
                    pump._deliver(node, up)
                for message in (Status(Height(10**12)), Ping(1)):
                    frame = FrameReceived(wall_ms=0, peer=peer, payload=encode(message))
                    pump._deliver(node, frame)

    begin = max(pump.heights())
    for _ in range(60):
        boast()
        pump.wait(500)

    assert min(pump.heights()) - begin > 45


def test_a_full_wire_counts_for_its_own_link() -> None:
    """The machine notes when it was; one to somebody who has just left is no news."""
    pump = Pump().start()
    pump.run_to(2)
    speeds = pump.machine(0)._mesh.peers.speeds

    for peer in (pump.nodes[1].id, PeerId(b"?" * 20)):
        pump._deliver(pump.nodes[0], WireFull(wall_ms=0, peer=peer))

    full = {peer: link.full_ms is not None for peer, link in speeds._links.items()}
    assert full == {node.id: node is pump.nodes[1] for node in pump.nodes[1:]}


def test_a_full_disk_is_not_fed_with_greetings() -> None:
    """Effects behind a failed write pile up in memory: a peer that reconnects adds no frames."""
    pump = Pump().start()
    pump.run_to(2)
    pump.outcomes(0, *(a_payment("alice", "bob", 1, nonce=number) for number in range(30)))
    machine, peer = pump.machine(0), pump.nodes[1].id
    machine.step(DiskFailed(wall_ms=0, reason="full"), now_ms=pump.now_ms)

    total = 0
    for _ in range(100):
        down = PeerDown(wall_ms=0, peer=peer, reason="gone", was_up=True)
        up = PeerUp(wall_ms=0, peer=peer, outbound=False, address="there:1", version="1")
        total += sent_bytes(machine.step(down, now_ms=pump.now_ms))
        total += sent_bytes(machine.step(up, now_ms=pump.now_ms))
    healed = machine.step(DiskHealed(wall_ms=0), now_ms=pump.now_ms)

    assert total == 0
    greeted = {p for effect in healed if isinstance(effect, Send) for p in effect.peers}
    assert greeted == set(machine._mesh.linked())
    assert len(greeted) == 3


def test_one_account_cannot_occupy_the_verifier() -> None:
    """As many of an account's transactions are verified at a time as may wait for it."""
    pump = Pump().start()
    pump.run_to(2)
    machine = pump.machine(0)
    checks = 0
    for request in range(20):
        raws = []
        for number in range(100):
            raw = bytearray(a_payment("alice", "bob", 1 + request * 100 + number, nonce=0))
            raw[-1] ^= 1
            raws.append(bytes(raw))
        submitted = Submitted(wall_ms=0, request=1_000 + request, raws=tuple(raws))
        effects = machine.step(submitted, now_ms=pump.now_ms)
        checks += sum(len(effect.checks) for effect in effects if isinstance(effect, Verify))

    assert checks <= limits.MEMPOOL_PER_ACCOUNT_MAX


def test_bodies_of_a_block_are_verified_before_what_clients_send() -> None:
    """Everybody's vote waits for them."""
    pump = Pump()
    pump.drop = lambda _from, _to, payload: b"txs" in payload[:8]
    seen: list[bool] = []
    carry_out = pump._carry_out_one

    def watch(node: Node, effect: Effect) -> None:
        if isinstance(effect, Verify):
            seen.append(effect.urgent)
        carry_out(node, effect)

    pump._carry_out_one = watch  # type: ignore[method-assign]
    pump.start()
    pump.run_to(2)
    pump.outcomes(0, a_payment("alice", "bob", 1, nonce=0))
    pump.run_to(6)

    assert seen == [False, True, True, True]
