"""What does this node know of the height that is being decided?

Messages, judged values and the paper's state, in one place; all of it is forgotten when the next
height begins. Do not add decisions here: `conditions.py` finds what holds, `replica.py` acts.
"""

import msgspec

from aitbc_node.blocks import NO_BLOCK, PREVOTE
from aitbc_node.consensus import inputs
from aitbc_node.consensus.algorithm import Condition, Offer, State
from aitbc_node.consensus.electorate import Electorate
from aitbc_node.consensus.messages import NO_ROUND, Proof, Proposal, Vote
from aitbc_node.consensus.votes import Standing, VoteBook
from aitbc_node.events import SignState
from aitbc_node.types import BlockId, Round

CHECKED_VALUES_MAX = 64
_NOTHING: frozenset[BlockId] = frozenset()


class Checked(msgspec.Struct, frozen=True):
    """How a value was judged, and the time in its header."""

    valid: bool
    time_ms: int


class HeightRecord:
    """Hold what belongs to one height."""

    def __init__(
        self,
        state: State,
        electorate: Electorate,
        *,
        own_index: int | None,
        last_time_ms: int,
        is_held: bool = False,
    ) -> None:
        self.state = state
        self.electorate = electorate
        self.own_index = own_index
        self.last_time_ms = last_time_ms
        self.book = VoteBook(electorate)
        self.proposals: dict[Round, Proposal] = {}
        self.checked: dict[BlockId, Checked] = {}
        self.done: set[type[Condition]] = set()
        """Which conditions have had their effect in this round: "for the first time"."""
        self.offer: Offer | None = None
        """An own proposal that waits for its value."""
        self.is_held = is_held
        """Whether this node lets its turns pass: it is about to be stopped."""
        self.proof: Proof = ()
        """The prevotes behind `state.valid_round`."""
        self.asked: set[BlockId] = set()
        self.equivocators: set[int] = set()

    def proposes_in(self, round_: Round) -> bool:
        """Tell whether this node is a round's proposer and may propose."""
        if self.own_index is None or self.is_held:
            return False
        return self.electorate.proposer(round_) == self.own_index

    def is_valid(self, value: BlockId | None) -> bool:
        """Tell whether this is a value (not nil) that is here and was found valid."""
        checked = None if value is None else self.checked.get(value)
        return checked is not None and checked.valid

    def remember(self, value: BlockId, checked: Checked) -> None:
        """Keep a judgement; the oldest that nothing names gives way."""
        self.checked[value] = checked
        if len(self.checked) > CHECKED_VALUES_MAX:
            favoured = self.favoured()
            spare = (known for known in self.checked if known not in favoured and known != value)
            self.checked.pop(next(spare, value))

    def standing(self, vote: Vote) -> Standing:
        """Judge before the signature is checked whether a vote could be of any use."""
        standing = self.book.standing(vote, favoured=_NOTHING)
        if standing == "useless":  # what matters now is only looked up for who votes a third time
            standing = self.book.standing(vote, favoured=self.favoured())
        return standing

    def favoured(self) -> frozenset[BlockId]:
        """Name the values that matter now, so that junk cannot crowd out their votes."""
        named = {proposal.block_id for proposal in self.proposals.values()}
        return frozenset(named | {self.state.locked_id, self.state.valid_id, NO_BLOCK})

    def accept(self, proposal: Proposal, proposer: int) -> None:
        """Take in a verified proposal."""
        self.proposals[proposal.round] = proposal
        self.book.saw(proposer, proposal.round)
        self.keep_rounds()

    def open_round(self) -> None:
        """Forget what belonged to the rounds before the current one."""
        current = self.state.round
        self.done.clear()
        self.offer = None
        self.proposals = {
            round_: proposal for round_, proposal in self.proposals.items() if round_ >= current
        }
        self.keep_rounds()

    def keep_rounds(self) -> None:
        """Bound the votes: the rounds around this one, and those that justify a valid value."""
        current = self.state.round
        rounds = {Round(current - 1), current, Round(current + 1), self.state.valid_round}
        rounds.update(proposal.valid_round for proposal in self.proposals.values())
        self.book.keep(rounds)

    def lacks_proof(self) -> bool:
        """Tell whether the current proposal names prevotes of an earlier round that lack here."""
        proposal = self.proposals.get(self.state.round)
        return (
            proposal is not None
            and proposal.valid_round != NO_ROUND
            and not self.has_proof_of(proposal)
        )

    def has_proof_of(self, proposal: Proposal) -> bool:
        """Tell whether the prevotes are here that a re-proposal names."""
        votes = self.book.rounds.get(proposal.valid_round)
        return votes is not None and votes.prevotes.has_quorum_for(proposal.block_id)

    def note_proof(self, value: BlockId, round_: Round) -> None:
        """Remember the prevotes of a round for a value, no more of them than prove it."""
        power = 0
        proof = []
        for vote in self.book.round(round_).prevotes.votes():
            if vote.block_id == value and not self.electorate.is_quorum(power):
                power += self.electorate.powers[vote.validator]
                proof.append((vote.validator, vote.signature))
        self.proof = tuple(proof)

    def restore_proof(self, stored: SignState) -> None:
        """Take back the prevotes that the sign state holds."""
        self.proof = stored.prevotes
        self.keep_rounds()
        for validator, signature in stored.prevotes:
            self.book.add(
                Vote(
                    kind=PREVOTE,
                    height=stored.height,
                    round=stored.valid_round,
                    block_id=stored.valid_id,
                    time_ms=0,
                    validator=validator,
                    signature=signature,
                )
            )

    def values_to_ask_for(self) -> list[BlockId]:
        """Name values that something hangs on, are not here, and were not asked for lately."""
        if self.state.step is inputs.IDLE:
            return []  # decided: whatever else was proposed is of no use any more
        checked = self.checked
        lacking: dict[BlockId, None] = {}  # `dict[...]()` would take as long as all of the rest
        if self.offer is not None and self.offer.block_id not in checked:
            lacking[self.offer.block_id] = None
        for proposal in self.proposals.values():
            if proposal.block_id not in checked:
                lacking[proposal.block_id] = None
        for _, _, winner in self.book.won:
            if winner and winner not in checked:
                lacking[winner] = None
        if not lacking:
            return []  # almost always: this is asked after every vote
        found = [value for value in lacking if value not in self.asked]
        self.asked.update(found)
        return found
