"""How do the consensus and the rest of the machine talk to each other?

Feeds the consensus one event at a time and carries its effects out: votes and proposals to the
peers, values from and to the workshop, time-outs to timers. Own votes go to all peers; those of
others are passed on once, when the consensus has accepted them, to peers that are not linked with
the sender, so that a partial mesh works; summaries make up for what is lost. Do not add rules of
the algorithm.
"""

from collections import deque
from collections.abc import Callable

from aitbc_node.blocks import PRECOMMIT
from aitbc_node.canonical import NotCanonicalError, T, decode, encode
from aitbc_node.chain import Candidate, Chain
from aitbc_node.consensus import inputs
from aitbc_node.consensus.inputs import (
    Accepted,
    BuildValue,
    CastVote,
    ConsensusEffect,
    ConsensusEvent,
    Decided,
    Equivocation,
    Fault,
    ProposalReceived,
    Propose,
    Retransmit,
    ScheduleTimeout,
    Step,
    Summarise,
    SummaryReceived,
    TimeoutFired,
    ValueBuilt,
    ValueChecked,
    VoteReceived,
    WantValue,
)
from aitbc_node.consensus.messages import Proposal, RoundSummary, Vote
from aitbc_node.consensus.replica import Consensus
from aitbc_node.consensus.timeouts import Timeouts
from aitbc_node.errors import PeerFault
from aitbc_node.events import Note, SaveSignState, SetTimer, Timer
from aitbc_node.gossip.messages import VOTES_COUNT_MAX, ProposalSent, Status, SummarySent, VotesSent
from aitbc_node.mesh import Mesh
from aitbc_node.outbox import Outbox
from aitbc_node.types import BlockId, Height, PeerId, PublicKey
from aitbc_node.workshop import Workshop

TIMEOUT_PREFIX = "timeout."
LISTEN_HEIGHTS = 2

_FORGERIES = frozenset({"vote.signature", "proposal.signature"})
"""Faults that no honest node makes: it judges what it passes on."""


class Voting:
    """Run the consensus inside the machine."""

    def __init__(
        self,
        outbox: Outbox,
        chain: Chain,
        mesh: Mesh,
        *,
        consensus: Consensus,
        workshop: Workshop,
        build: Callable[[], Candidate],
        on_decided: Callable[[Decided], None],
        on_equivocation: Callable[[Equivocation], None],
    ) -> None:
        self._out = outbox
        self._chain = chain
        self._mesh = mesh
        self._workshop = workshop
        self._build = build
        self._on_decided = on_decided
        self._on_equivocation = on_equivocation
        self.queue: deque[ConsensusEvent] = deque()
        """What `run` takes."""
        self.consensus = consensus
        self.is_frozen = False
        self._listens_to = Height(0)
        self._listens_for_ms = self._listens_until_ms = 0

    @property
    def is_listening(self) -> bool:
        """Tell whether this node still listens whether another one signs with its key."""
        return self._chain.height < self._listens_to and self._out.now_ms < self._listens_until_ms

    @property
    def own_key(self) -> PublicKey | None:
        """Return the key that signs; a rotation puts another one in its place."""
        return self.consensus.guard.key

    @property
    def is_at_work(self) -> bool:
        """Tell whether the consensus works on the height that comes next."""
        return self.consensus.state.height == self._chain.next_height

    def pinned(self) -> tuple[BlockId, BlockId]:
        """Name the blocks that consensus may come back to."""
        return self.consensus.state.locked_id, self.consensus.state.valid_id

    def listen(self, interval_ms: int, timeouts: Timeouts) -> None:
        """Keep out of the next two heights after a start, if the key has signed before.

        Who runs a copy of the key elsewhere has votes in their blocks, and those stop this node
        before it signs. When nobody makes blocks there is nothing to hear, hence the limit: all
        may have been restarted at once. Source: rules 2.1.
        """
        self.heed_key()
        validators, own_key = self._chain.state.validators, self.own_key
        if own_key is None or validators.is_quorum(validators.power_of(own_key)):
            return  # a sole validator has no others to listen to
        if (signed := self.consensus.sign_state) is not None and signed.sign_bytes:
            # Two heights, one with a round that this very node should have led, and the way.
            self._listens_for_ms = 3 * interval_ms + timeouts.propose_ms + timeouts.vote_ms
            self.listen_on(history=0)

    def listen_on(self, *, history: int) -> None:
        """Begin to count anew behind so many blocks that were made before this node listened."""
        self._listens_to = Height(self._chain.height + history + LISTEN_HEIGHTS)
        self._listens_until_ms = self._out.now_ms + self._listens_for_ms

    def enter_height(self) -> None:
        """Begin the height after the newest block."""
        effects = self.consensus.enter_height(
            self._chain.next_height,
            self._chain.state.validators,
            last_time_ms=self._chain.tip_time_ms,
            now_ms=self._out.now_ms,
            wall_ms=self._out.wall_ms,
        )
        self.heed_key()
        self._carry_out(effects)
        self._workshop.report_all()
        self.run()

    def heed_key(self) -> None:
        """Be the validator whose key those who vote on the next height have."""
        self.consensus.guard.choose(self._chain.state.validators)
        self._mesh.become(self._chain.chain_id, self.consensus.guard.signer)

    def feed(self, event: ConsensusEvent) -> None:
        """Queue an event; `run` takes it."""
        if not self.is_frozen:
            self.queue.append(event)

    def freeze(self) -> None:
        """Take no part any more: whatever this node would sign is of a chain of its own."""
        self.is_frozen = True
        self.queue.clear()

    def run(self) -> None:
        """Let the consensus work off its queue, including what its own effects put there."""
        queue, out = self.queue, self._out
        while queue:
            event = queue.popleft()
            if not self._is_void(event):
                done = self.consensus.step(event, now_ms=out.now_ms, wall_ms=out.wall_ms)
                self._carry_out(done)

    def on_judged(self, block_id: BlockId, candidate: Candidate | None) -> None:
        """Tell the consensus a verdict of the workshop."""
        if self.is_at_work:
            time_ms = 0 if candidate is None else candidate.block.header.time_ms
            self.feed(ValueChecked(block_id, candidate is not None, time_ms))

    def on_proposal(self, sender: PeerId, message: ProposalSent) -> None:
        """Take a peer's proposal. Raises: PeerFault."""
        proposal = decoded(message.proposal, Proposal)
        if not self._chain.height < proposal.height <= self._chain.next_height + 1:
            return  # long decided, or too far ahead to be of use
        if self._workshop.offer(message.proposed, sender) != proposal.block_id:
            raise PeerFault("a proposal with another block's header")
        self.feed(ProposalReceived(proposal, sender))

    def on_votes(self, sender: PeerId, message: VotesSent) -> None:
        """Take a peer's votes. Raises: PeerFault."""
        for payload in message.votes:
            vote = decoded(payload, Vote)
            # A vote on a height that was caught up with is late, or of use to nobody.
            if vote.height >= self._chain.height and not self.is_frozen:
                self.queue.append(VoteReceived(vote, sender))

    def on_summary(self, sender: PeerId, message: SummarySent) -> None:
        """Take a peer's summary. Raises: PeerFault."""
        summary = decoded(message.summary, RoundSummary)
        self.feed(SummaryReceived(sender, summary))
        if summary.height <= self._chain.height:
            # It works on a height that is final: the news was lost, and without its vote there
            # may never be another block whose news would reach it.
            self._out.send((sender,), Status(self._chain.height))

    def on_timer(self, timer: Timer) -> None:
        """Take a time-out that the consensus asked for."""
        step = Step[timer.name.removeprefix(TIMEOUT_PREFIX).upper()]
        self.feed(TimeoutFired(step, timer.height, timer.round))

    def _is_void(self, event: ConsensusEvent) -> bool:
        """Tell whether an event does not count any more.

        The height was caught up with while the consensus was still at it, and what is said of the
        next one counts then; or the sender has lost its link, so that one forgery costs one check.
        """
        state = self.consensus.state
        is_overtaken = state.step is not inputs.IDLE and state.height != self._chain.height + 1
        if type(event) is VoteReceived:
            said: Proposal | Vote = event.vote
        elif type(event) is ProposalReceived:
            said = event.proposal
        else:
            return is_overtaken
        if is_overtaken and said.height <= state.height:
            return True
        return event.sender is not None and not self._mesh.peers.is_linked(event.sender)

    def _carry_out(self, effects: list[ConsensusEffect]) -> None:
        for effect in effects:
            if type(effect) is Accepted:  # nearly all are: the others are told apart one by one
                self._on_accepted(effect.message, effect.sender)
            else:
                self._carry_out_seldom(effect)

    def _carry_out_seldom(self, effect: ConsensusEffect) -> None:
        match effect:  # the most frequent first: the kinds are tried one after the other
            case ScheduleTimeout(step=step, height=height, round=round_, delay_ms=delay_ms):
                timer = Timer(TIMEOUT_PREFIX + step.name.lower(), height, round_)
                self._out.add(SetTimer(timer, delay_ms))
            case Decided():
                self._on_decided(effect)
            case WantValue(block_id=block_id):
                self._workshop.want(block_id)
            case CastVote(vote=vote):
                self._mesh.broadcast(VotesSent((encode(vote),)))
            case SaveSignState() | Note():
                self._out.add(effect)
            case Propose(proposal=proposal):
                self._mesh.flush()  # so that the others have the bodies before the ids
                self._send_proposal(self._mesh.linked(), proposal)
            case BuildValue(height=height, round=round_):
                candidate = self._build()
                time_ms = candidate.block.header.time_ms
                self.feed(ValueBuilt(height, round_, candidate.id, time_ms))
            case Summarise(peer=peer, summary=summary):
                peers = self._mesh.linked() if peer is None else (peer,)
                self._out.send(peers, SummarySent(encode(summary)))
            case Retransmit(peer=peer, messages=messages):
                self._retransmit(peer, messages)
            case Equivocation(first=first, second=second):
                self._out.note("consensus.equivocation", first=str(first), second=str(second))
                self._on_equivocation(effect)
            case Fault(peer=peer, what=what):
                self._mesh.fault(peer, what, is_forgery=what in _FORGERIES)

    def _on_accepted(self, message: Proposal | Vote, sender: PeerId | None) -> None:
        mesh = self._mesh
        targets = mesh.topology.targets(mesh.peers.linked(), sender)
        if type(message) is Proposal:
            self._send_proposal(targets, message)
            return
        assert type(message) is Vote, "there is nothing else"
        if targets:
            self._out.send(targets, VotesSent((encode(message),)))
        self._hear(message)
        if message.kind == PRECOMMIT and message.height == self._chain.height:
            certificate = self.consensus.late_votes()
            if certificate is not None:
                self._chain.add_late_votes(certificate)

    def _hear(self, vote: Vote) -> None:
        ahead = vote.height - self._chain.height
        if ahead not in {0, 1}:
            return
        voters = self._chain.state.validators if ahead else self._chain.tip_validators
        if vote.validator < len(voters.members):
            self._mesh.reach.heard(voters.members[vote.validator].key, self._out.now_ms)

    def _send_proposal(self, peers: tuple[PeerId, ...], proposal: Proposal) -> None:
        proposed = self._workshop.proposed(proposal.block_id)
        if proposed is not None:
            self._out.send(peers, ProposalSent(encode(proposal), proposed))

    def _retransmit(self, peer: PeerId, messages: tuple[Proposal | Vote, ...]) -> None:
        votes = tuple(encode(message) for message in messages if isinstance(message, Vote))
        for message in messages:
            if isinstance(message, Proposal):
                self._send_proposal((peer,), message)
        for start in range(0, len(votes), VOTES_COUNT_MAX):
            self._out.send((peer,), VotesSent(votes[start : start + VOTES_COUNT_MAX]))


def decoded(payload: bytes, kind: type[T]) -> T:
    """Read what a peer's message carries. Raises: PeerFault."""
    try:
        return decode(payload, kind)
    except NotCanonicalError as error:
        raise PeerFault(f"no {kind.__name__}: {error}") from error
