"""Which votes of a height are here, and what do they add up to?

Bounded whatever peers send: votes are kept for a handful of rounds (`keep`), and beyond those only
each validator's newest round. Votes that come in are already verified. Do not add rules of the
algorithm here. Source: rules 2.7.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from aitbc_node.blocks import PRECOMMIT, PREVOTE
from aitbc_node.consensus.electorate import Electorate
from aitbc_node.consensus.messages import NO_ROUND, Vote
from aitbc_node.types import BlockId, Round

Standing = Literal["new", "second", "known", "useless"]

VARIANTS_MAX = 2
"""How many different votes of one validator in one slot are kept without a special reason.

An equivocator's second vote counts too: the paper's rules speak of messages received, and a node
that only ever counted the first one could miss the prevotes that justify a re-proposal.
"""


class Tally:
    """Add up one kind of vote of one round."""

    def __init__(self, electorate: Electorate) -> None:
        self._electorate = electorate
        self.by_voter: dict[int, dict[BlockId, Vote]] = {}
        """The votes of each; more than one make it an equivocator."""
        self._power_of: dict[BlockId, int] = {}
        self.power = 0
        """The power of all who voted, for whatever."""
        self.winner: BlockId | None = None
        """The id (or nil) that more than two thirds voted for."""

    def variants(self, validator: int) -> dict[BlockId, Vote]:
        """Return the votes of one validator by id; more than one make it an equivocator."""
        return self.by_voter.get(validator, {})

    def add(self, vote: Vote) -> None:
        """Count a vote that `standing` called new or second."""
        voter, value = vote.validator, vote.block_id
        own_power = self._electorate.powers[voter]
        if voter in self.by_voter:
            self.by_voter[voter][value] = vote
        else:
            self.by_voter[voter] = {value: vote}
            self.power += own_power
        power = self._power_of[value] = self._power_of.get(value, 0) + own_power
        if self.winner is None and self._electorate.is_quorum(power):
            self.winner = value

    def has_quorum_for(self, block_id: BlockId) -> bool:
        """Tell whether more than two thirds voted for this id."""
        return self._electorate.is_quorum(self._power_of.get(block_id, 0))

    def voters(self, block_id: BlockId | None = None) -> Iterator[int]:
        """Name who voted, or who voted for one id."""
        return (
            voter for voter, votes in self.by_voter.items() if block_id is None or block_id in votes
        )

    def votes(self) -> Iterator[Vote]:
        """Go through all votes."""
        return (vote for votes in self.by_voter.values() for vote in votes.values())


class RoundVotes:
    """Hold both tallies of one round."""

    def __init__(self, electorate: Electorate) -> None:
        self.prevotes = Tally(electorate)
        self.precommits = Tally(electorate)

    def of(self, kind: int) -> Tally:
        """Return the tally of one kind."""
        return self.prevotes if kind == PREVOTE else self.precommits

    def votes(self) -> Iterator[Vote]:
        """Go through all votes of the round."""
        yield from self.prevotes.votes()
        yield from self.precommits.votes()


class VoteBook:
    """Hold the votes of one height."""

    def __init__(self, electorate: Electorate) -> None:
        self._electorate = electorate
        self.rounds: dict[Round, RoundVotes] = {}
        self._newest: dict[int, Round] = {}
        self._ahead: dict[int, dict[int, Vote]] = {}
        self.highest: Round = NO_ROUND
        """The highest round that anybody has reached."""
        self.won: list[tuple[Round, int, BlockId]] = []
        """What more than two thirds voted for, nil too, in which round and kind, in that order."""

    def round(self, round_: Round) -> RoundVotes:
        """Return a kept round."""
        return self.rounds[round_]

    def keep(self, rounds: Iterable[Round]) -> None:
        """Keep the votes of these rounds only, and take in what was waiting for them."""
        wanted = {round_ for round_ in rounds if round_ != NO_ROUND}
        if wanted == self.rounds.keys():
            return  # nobody waits for a round that is kept
        self.rounds = {
            round_: self.rounds.get(round_) or RoundVotes(self._electorate)
            for round_ in sorted(wanted)
        }
        for validator in list(self._ahead):
            if self._newest[validator] in wanted:
                for vote in self._ahead.pop(validator).values():
                    self.rounds[vote.round].of(vote.kind).add(vote)
        self._find_winners()

    def standing(self, vote: Vote, *, favoured: frozenset[BlockId]) -> Standing:
        """Judge before the costly signature check whether a vote could be of any use.

        Votes for a `favoured` id are kept even from a validator that has used up its variants.
        """
        votes = self.rounds.get(vote.round)
        if votes is None:
            return self._standing_ahead(vote)
        tally = votes.prevotes if vote.kind == PREVOTE else votes.precommits
        variants = tally.by_voter.get(vote.validator)
        if not variants:
            return "new"
        if vote.block_id in variants:
            return "known"
        if len(variants) < VARIANTS_MAX or vote.block_id in favoured:
            return "second"
        return "useless"

    def _find_winners(self) -> None:
        self.won = [
            (round_, kind, winner)
            for round_, votes in self.rounds.items()
            for kind, winner in (
                (PREVOTE, votes.prevotes.winner),
                (PRECOMMIT, votes.precommits.winner),
            )
            if winner is not None
        ]

    def _standing_ahead(self, vote: Vote) -> Standing:
        newest = self._newest.get(vote.validator, NO_ROUND)
        if vote.round > newest:
            return "new"
        held = self._ahead.get(vote.validator)
        if vote.round < newest or held is None:
            return "useless"
        return "known" if vote.kind in held else "new"

    def add(self, vote: Vote) -> None:
        """Take in a verified vote that `standing` found to be of use."""
        voter, round_ = vote.validator, vote.round
        is_newest = round_ > self._newest.get(voter, NO_ROUND)
        if is_newest:
            self._newest[voter] = round_
            self.highest = max(self.highest, round_)
            self._ahead.pop(voter, None)
        votes = self.rounds.get(round_)
        if votes is None:
            self._ahead.setdefault(voter, {})[vote.kind] = vote
            return
        tally = votes.prevotes if vote.kind == PREVOTE else votes.precommits
        winner = tally.winner
        tally.add(vote)
        if tally.winner is not winner:
            self._find_winners()

    def saw(self, validator: int, round_: Round) -> None:
        """Note that a validator proposed in a round, hence has reached it."""
        if round_ > self._newest.get(validator, NO_ROUND):
            self._newest[validator] = round_
            self.highest = max(self.highest, round_)
            self._ahead.pop(validator, None)

    def first_of(self, vote: Vote) -> Vote:
        """Return the vote that a `second` one contradicts."""
        return next(iter(self.rounds[vote.round].of(vote.kind).variants(vote.validator).values()))

    def like(self, vote: Vote) -> Vote | None:
        """Return a vote of the same validator in the same place, one for the same id if it is here.

        None when there is none, or when its round is not kept.
        """
        if vote.round not in self.rounds:
            return None
        variants = self.rounds[vote.round].of(vote.kind).variants(vote.validator)
        return variants.get(vote.block_id) or next(iter(variants.values()), None)

    def has_quorum_past(self, kind: int, round_: Round) -> bool:
        """Tell whether more than two thirds have voted in a step of a round, or are beyond it.

        Wider than the paper's lines 34 and 47, which count votes of that very step: a node that
        restarts keeps its newest vote only, so its older ones may be lost for good, and the newest
        shows as well that it waits for nobody in that step. The rules that this enables end in a
        nil precommit or a new round, which are always safe.
        """
        votes = self.rounds[round_]
        if self.highest <= round_ and (kind != PREVOTE or not votes.precommits.power):
            return self._electorate.is_quorum(votes.of(kind).power)
        passed = set(votes.precommits.voters())
        if kind == PREVOTE:
            passed.update(votes.prevotes.voters())
        passed.update(voter for voter, newest in self._newest.items() if newest > round_)
        return self._electorate.is_quorum(self._power(passed))

    def round_of_others(self) -> Round:
        """Return the highest round that more than a third of the power has reached (line 55)."""
        power = 0
        for round_, validator in sorted(
            ((round_, validator) for validator, round_ in self._newest.items()), reverse=True
        ):
            power += self._electorate.powers[validator]
            if self._electorate.is_blocking(power):
                return round_
        return NO_ROUND

    def bitmap(self, kind: int, round_: Round, block_id: BlockId | None = None) -> bytes:
        """Say in bits who has voted (for one id, if given) in a kept round."""
        bits = 0
        for voter in self.rounds[round_].of(kind).voters(block_id):
            bits |= 1 << voter
        return bits.to_bytes((len(self._electorate) + 7) // 8, "little")

    def votes(self) -> Iterator[Vote]:
        """Go through every vote that is kept, oldest round first."""
        for votes in self.rounds.values():
            yield from votes.votes()
        for held in self._ahead.values():
            yield from held.values()

    def _power(self, voters: Iterable[int]) -> int:
        return sum(self._electorate.powers[voter] for voter in voters)
