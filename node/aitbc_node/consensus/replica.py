"""Which block comes next? One validator's, or follower's, part in agreeing on it.

`Consensus` takes events, decides which messages count, finds the condition of the paper that holds
now, lets `algorithm.advance` apply it, and carries out its orders. It orders opaque ids: what a
block is, who relays it and when a height begins are the machine's business. Do not add rules of
the paper here (`algorithm.py`), nor of the sign state (`signing.py`).
"""

from typing import assert_never

from aitbc_node.blocks import PRECOMMIT, PREVOTE, Certificate
from aitbc_node.consensus import algorithm
from aitbc_node.consensus.algorithm import Condition, Order, State
from aitbc_node.consensus.conditions import enabled
from aitbc_node.consensus.electorate import Electorate
from aitbc_node.consensus.finality import FinalVotes
from aitbc_node.consensus.height import Checked, HeightRecord
from aitbc_node.consensus.inputs import (
    BuildValue,
    ConsensusEffect,
    ConsensusEvent,
    Decided,
    PeerLinked,
    ProposalReceived,
    ScheduleTimeout,
    Step,
    Summarise,
    SummaryReceived,
    Tick,
    TimeoutFired,
    ValueBuilt,
    ValueChecked,
    VoteReceived,
    WantValue,
)
from aitbc_node.consensus.messages import RoundSummary, Vote
from aitbc_node.consensus.reception import Reception
from aitbc_node.consensus.retransmission import Retransmission, question_for_proof, summarise
from aitbc_node.consensus.signing import SignGuard
from aitbc_node.consensus.timeouts import Timeouts
from aitbc_node.consensus.voice import Voice
from aitbc_node.crypto import Signer, Verifier
from aitbc_node.events import Note, SignState
from aitbc_node.types import BlockId, Height, Round
from aitbc_node.validators import ValidatorSet


class Consensus:
    """Run the algorithm for one node, height after height."""

    def __init__(
        self,
        *,
        chain_id: str,
        signer: Signer | None,
        verify: Verifier,
        timeouts: Timeouts,
        sign_state: SignState | None,
    ) -> None:
        self._timeouts = timeouts
        self.guard = SignGuard(chain_id=chain_id, signer=signer, stored=sign_state)
        self._voice = Voice(self.guard)
        self._reception = Reception(chain_id=chain_id, verify=verify, guard=self.guard)
        self._retransmission = Retransmission()
        self._now_ms = self._changed_ms = self._wall_ms = 0
        self._out: list[ConsensusEffect] = []
        self._final: FinalVotes | None = None
        nobody = Electorate(ValidatorSet(()))
        self._record = HeightRecord(State(Height(0)), nobody, own_index=None, last_time_ms=0)

    @property
    def state(self) -> State:
        """Return height, round, step and lock, as the paper has them."""
        return self._record.state

    @property
    def sign_state(self) -> SignState | None:
        """Return the newest thing signed; None when the key came without its sign state."""
        return self.guard.stored

    @property
    def refusal(self) -> str:
        """Say why this node does not vote until an operator acts; empty when it may."""
        return self.guard.refusal

    @property
    def proposer_index(self) -> int:
        """Return the place of the current round's proposer in the validator set."""
        return self._record.electorate.proposer(self.state.round)

    def late_votes(self) -> Certificate | None:
        """Return the certificate of the last height decided here, late precommits included."""
        return None if self._final is None else self._final.certificate()

    def note_certificate(self, certificate: Certificate, validators: ValidatorSet) -> list[Note]:
        """Look for own votes that the sign state does not know; stop for good if there are any."""
        note = self.guard.sees_twin_in(certificate, validators)
        return [] if note is None else [note]

    def hold_proposals(self, *, held: bool) -> None:
        """Let own turns pass from the next round on, or take them again."""
        self._record.is_held = held

    def summary(self) -> RoundSummary:
        """Say what this node holds of its height."""
        return summarise(self._record)

    def enter_height(
        self,
        height: Height,
        validators: ValidatorSet,
        *,
        last_time_ms: int,
        now_ms: int,
        wall_ms: int,
    ) -> list[ConsensusEffect]:
        """Begin a height: after each commit, after catch-up, and at the start of the process.

        Units: `last_time_ms` is the time of the block before.
        """
        assert height > self.state.height, "heights are entered in ascending order"
        assert validators.members, "nobody may vote at this height"
        self._listen(now_ms, wall_ms)
        self._changed_ms = now_ms
        self._retransmission.begin_height(now_ms)
        if self._final is not None and self._final.height != height - 1:
            self._final = None
        self.guard.choose(validators)
        self.guard.enter(height)
        electorate = Electorate(validators)
        self._record = HeightRecord(
            State(height),
            electorate,
            own_index=self._own_index(electorate),
            last_time_ms=last_time_ms,
            is_held=self._record.is_held,
        )
        self._start(self.guard.stored)
        for event in self._reception.take_early():
            self._dispatch(event)
        self._settle()
        return self._out

    def _own_index(self, electorate: Electorate) -> int | None:
        """Find the own place; a node that may not vote looks on like one that has no key."""
        key = self.guard.key
        index = None if key is None else electorate.index_of(key)
        if index is None or not self.refusal:
            return index
        self._out.append(Note("vote.refused", (("reason", self.refusal),)))
        return None

    def step(self, event: ConsensusEvent, *, now_ms: int, wall_ms: int) -> list[ConsensusEffect]:
        """Take one input; return what to do about it, in order."""
        self._listen(now_ms, wall_ms)
        out = self._out
        if type(event) is VoteReceived:  # nearly all are
            out += self._reception.vote(event, self._record, self._final)
            if not out:
                return out  # a vote that counts is `Accepted`
        else:
            self._dispatch(event)
        self._settle()
        return out

    def _listen(self, now_ms: int, wall_ms: int) -> None:
        assert now_ms >= self._now_ms, "the driver's clock ran backwards"
        self._now_ms, self._wall_ms, self._out = now_ms, wall_ms, []

    def _dispatch(self, event: ConsensusEvent) -> None:
        record, final, now_ms = self._record, self._final, self._now_ms
        match event:  # the most frequent first: the kinds are tried one after the other
            case VoteReceived():
                self._out.extend(self._reception.vote(event, record, final))
            case ProposalReceived():
                self._out.extend(self._reception.proposal(event, record))
            case ValueChecked(block_id=value, valid=valid, time_ms=time_ms):
                record.remember(value, Checked(valid, time_ms))
            case Tick():
                self._out += self._retransmission.question(record, self._changed_ms, now_ms)
            case ValueBuilt():
                self._on_value_built(event)
            case TimeoutFired():
                self._on_timeout(event)
            case PeerLinked(peer=peer):
                self._out.append(Summarise(peer, self.summary()))
            case SummaryReceived():
                self._out.extend(self._retransmission.answer(event, record, final, now_ms))
            case _:
                assert_never(event)

    def _on_value_built(self, event: ValueBuilt) -> None:
        record = self._record
        record.remember(event.block_id, Checked(valid=True, time_ms=event.time_ms))
        is_current = (event.height, event.round) == (record.state.height, record.state.round)
        if is_current and record.state.round not in record.proposals:
            self._apply(algorithm.ValueArrives(event.block_id))

    def _on_timeout(self, event: TimeoutFired) -> None:
        if (event.height, event.round) != (self.state.height, self.state.round):
            return
        match event.step:
            case Step.PROPOSE:
                self._apply(algorithm.TimeoutPropose())
            case Step.PREVOTE:
                self._apply(algorithm.TimeoutPrevote())
            case Step.PRECOMMIT:
                following = Round(self.state.round + 1)
                self._apply(algorithm.TimeoutPrecommit(self._record.proposes_in(following)))
            case Step.IDLE:
                pass

    # From conditions to orders.

    def _settle(self) -> None:
        """Apply the rules of the paper until none is enabled."""
        record = self._record
        while True:
            if record.offer is not None and record.offer.block_id in record.checked:
                self._out.extend(self._voice.offer(record, record.offer))
            condition = enabled(record)
            if condition is None:
                break
            self._apply(condition)
        for value in record.values_to_ask_for():
            self._out.append(WantValue(value))

    def _apply(self, condition: Condition) -> None:
        """Let the paper's rule change the state, then carry out what it orders."""
        record, before = self._record, self._record.state
        record.state, orders = algorithm.advance(before, condition)
        now = record.state
        if (now.round, now.step) != (before.round, before.step):
            self._changed_ms = self._now_ms
            if now.step is Step.PROPOSE:
                self._open_round()
        record.done.add(type(condition))
        if now.valid_round != before.valid_round:
            record.note_proof(now.valid_id, now.valid_round)
        for order in orders:
            self._carry_out(order)

    def _open_round(self) -> None:
        self._record.open_round()
        if self.state.round > 0:
            fields = (("height", self.state.height), ("round", self.state.round))
            self._out.append(Note("round.begins", fields))
        self._out.extend(question_for_proof(self._record, None))

    def _carry_out(self, order: Order) -> None:
        height, round_ = self.state.height, self.state.round
        match order:
            case algorithm.Prevote(block_id=value):
                self._vote(PREVOTE, value)
            case algorithm.Precommit(block_id=value):
                self._vote(PRECOMMIT, value)
            case algorithm.Wait(step=step):
                delay_ms = self._timeouts.delay_ms(step, round_)
                self._out.append(ScheduleTimeout(step, height, round_, delay_ms))
            case algorithm.Decide(round=decided, block_id=value):
                self._decide(decided, value)
            case algorithm.FetchOwnValue():
                self._out.append(BuildValue(height, round_))
            case algorithm.Offer():
                self._out.extend(self._voice.offer(self._record, order))
            case _:
                assert_never(order)

    def _decide(self, round_: Round, value: BlockId) -> None:
        record = self._record
        self._final = FinalVotes(record, round_=round_, block_id=value)
        self._out.append(Decided(record.state.height, round_, value, self._final.certificate()))

    def _vote(self, kind: int, value: BlockId) -> None:
        self._out.extend(self._voice.vote(self._record, kind, value, wall_ms=self._wall_ms))

    def _start(self, stored: SignState | None) -> None:
        """Begin the height in round 0, or where this key's sign state says it was left."""
        record, own = self._record, self._record.own_index
        message = None if own is None else self.guard.stored_message(own)
        height = None if message is None else message.height
        if own is None or stored is None or message is None or height != record.state.height:
            self._apply(algorithm.RoundBegins(Round(0), record.proposes_in(Round(0))))
            return
        record.state = State(
            height=stored.height,
            round=stored.round,
            step=Step(stored.step),
            locked_round=stored.locked_round,
            locked_id=stored.locked_id,
            valid_round=stored.valid_round,
            valid_id=stored.valid_id,
        )
        record.restore_proof(stored)
        self._out.append(Note("round.resumes", (("round", stored.round), ("step", stored.step))))
        if isinstance(message, Vote):
            self._out.extend(self._voice.cast(record, message))
        else:
            self._carry_out(algorithm.Wait(Step.PROPOSE))
            self._out.extend(self._voice.propose(record, message, own))
