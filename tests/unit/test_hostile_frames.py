"""A linked validator that says anything at all: the node neither raises, nor bloats, nor stops.

Every frame carries a valid tag and comes over a proved link; fields are drawn from what is true at
the moment, what was true once, and nonsense. `test_machine_hostile.py` breaks frames that honest
machines sent; here frames are made up, signed where a faulty validator could sign them.
"""

import functools
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.blocks import (
    NO_BLOCK,
    PRECOMMIT,
    PREVOTE,
    Block,
    Certificate,
    CommitVote,
    FinalBlock,
    block_id,
    ids_root,
    tx_id,
)
from aitbc_node.canonical import encode
from aitbc_node.chain import Candidate
from aitbc_node.codes import Refusal
from aitbc_node.consensus.messages import Proposal, RoundSummary, Vote
from aitbc_node.events import Effect, FrameReceived, PeerUp, Send, SetTimer
from aitbc_node.gossip.messages import (
    BlockFound,
    BlockWanted,
    Bodies,
    BodiesWanted,
    Finals,
    FinalsWanted,
    Hello,
    Message,
    Neighbours,
    Ping,
    Pong,
    ProposalSent,
    Status,
    SummarySent,
    Transactions,
    VotesSent,
    hello_sign_bytes,
)
from aitbc_node.gossip.standing import Standing
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transactions import Parsed, Transaction, parse, sign
from aitbc_node.ledger.transfers import Output, Transfer
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
from aitbc_sim.pump import Pump

VICTIM, ATTACKER = 0, 3
EDGES = (-(2**63), -1, 0, 1, 2, 3, 7, 2**31, 2**63 - 1, 2**63, 2**64 - 1)
NOTHING = Hash(bytes(32))
STORIES = 15

SLOW = HealthCheck.too_slow, HealthCheck.data_too_large
# Without shrinking: an attack is short as it is, and a failure must not take minutes to show.
PHASES = Phase.explicit, Phase.reuse, Phase.generate


def a_large_payment(nonce: int) -> bytes:
    """Sign a transfer to so many that a few hundred copies of it would burst a frame."""
    outs = tuple(Output(address(f"x{n}"), NATIVE, Amount(1)) for n in range(limits.TX_OUTPUTS_MAX))
    tx = Transaction(
        chain_id=CHAIN_ID,
        sender=address("carol"),
        nonce=nonce,
        valid_until=Height(1_000),
        gas_limit=Gas(5_000_000),
        max_gas_price=10**9,
        tip=Amount(0),
        policy=None,
        bundle=False,
        bodies=(Transfer(outs),),
    )
    return sign(tx, [signer_of("carol")])


def trusting(payload: bytes) -> None:
    """Watch nobody's votes: the attacker contradicts itself."""
    del payload


class Attack:
    """Hold a mesh whose fourth validator has come under foreign control."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.pump = Pump(rich=("alice", "bob", "carol"))
        self.used = a_payment("alice", "bob", 1, nonce=0)
        self.large = a_large_payment(5)  # behind a gap, so that it waits for ever
        self.raws = (
            self.used,
            self.large,
            a_payment("alice", "bob", 1, nonce=1),
            a_payment("alice", "bob", 2, nonce=1),
            a_payment("alice", "bob", 1, nonce=60),
            a_payment("bob", "alice", 10**12, nonce=0),
            a_payment("bob", "alice", 1, nonce=0, valid_until=1),
            a_payment("nobody", "bob", 1, nonce=0),
            a_payment("alice", "bob", 1, nonce=1)[:-1] + b"\0",
            b"\x92\xc4\x00\x90",
        )
        self.pump.start()
        self.pump.run_to(1)
        self.pump.submit(VICTIM, self.used)
        self.pump.run_to(max(self.pump.heights()) + 2)
        self.pump.submit(VICTIM, self.large)
        # The attacker's own machine goes on voting: one that lies half of the time is the worst.
        self.pump._watch = trusting  # type: ignore[method-assign]  # one instance only
        self.made: list[Candidate] = []

    # Ingredients.

    def draw(self, strategy: st.SearchStrategy[Any]) -> Any:
        """Draw one value."""
        return self.data.draw(strategy)

    def pick(self, *choices: Any) -> Any:
        """Choose one of some values."""
        return self.draw(st.sampled_from(choices))

    @property
    def height(self) -> int:
        """Return the height that the victim works on."""
        return self.pump.machine(VICTIM).view.height + 1

    def is_odd(self) -> bool:
        """Decide whether the next value is nonsense: seldom, or no frame gets anywhere."""
        return bool(self.draw(st.integers(0, 11)) == 11)

    def number(self, *likely: int) -> int:
        """Choose a likely number, or one on the edge of what an integer can be."""
        return int(self.pick(*EDGES) if self.is_odd() else self.pick(*likely))

    @property
    def now(self) -> Round:
        """Return the round that the victim is in."""
        return self.pump.machine(VICTIM).view.round

    def a_height(self) -> Height:
        """Choose a height, mostly the current one."""
        here = self.height
        return Height(self.number(here, here, here, here, here, here - 1, here + 1))

    def a_round(self) -> Round:
        """Choose a round, mostly an early one."""
        return Round(self.number(self.now, self.now, self.now, self.now + 1, 0, 2, -1))

    def an_id(self) -> BlockId:
        """Name a block: one made up here, the tip, nil, or nothing that exists."""
        tip = self.pump.machine(VICTIM).view.last_block
        assert tip is not None, "a few blocks are final"
        names = [made.id for made in self.made]
        return BlockId(self.pick(*names, *names, tip[0], NO_BLOCK, NOTHING, b"x" * 31))

    def some_raws(self) -> tuple[bytes, ...]:
        """Choose some transactions."""
        return tuple(self.draw(st.lists(st.sampled_from(self.raws), max_size=4)))

    def signed(self, message: bytes) -> Signature:
        """Sign with the attacker's key, or not at all."""
        if not self.is_odd():
            return signer_of(f"v{ATTACKER} votes").sign(message)
        return Signature(self.pick(bytes(64), b"", b"s" * 65))

    def place(self, validator: int) -> int:
        """Return where a validator stands in the set: behind its end once its lies put it out."""
        validators = self.pump.machine(VICTIM).view.validators
        index = validators.index_of(signer_of(f"v{validator} votes").public_key)
        return len(validators.members) if index is None else index

    def a_proposer(self) -> PublicKey:
        """Return whose block it is: the attacker's, or a borrowed name once its lies put it out."""
        own = signer_of(f"v{ATTACKER} votes").public_key
        validators = self.pump.machine(VICTIM).view.validators
        return own if validators.index_of(own) is not None else validators.members[0].key

    def a_candidate(self) -> Candidate:
        """Make a block as an honest proposer would, then change some of it."""
        chain = self.pump.machine(VICTIM)._chain
        parsed = [tx for raw in self.some_raws() if isinstance(tx := parse(raw), Parsed)]
        good = chain.build(iter(parsed), proposer=self.a_proposer())
        raws = self.pick(good.block.txs, self.some_raws())
        header = replace(
            good.block.header,
            tx_root=ids_root([tx_id(raw) for raw in raws]),
            tx_count=len(raws),
            **self.pick(*[{}] * 4, {"state_root": NOTHING}, {"proposer": PublicKey(b"")}),
            **self.pick(
                *[{}] * 6, {"time_ms": 2**64 - 1}, {"version": -1}, {"parent_id": NO_BLOCK}
            ),
            **self.pick(*[{}] * 6, {"height": self.a_height()}, {"app_version": 2**63}),
        )
        made = msgspec.structs.replace(
            good, id=block_id(header), block=replace(good.block, header=header, txs=raws)
        )
        self.made.append(made)
        return made

    def a_certificate(self, of: BlockId) -> Certificate:
        """Claim that a block is final, with the votes that a single traitor can give."""
        height, round_ = self.a_height(), self.a_round()
        vote = Vote(PRECOMMIT, height, round_, of, self.number(1), 0, Signature(b""))
        rows = [
            CommitVote(self.number(0, 1, 2, 3), vote.time_ms, self.a_vote_signature(vote))
            for _ in range(self.pick(0, 1, 3, 4))
        ]
        return Certificate(height, round_, of, tuple(rows))

    def a_vote_signature(self, vote: Vote) -> Signature:
        """Sign a vote as the attacker may."""
        return self.signed(vote.sign_bytes(CHAIN_ID))

    # Messages.

    def votes(self) -> Message:
        """Vote for anything anywhere."""
        rows = []
        for _ in range(self.pick(1, 1, 2, 5)):
            vote = Vote(
                self.pick(PREVOTE, PRECOMMIT, PRECOMMIT, 0, 3),
                self.a_height(),
                self.a_round(),
                self.an_id(),
                self.number(0, 0, 1),
                self.pick(self.place(ATTACKER), self.place(ATTACKER), 0, 99, -1),
                Signature(b""),
            )
            rows.append(encode(replace(vote, signature=self.a_vote_signature(vote))))
        return VotesSent(tuple(rows))

    def proposal(self) -> Message:
        """Propose a made-up block, signed with the own key.

        An attacker has no other: whoever met a proposal of its key that it never signed would
        rightly stop voting, as another node runs with its key.
        """
        made = self.a_candidate()
        round_ = self.a_round()
        unsigned = Proposal(
            self.a_height(),
            round_,
            Round(self.number(-1, -1, -1, max(round_ - 1, EDGES[0]), round_)),
            self.an_id() if self.is_odd() else made.id,
            Signature(b""),
        )
        signature = self.signed(unsigned.sign_bytes(CHAIN_ID))
        proposed = replace(made.proposed(), tx_ids=tuple(tx_id(raw) for raw in made.block.txs))
        proposed = self.pick(
            *[proposed] * 8,
            replace(proposed, tx_ids=(TxId(NOTHING),)),
            replace(proposed, evidence=(b"",)),
            replace(proposed, last_commit=self.a_certificate(made.id)),
        )
        return ProposalSent(encode(replace(unsigned, signature=signature)), proposed)

    def summary(self) -> Message:
        """Claim to hold anything."""
        rows = [(self.a_round(), self.pick(b"", b"\x0f", b"\xff" * 13)) for _ in range(2)]
        summary = RoundSummary(
            self.a_height(),
            self.a_round(),
            self.number(1, 2, 3),
            (self.a_round(),),
            tuple(rows),
            tuple(rows),
            self.a_round(),
            self.a_round(),
        )
        return SummarySent(encode(summary))

    def block(self) -> Block:
        """Return a made-up block whole."""
        made = self.pick(*self.made) if self.made else self.a_candidate()
        block: Block = made.block
        return self.pick(  # type: ignore[no-any-return]  # all are blocks
            block,
            block,
            replace(block, txs=self.some_raws()),
            replace(block, last_commit=self.a_certificate(made.id)),
            replace(block, evidence=(b"evidence",)),
        )

    def finals(self) -> Message:
        """Hand in blocks as final: true ones of the past, or made-up ones."""
        store = self.pump.nodes[1].store
        assert store is not None, "an honest node runs"
        past = store.read_blocks(Height(1), Height(3))
        block = self.block()
        forged = FinalBlock(block, self.a_certificate(block_id(block.header)))
        return Finals(self.pick(past, (forged,), (*past, forged), past[::-1], ()))

    def wish(self) -> Message:
        """Ask for something."""
        one = tx_id(self.pick(*self.raws))
        wanted = BlockId(self.pick(*[made.id for made in self.made], NOTHING))
        return self.pick(  # type: ignore[no-any-return]  # all are messages
            BodiesWanted(wanted, (one,)),
            BodiesWanted(wanted, (one,) * limits.BLOCK_TXS_MAX),
            BlockWanted(wanted),
            FinalsWanted(Height(1), Height(2**63 - 1)),
            FinalsWanted(Height(2**63 - 1), Height(2**63 - 1)),
        )

    def bodies(self) -> Message:
        """Send transactions, for a block or just so."""
        wanted = BlockId(self.pick(*[made.id for made in self.made[-2:]], NOTHING))
        return self.pick(  # type: ignore[no-any-return]  # both are messages
            Bodies(wanted, self.some_raws()), Transactions(self.some_raws())
        )

    def small_talk(self) -> Message:
        """Send what is not about blocks."""
        own = self.pump.nodes[ATTACKER].id
        key = signer_of(f"v{ATTACKER} votes").public_key
        proof = self.signed(hello_sign_bytes(CHAIN_ID, own))
        return self.pick(  # type: ignore[no-any-return]  # all are messages
            Ping(2**63 - 1),
            Pong(0),
            Status(Height(self.pick(0, self.height, 2**63 - 1))),
            Neighbours((own, PeerId(b"p" * 20), self.pump.nodes[VICTIM].id)),
            Hello(key, Signature(proof.ljust(64, b"\0")[:64])),
        )

    def story(self) -> tuple[Message, ...]:
        """Make up a proposal with all that belongs to it, or one message."""
        if self.draw(st.integers(0, 2)) == 0:
            proposal = self.proposal()
            raws = self.made[-1].block.txs
            bodies = (Bodies(self.made[-1].id, raws), Transactions(raws))
            return (proposal, *self.pick(bodies, bodies[::-1], bodies[:1], (bodies[0],) * 2))
        kinds = (
            self.votes,
            self.bodies,
            self.summary,
            self.finals,
            self.wish,
            self.wish,
            self.small_talk,
            lambda: BlockFound(self.block()),
        )
        return (self.pick(*kinds)(),)

    # What happens to the victim.

    def send(self, payload: bytes) -> None:
        """Have the victim take a frame, over a new link if it has closed the last one."""
        node = self.pump.nodes[VICTIM]
        attacker = self.pump.nodes[ATTACKER].id
        machine = self.pump.machine(VICTIM)
        if not machine.view.mesh.peers.is_linked(attacker):
            machine.view.mesh.peers.standing = Standing()  # bans would end the attack early
            event = PeerUp(wall_ms=0, peer=attacker, outbound=False, address="x:1", version="")
            self.pump._deliver(node, event)
        frame = FrameReceived(wall_ms=0, peer=attacker, payload=payload)
        effects = machine.step(frame, now_ms=self.pump.now_ms)
        self.check(effects)
        self.pump._carry_out(node, effects)

    def check(self, effects: list[Effect]) -> None:
        """Nothing that one frame sets in motion is out of proportion, or cannot be sent."""
        sizes = [len(effect.payload) for effect in effects if isinstance(effect, Send)]
        assert max(sizes, default=0) <= limits.FRAME_BYTES_MAX
        assert sum(sizes) <= 2 * limits.FRAME_BYTES_MAX
        assert len(effects) < 200
        delays = [effect.delay_ms for effect in effects if isinstance(effect, SetTimer)]
        assert all(0 <= delay_ms <= 60_000 for delay_ms in delays)


@settings(max_examples=25, deadline=None, suppress_health_check=SLOW, phases=PHASES)
@given(st.data())
def test_whatever_a_validator_sends_the_others_go_on(data: st.DataObject) -> None:
    """No frame raises or bursts anything, and the three honest validators still make blocks."""
    attack = Attack(data)
    for _ in range(STORIES):
        for message in attack.story():
            attack.send(encode(message))
            attack.pump.wait(data.draw(st.sampled_from((0, 0, 1, 5))))
        attack.pump.wait(data.draw(st.sampled_from((0, 5, 40, 300, 1_200))))

    honest = [attack.pump.nodes[index] for index in range(3)]
    goal = max(attack.pump.heights()) + 2
    reached = attack.pump.run(
        lambda: all(n.machine is not None and n.machine.view.height >= goal for n in honest),
        limit_ms=90_000,
    )

    assert reached
    assert all(len(ids) == 1 for ids in attack.pump.blocks.values())


def nonsense(depth: int = 0) -> st.SearchStrategy[Any]:
    """Be any value that msgpack can hold, nested a little."""
    flat = (
        st.none()
        | st.booleans()
        | st.sampled_from(EDGES)
        | st.floats()
        | st.text(max_size=8)
        | st.binary(max_size=70)
        | st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary(max_size=13))
        | st.dictionaries(st.integers(0, 3) | st.text(max_size=2), st.none(), max_size=2)
    )
    return flat if depth == 2 else flat | st.lists(nonsense(depth + 1), max_size=4)


@st.composite
def twisted(draw: st.DrawFn, value: Any) -> Any:
    """Change one place deep inside a plain value."""
    if not isinstance(value, list) or not value or draw(st.integers(0, 4)) == 0:
        return draw(nonsense())
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from((value[:-1], [*value, None], value * 2)))
    place = draw(st.integers(0, len(value) - 1))
    return [*value[:place], draw(twisted(value[place])), *value[place + 1 :]]


@st.composite
def hostile_raws(draw: st.DrawFn) -> bytes:
    """Take a good transaction, and damage its body, its envelope, or single bytes."""
    envelope = msgspec.msgpack.decode(a_payment("alice", "bob", 5, nonce=draw(st.integers(0, 2))))
    body = msgspec.msgpack.decode(envelope[0])
    for _ in range(draw(st.integers(0, 2))):
        body = draw(twisted(body))
    whole = [msgspec.msgpack.encode(body), envelope[1]]
    if draw(st.integers(0, 3)) == 0:
        whole = draw(twisted(whole))
    raw = bytearray(msgspec.msgpack.encode(whole))
    if draw(st.integers(0, 5)) == 0:
        raw[draw(st.integers(0, len(raw) - 1))] ^= draw(st.integers(1, 255))
    return bytes(raw)


@functools.cache
def a_calm_mesh() -> Pump:
    """Return one mesh for all examples: what a client hands in is judged by itself."""
    pump = Pump(rich=("alice", "bob")).start()
    pump.run_to(2)
    return pump


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(st.lists(hostile_raws() | st.binary(max_size=80), min_size=1, max_size=8))
def test_whatever_a_client_hands_in_gets_an_outcome(raws: list[bytes]) -> None:
    """Each is parsed or refused with printable words, and every one of a request is answered."""
    for raw in raws:
        read = parse(raw)
        if isinstance(read, Refusal):
            assert f"{read.code} {read.field} {read.message}".encode()

    codes = a_calm_mesh().outcomes(VICTIM, *raws)

    assert len(codes) == len(raws)
