"""What do bare consensus cores do together when links lose and nodes crash?

No ledger, gossip or log: quick enough for hundreds of crash points in a unit test. The whole node
is simulated by `world.py`; do not add parts of it here.
"""

import heapq
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aitbc_node.blocks import Certificate
from aitbc_node.consensus.inputs import (
    BuildValue,
    CastVote,
    ConsensusEffect,
    ConsensusEvent,
    Decided,
    PeerLinked,
    ProposalReceived,
    Propose,
    Retransmit,
    ScheduleTimeout,
    Summarise,
    SummaryReceived,
    Tick,
    TimeoutFired,
    ValueBuilt,
    ValueChecked,
    VoteReceived,
    WantValue,
)
from aitbc_node.consensus.messages import Proposal, Vote
from aitbc_node.consensus.replica import Consensus
from aitbc_node.consensus.timeouts import Timeouts
from aitbc_node.events import SaveSignState, SignState
from aitbc_node.types import BlockId, Height, PeerId, Round
from aitbc_node.validators import ValidatorSet
from aitbc_sim.testing import CHAIN_ID, FakeSigner, a_key, a_set, a_value, fake_verify


@dataclass(slots=True)
class CoreNode:
    """Hold one bare core, and what of it survives a crash."""

    index: int
    core: Consensus | None = None
    life: int = 0
    sign_state: SignState | None = None
    chain: list[Certificate] = field(default_factory=list)


class CoreMesh:
    """Run bare cores over links that lose and delay, with crashes between any two effects."""

    def __init__(
        self,
        powers: Sequence[int],
        *,
        seed: int,
        loss: float = 0.0,
        down: Sequence[int] = (),
        timeouts: Timeouts | None = None,
        core_kind: type[Consensus] = Consensus,
    ) -> None:
        self._sets = [a_set(powers)]
        self.random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.loss = loss
        self.now_ms = 0
        self.nodes = [CoreNode(index) for index in range(len(powers))]
        self.signed: dict[tuple[int, int, int, int], set[BlockId]] = defaultdict(set)
        """Every id that a validator signed, by (validator, height, round, kind)."""
        self.blocks: dict[int, set[BlockId]] = defaultdict(set)
        """Every id that was decided, by height."""
        self.rounds: dict[int, int] = {}
        self.effects_done = 0
        self.crash_after: set[int] = set()
        """Counts of carried-out effects after which the node at work crashes."""
        self._timeouts = timeouts or Timeouts()
        self._core_kind = core_kind
        self._queue: list[tuple[int, int, int, int, object]] = []
        self._order = 0
        for node in self.nodes:
            if node.index not in down:
                self.start(node)

    def validators(self, height: int) -> ValidatorSet:
        """Return who votes at a height; the turns go round."""
        while len(self._sets) < height:
            self._sets.append(self._sets[-1].rotated())
        return self._sets[height - 1]

    def proposer(self, height: Height, round_: Round) -> int:
        """Return the place of a round's proposer."""
        members = self.validators(height)
        return members.members.index(members.proposer(round_))

    @property
    def lowest(self) -> int:
        """Return the lowest height that any running node has decided."""
        return min((len(node.chain) for node in self.nodes if node.core is not None), default=0)

    def run(self, until: Callable[[], bool], *, limit_ms: int) -> bool:
        """Let time pass until something holds; tell whether it did within the limit."""
        end_ms = self.now_ms + limit_ms
        while not until():
            if not self._queue or self._queue[0][0] > end_ms:
                return False
            self.now_ms, _, index, life, event = heapq.heappop(self._queue)
            node = self.nodes[index]
            if life == node.life:
                self._feed(node, event)
        return True

    def start(self, node: CoreNode) -> None:
        """Start or restart a node from what it has on disk."""
        node.core = self._core_kind(
            chain_id=CHAIN_ID,
            signer=FakeSigner(a_key(node.index)),
            verify=fake_verify,
            timeouts=self._timeouts,
            sign_state=node.sign_state,
        )
        self._feed(node, "next height")
        self._later(node, 250, Tick())
        for other in self.nodes:
            if other is not node and node.core is not None:
                self._feed(node, PeerLinked(_peer(other.index)))
                self._feed(other, PeerLinked(_peer(node.index)))

    def crash(self, node: CoreNode, *, back_after_ms: int) -> None:
        """Take a node down with everything in memory."""
        node.core = None
        node.life += 1
        self._later(node, back_after_ms, "restart")

    def _feed(self, node: CoreNode, event: object) -> None:
        if event == "restart":
            self.start(node)
            return
        if node.core is None:
            return
        if isinstance(event, Tick):
            self._later(node, 250, event)
            self._catch_up(node)
        for effect in self._outcome(node, node.core, event):
            self._carry_out(node, effect)
            self.effects_done += 1
            if self.effects_done in self.crash_after:
                self.crash(node, back_after_ms=self.random.randrange(1, 3_000))
                return

    def _outcome(self, node: CoreNode, core: Consensus, event: object) -> list[ConsensusEffect]:
        if event == "next height":
            if core.state.height > len(node.chain):
                return []
            return core.enter_height(
                Height(len(node.chain) + 1),
                self.validators(len(node.chain) + 1),
                last_time_ms=0,
                now_ms=self.now_ms,
                wall_ms=self.now_ms,
            )
        assert isinstance(event, ConsensusEvent)
        return core.step(event, now_ms=self.now_ms, wall_ms=self.now_ms)

    def _carry_out(self, node: CoreNode, effect: ConsensusEffect) -> None:
        match effect:
            case SaveSignState(state=state):
                node.sign_state = state
            case Propose(proposal=proposal):
                self._note_signed(node, proposal)
                self._broadcast(node, proposal)
            case CastVote(vote=vote):
                self._note_signed(node, vote)
                self._broadcast(node, vote)
            case WantValue(block_id=value):
                self._later(node, 5, ValueChecked(value, valid=True, time_ms=1))
            case BuildValue(height=height, round=round_):
                value = a_value(f"{node.index}/{node.life}/{height}/{round_}")
                self._later(node, 5, ValueBuilt(height, round_, value, 1))
            case ScheduleTimeout(step=step, height=height, round=round_, delay_ms=delay_ms):
                self._later(node, delay_ms, TimeoutFired(step, height, round_))
            case Summarise(peer=peer, summary=summary):
                event = SummaryReceived(_peer(node.index), summary)
                for other in self.nodes:
                    if peer in {None, _peer(other.index)} and other is not node:
                        self._send(other, event)
            case Retransmit(peer=peer, messages=messages):
                for message in messages:
                    self._send(self.nodes[peer[0]], _received(node, message))
            case Decided(height=height, round=round_, block_id=value, certificate=certificate):
                self.blocks[height].add(value)
                self.rounds[height] = max(round_, self.rounds.get(height, 0))
                node.chain.append(certificate)
                self._later(node, 50, "next height")
            case _:
                pass

    def _catch_up(self, node: CoreNode) -> None:
        """Take over a final block from a node that is ahead, as gossip would."""
        assert node.core is not None, "a node that is down does not catch up"
        height = len(node.chain) + 1
        if node.core.state.height < height:
            return  # decided, and waiting for the next height to begin
        for other in self.nodes:
            if len(other.chain) >= height:
                node.chain.append(other.chain[height - 1])
                self._later(node, 1, "next height")
                return

    def _note_signed(self, node: CoreNode, message: Proposal | Vote) -> None:
        kind = message.kind if isinstance(message, Vote) else 0
        place = (node.index, message.height, message.round, kind)
        self.signed[place].add(message.block_id)

    def _broadcast(self, node: CoreNode, message: Proposal | Vote) -> None:
        for other in self.nodes:
            if other is not node:
                self._send(other, _received(node, message))

    def _send(self, node: CoreNode, event: ConsensusEvent) -> None:
        if self.random.random() >= self.loss:
            self._later(node, self.random.randrange(1, 40), event)

    def _later(self, node: CoreNode, delay_ms: int, event: object) -> None:
        self._order += 1
        entry = (self.now_ms + delay_ms, self._order, node.index, node.life, event)
        heapq.heappush(self._queue, entry)


def _peer(index: int) -> PeerId:
    return PeerId(bytes((index,)) * 20)


def _received(sender: CoreNode, message: Proposal | Vote) -> ProposalReceived | VoteReceived:
    if isinstance(message, Proposal):
        return ProposalReceived(message, _peer(sender.index))
    return VoteReceived(message, _peer(sender.index))
