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
    Accepted,
    BuildValue,
    CastVote,
    ConsensusEffect,
    ConsensusEvent,
    Decided,
    Equivocation,
    Fault,
    PeerLinked,
    ProposalReceived,
    Propose,
    Retransmit,
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
from aitbc_node.consensus.messages import (
    Proposal,
    RoundSummary,
    Vote,
    is_sane_proposal,
    is_sane_vote,
)
from aitbc_node.consensus.retransmission import missing, summarise
from aitbc_node.consensus.signing import NO_SIGNATURE, SignGuard
from aitbc_node.consensus.timeouts import Timeouts
from aitbc_node.crypto import Signer, Verifier
from aitbc_node.events import Note, SignState
from aitbc_node.limits import INT_MAX, PEERS_MAX, RETRANSMIT_MS, VALIDATORS_MAX
from aitbc_node.types import BlockId, Height, PeerId, Round
from aitbc_node.validators import ValidatorSet

EARLY_PER_SENDER_MAX = 2 * VALIDATORS_MAX + 2
"""Messages of the next height kept per sender: one round's proposal and votes, and a spare."""

ANSWER_INTERVAL_MS = RETRANSMIT_MS // 4
"""A peer's summaries are answered at most this often: an answer is much larger than a question."""


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
        self._chain_id = chain_id
        self._verify = verify
        self._timeouts = timeouts
        self._guard = SignGuard(chain_id=chain_id, signer=signer, stored=sign_state)
        self._now_ms = self._changed_ms = self._summarised_ms = 0
        self._wall_ms = 0
        self._out: list[ConsensusEffect] = []
        self._early: dict[PeerId | None, list[ProposalReceived | VoteReceived]] = {}
        self._answered_ms: dict[PeerId, int] = {}
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
        return self._guard.stored

    @property
    def refusal(self) -> str:
        """Say why this node does not vote until an operator acts; empty when it may."""
        return self._guard.refusal

    @property
    def proposer_index(self) -> int:
        """Return the place of the current round's proposer in the validator set."""
        return self._record.electorate.proposer(self.state.round)

    def late_votes(self) -> Certificate | None:
        """Return the certificate of the last height decided here, late precommits included."""
        return None if self._final is None else self._final.certificate()

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
        self._changed_ms = self._summarised_ms = now_ms
        if self._final is not None and self._final.height != height - 1:
            self._final = None
        self._answered_ms.clear()
        self._guard.enter(height)
        electorate = Electorate(validators)
        self._record = HeightRecord(
            State(height),
            electorate,
            own_index=self._own_index(electorate),
            last_time_ms=last_time_ms,
        )
        self._start(self._guard.stored)
        early, self._early = self._early, {}
        for events in early.values():
            for event in events:
                self._dispatch(event)
        self._settle()
        return self._out

    def _own_index(self, electorate: Electorate) -> int | None:
        """Find the own place; a node that may not vote looks on like one that has no key."""
        key = self._guard.key
        index = None if key is None else electorate.index_of(key)
        if index is None or not self.refusal:
            return index
        self._out.append(Note("vote.refused", (("reason", self.refusal),)))
        return None

    def step(self, event: ConsensusEvent, *, now_ms: int, wall_ms: int) -> list[ConsensusEffect]:
        """Take one input; return what to do about it, in order."""
        self._listen(now_ms, wall_ms)
        self._dispatch(event)
        self._settle()
        return self._out

    def _listen(self, now_ms: int, wall_ms: int) -> None:
        assert now_ms >= self._now_ms, "the driver's clock ran backwards"
        self._now_ms, self._wall_ms, self._out = now_ms, wall_ms, []

    def _dispatch(self, event: ConsensusEvent) -> None:
        match event:
            case VoteReceived():
                self._on_vote(event)
            case ProposalReceived():
                self._on_proposal(event)
            case ValueChecked(block_id=value, valid=valid, time_ms=time_ms):
                self._record.remember(value, Checked(valid, time_ms))
            case ValueBuilt():
                self._on_value_built(event)
            case TimeoutFired():
                self._on_timeout(event)
            case PeerLinked(peer=peer):
                self._out.append(Summarise(peer, self.summary()))
            case SummaryReceived(sender=peer, summary=summary):
                self._on_summary(peer, summary)
            case Tick():
                self._on_tick()
            case _:
                assert_never(event)

    # What comes from outside.

    def _on_vote(self, event: VoteReceived) -> None:
        vote, sender, record = event.vote, event.sender, self._record
        if self._final is not None and vote.height == self._final.height:
            self._on_late_vote(self._final, vote, sender)
            return
        if vote.height != record.state.height:
            self._keep_early(event, vote.height)
            return
        if not is_sane_vote(vote, validator_count=len(record.electorate)):
            self._blame(sender, "vote.malformed")
            return
        standing = record.book.standing(vote, favoured=record.favoured())
        if standing in {"known", "useless"} or not self._is_signed(vote, record.electorate, sender):
            return
        if vote.validator == record.own_index and self._guard.sees_twin(vote):
            self._out.append(Note("vote.refused", (("reason", self.refusal),)))
        if standing == "second":
            self._report(vote.validator, record.book.first_of(vote), vote)
        record.book.add(vote)
        self._out.append(Accepted(vote, sender))

    def _on_late_vote(self, final: FinalVotes, vote: Vote, sender: PeerId | None) -> None:
        if not is_sane_vote(vote, validator_count=len(final.electorate)):
            self._blame(sender, "vote.malformed")
        elif final.lacks(vote) and self._is_signed(vote, final.electorate, sender):
            final.add(vote)
            self._out.append(Accepted(vote, sender))

    def _is_signed(self, vote: Vote, electorate: Electorate, sender: PeerId | None) -> bool:
        key = electorate.keys[vote.validator]
        if self._verify(key, vote.sign_bytes(self._chain_id), vote.signature):
            return True
        self._blame(sender, "vote.signature")
        return False

    def _on_proposal(self, event: ProposalReceived) -> None:
        proposal, sender, record = event.proposal, event.sender, self._record
        if proposal.height != record.state.height:
            self._keep_early(event, proposal.height)
            return
        if not is_sane_proposal(proposal):
            self._blame(sender, "proposal.malformed")
            return
        # Turns beyond the next round are not worked out on a stranger's word.
        if record.state.step is Step.IDLE or proposal.round - record.state.round not in {0, 1}:
            return
        first = record.proposals.get(proposal.round)
        proposer = record.electorate.proposer(proposal.round)
        if first is not None and (
            first.sign_bytes(self._chain_id) == proposal.sign_bytes(self._chain_id)
            or proposer in record.equivocators
        ):
            return
        key = record.electorate.keys[proposer]
        if not self._verify(key, proposal.sign_bytes(self._chain_id), proposal.signature):
            self._blame(sender, "proposal.signature")
            return
        if first is not None:
            self._report(proposer, first, proposal)
            return
        record.accept(proposal, proposer)
        self._out.append(Accepted(proposal, sender))
        self._seek_proof(sender)

    def _keep_early(self, event: ProposalReceived | VoteReceived, height: Height) -> None:
        """Keep what a faster peer says about the next height; it cannot be judged yet."""
        if height != self.state.height + 1 or len(self._early) > PEERS_MAX:
            return
        waiting = self._early.setdefault(event.sender, [])
        if len(waiting) < EARLY_PER_SENDER_MAX:
            waiting.append(event)

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

    def _on_summary(self, peer: PeerId, summary: RoundSummary) -> None:
        last_ms = self._answered_ms.get(peer)
        if last_ms is not None and self._now_ms - last_ms < ANSWER_INTERVAL_MS:
            return
        if self._final is not None and summary.height == self._final.height:
            messages = tuple(missing(summary, self._final.votes(), {}))
        elif summary.height == self.state.height:
            record = self._record
            messages = tuple(missing(summary, record.book.votes(), record.proposals))
        else:
            return
        if messages:
            if len(self._answered_ms) >= 2 * PEERS_MAX:
                self._answered_ms.clear()
            self._answered_ms[peer] = self._now_ms
            self._out.append(Retransmit(peer, messages))

    def _on_tick(self) -> None:
        """Say again what is here, and ask for what lacks, when nothing has moved for a while."""
        quiet_ms = self._now_ms - max(self._changed_ms, self._summarised_ms)
        if self.state.step is Step.IDLE or quiet_ms < RETRANSMIT_MS:
            return
        self._summarised_ms = self._now_ms
        self._record.asked.clear()
        self._out.append(Summarise(None, self.summary()))

    def _seek_proof(self, peer: PeerId | None) -> None:
        """Ask at once for the prevotes that a re-proposal names: its time-out is running."""
        if self._record.lacks_proof():
            self._out.append(Summarise(peer, self.summary()))

    def _report(self, validator: int, first: Proposal | Vote, second: Proposal | Vote) -> None:
        """Report an equivocator once a height: one pair proves it, more are only work."""
        if validator not in self._record.equivocators:
            self._record.equivocators.add(validator)
            self._out.append(Equivocation(first, second))

    def _blame(self, sender: PeerId | None, what: str) -> None:
        if sender is not None:
            self._out.append(Fault(sender, what))

    # From conditions to orders.

    def _settle(self) -> None:
        """Apply the rules of the paper until none is enabled."""
        record = self._record
        while True:
            if record.offer is not None and record.offer.block_id in record.checked:
                self._offer(record.offer)
            condition = enabled(record)
            if condition is None:
                break
            self._apply(condition)
        self._out.extend(WantValue(value) for value in record.values_to_ask_for())

    def _apply(self, condition: Condition) -> None:
        """Let the paper's rule change the state, then carry out what it orders."""
        record, before = self._record, self._record.state
        record.state, orders = algorithm.advance(before, condition)
        now = record.state
        if (now.round, now.step) != (before.round, before.step):
            self._changed_ms = self._now_ms
        if now.step is Step.PROPOSE and (now.round, now.step) != (before.round, before.step):
            self._open_round()
        record.done.add(type(condition))
        if isinstance(condition, algorithm.PrevotesForValue):
            record.note_proof(condition.block_id)
        for order in orders:
            self._carry_out(order)

    def _open_round(self) -> None:
        self._record.open_round()
        if self.state.round > 0:
            fields = (("height", self.state.height), ("round", self.state.round))
            self._out.append(Note("round.begins", fields))
        self._seek_proof(None)

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
            case algorithm.FetchOwnValue():
                self._out.append(BuildValue(height, round_))
            case algorithm.Offer():
                self._offer(order)
            case algorithm.Decide(round=decided, block_id=value):
                self._decide(decided, value)
            case _:
                assert_never(order)

    def _decide(self, round_: Round, value: BlockId) -> None:
        record = self._record
        self._final = FinalVotes(
            record.electorate,
            height=record.state.height,
            round_=round_,
            block_id=value,
            votes=record.book.round(round_).precommits.votes(),
        )
        self._out.append(Decided(record.state.height, round_, value, self._final.certificate()))

    # The own messages; each is fed back as if received, once its barrier is among the effects.

    def _offer(self, offer: algorithm.Offer) -> None:
        """Propose a value, or wait until it is here: after a restart it may be under way."""
        record = self._record
        checked = record.checked.get(offer.block_id)
        record.offer = offer if checked is None else None
        if checked is None or record.state.step is not Step.PROPOSE:
            return
        if not checked.valid:
            # Valid before a restart, not any more: another release judges now. The lock still
            # guards the votes, so a new value may be offered.
            self._out.append(Note("proposal.invalid_now", (("round", self.state.round),)))
            self._out.append(BuildValue(self.state.height, self.state.round))
            return
        signed = self._sign(
            Proposal(
                height=self.state.height,
                round=self.state.round,
                valid_round=offer.valid_round,
                block_id=offer.block_id,
                signature=NO_SIGNATURE,
            )
        )
        if isinstance(signed, Proposal) and record.own_index is not None:
            self._out.append(Propose(signed))
            record.accept(signed, record.own_index)

    def _vote(self, kind: int, value: BlockId) -> None:
        if self._record.own_index is None:
            return
        signed = self._sign(
            Vote(
                kind=kind,
                height=self.state.height,
                round=self.state.round,
                block_id=value,
                time_ms=0 if kind == PREVOTE else self._vote_time_ms(value),
                validator=self._record.own_index,
                signature=NO_SIGNATURE,
            )
        )
        if isinstance(signed, Vote):
            self._cast(signed)

    def _cast(self, vote: Vote) -> None:
        self._out.append(CastVote(vote))
        if self._record.book.standing(vote, favoured=frozenset((vote.block_id,))) != "known":
            self._record.book.add(vote)

    def _vote_time_ms(self, value: BlockId) -> int:
        """Return the wall time, but later than the block voted for. Source: rules 2.4."""
        checked = self._record.checked.get(value)
        block_time_ms = self._record.last_time_ms if checked is None else checked.time_ms
        return min(max(self._wall_ms, block_time_ms + 1), INT_MAX)

    def _sign(self, unsigned: Proposal | Vote) -> Proposal | Vote | None:
        record = self._record
        outcome = self._guard.sign(unsigned, lock=record.state, proof=record.proof)
        if isinstance(outcome, Note):
            self._out.append(outcome)
            return None
        self._out.extend(outcome.effects)
        return outcome.message

    def _start(self, stored: SignState | None) -> None:
        """Begin the height in round 0, or where this key's sign state says it was left."""
        record, own = self._record, self._record.own_index
        message = None if own is None else self._guard.stored_message(own)
        if (
            own is None
            or stored is None
            or message is None
            or message.height != record.state.height
        ):
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
            self._cast(message)
            return
        self._carry_out(algorithm.Wait(Step.PROPOSE))
        self._out.append(Propose(message))
        record.accept(message, own)
