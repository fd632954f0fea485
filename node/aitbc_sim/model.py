"""Can any order of messages make four validators, one of them a liar, call two values final?

Every behaviour of a few rounds is gone through, with the node's own `algorithm.advance` and its own
quorum. Messages are never lost here, only late: a node may act on whatever was sent at any time,
on any part of it, and any time-out may fire at any moment. The liar has sent every vote and every
proposal from the start, so all proposers are covered: an honest one proposes less. Do not add
networks, disks or crashes: `world.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from aitbc_node.blocks import NO_BLOCK
from aitbc_node.consensus import algorithm
from aitbc_node.consensus.algorithm import Condition, Order, State
from aitbc_node.consensus.electorate import Electorate
from aitbc_node.consensus.inputs import Step
from aitbc_node.consensus.messages import NO_ROUND
from aitbc_node.types import BlockId, Height, Round
from aitbc_sim.testing import a_set, a_value

HONEST = 3
VALUES = (a_value("a"), a_value("b"))
_OTHER = {VALUES[0]: VALUES[1], VALUES[1]: VALUES[0]}

Advance = Callable[[State, Condition], tuple[State, tuple[Order, ...]]]
Votes = tuple[BlockId | None, BlockId | None]
"""Prevote and precommit of one round; None is not voted yet."""


class Local(NamedTuple):
    """Be one honest validator: where it is, and what it has sent."""

    round: Round
    step: Step
    locked_round: Round
    locked_id: BlockId
    votes: tuple[Votes, ...]

    def swapped(self) -> "Local":
        """Return the same with the two values in each other's place."""
        votes = tuple(tuple(_OTHER.get(v, v) if v else v for v in row) for row in self.votes)
        return self._replace(locked_id=_OTHER.get(self.locked_id, self.locked_id), votes=votes)  # type: ignore[arg-type]  # rows keep their length


class Need(NamedTuple):
    """Say what honest validators must have sent before a move is possible."""

    kind: str
    round: int = 0
    value: BlockId = NO_BLOCK


class Result(NamedTuple):
    """Tell what was found, and how much was gone through."""

    states: int
    conflict: str
    """Which two values can both be final; empty when none can."""


class _Model:
    def __init__(self, rounds: int, advance: Advance) -> None:
        self._rounds = rounds
        self._advance = advance
        is_quorum = Electorate(a_set([1] * (HONEST + 1))).is_quorum
        self._least = next(count for count in range(HONEST + 1) if is_quorum(count + 1))
        """So many honest votes are enough beside the liar's."""
        self.locals: list[Local] = []
        self._number_of: dict[Local, int] = {}
        self._swap: list[int] = []
        self._moves: dict[int, tuple[tuple[Need | None, int], ...]] = {}

    def number(self, local: Local) -> int:
        """Return a small number for a local state, the same for the same one."""
        known = self._number_of.get(local)
        if known is not None:
            return known
        numbers = []
        for one in dict.fromkeys((local, local.swapped())):
            self._number_of[one] = len(self.locals)
            numbers.append(len(self.locals))
            self.locals.append(one)
        self._swap.extend(reversed(numbers))
        return numbers[0]

    def canonical(self, nodes: list[int]) -> tuple[int, ...]:
        """Return one of all states that differ by names of validators or values only."""
        nodes.sort()
        swapped = sorted(self._swap[node] for node in nodes)
        return tuple(min(nodes, swapped))

    def successors(self, nodes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Go through all states that one move of one validator leads to."""
        sent = [self.locals[node] for node in nodes]
        known: dict[Need, bool] = {}
        for place, node in enumerate(nodes):
            for need, moved in self.moves(node):
                if need is not None:
                    if need not in known:
                        known[need] = self._is_met(need, sent)
                    if not known[need]:
                        continue
                yield self.canonical([*nodes[:place], moved, *nodes[place + 1 :]])

    def moves(self, node: int) -> tuple[tuple[Need | None, int], ...]:
        """List what a validator can do from here, and what each move needs."""
        if node not in self._moves:
            local = self.locals[node]
            found = {
                (need, self.number(after))
                for need, condition in _conditions(local, self._rounds)
                if (after := self._after(local, condition)) != local
            }
            self._moves[node] = tuple(found)
        return self._moves[node]

    def final(self, nodes: tuple[int, ...]) -> list[BlockId]:
        """List the values that somebody may call final."""
        sent = [self.locals[node] for node in nodes]
        return [
            value
            for value in VALUES
            if any(self._count(sent, r, 1, value) >= self._least for r in range(self._rounds))
        ]

    def _after(self, local: Local, condition: Condition) -> Local:
        before = State(
            Height(1),
            local.round,
            local.step,
            local.locked_round,
            local.locked_id,
        )
        after, orders = self._advance(before, condition)
        votes = list(local.votes)
        for order in orders:
            prevote, precommit = votes[local.round]
            if isinstance(order, algorithm.Prevote):
                votes[local.round] = (order.block_id, precommit)
            elif isinstance(order, algorithm.Precommit):
                votes[local.round] = (prevote, order.block_id)
        return Local(after.round, after.step, after.locked_round, after.locked_id, tuple(votes))

    def _is_met(self, need: Need, sent: list[Local]) -> bool:
        kind, round_, value = need
        match kind:
            case "prevotes":
                return self._count(sent, round_, 0, value) >= self._least
            case "any prevotes":
                return sum(n.votes[round_][0] is not None for n in sent) >= self._least
            case "any precommits":
                return sum(n.votes[round_][1] is not None for n in sent) >= self._least
            case _:  # one honest validator beside the liar is in that round
                return any(n.votes[round_] != (None, None) for n in sent)

    @staticmethod
    def _count(sent: list[Local], round_: int, kind: int, value: BlockId) -> int:
        return sum(node.votes[round_][kind] == value for node in sent)


def explore(
    *, rounds: int, first: Sequence[Votes] = (), advance: Advance = algorithm.advance
) -> Result:
    """Go through every reachable state; stop at the first with two final values.

    `first` is what the honest validators have sent in round 0, if that is behind them.
    """
    model = _Model(rounds, advance)
    begun = [_begun(votes, rounds) for votes in first] or [_begun(None, rounds)] * HONEST
    start = model.canonical([model.number(local) for local in begun])
    seen, waiting = {start}, [start]
    while waiting:
        nodes = waiting.pop()
        for after in model.successors(nodes):
            if after in seen:
                continue
            seen.add(after)
            if len(model.final(after)) > 1:
                return Result(len(seen), f"two values can be final: {_told(model, after)}")
            waiting.append(after)
    return Result(len(seen), "")


def _begun(first: Votes | None, rounds: int) -> Local:
    nothing: Votes = (None, None)
    if first is None:
        return Local(Round(0), Step.PROPOSE, NO_ROUND, NO_BLOCK, (nothing,) * rounds)
    locked = first[1] or NO_BLOCK
    locked_round = Round(0) if locked else NO_ROUND
    votes = (first, *(nothing,) * (rounds - 1))
    return Local(Round(1), Step.PROPOSE, locked_round, locked, votes)


def _conditions(local: Local, rounds: int) -> Iterator[tuple[Need | None, Condition]]:
    """Name every condition that could hold, with what it needs of honest validators."""
    round_ = local.round
    for value in VALUES:
        yield None, algorithm.FreshProposal(value, valid=True)
        for valid_round in range(round_):
            proof = Need("prevotes", valid_round, value)
            yield proof, algorithm.Reproposal(value, valid=True, valid_round=Round(valid_round))
            yield proof, algorithm.EarlierPrevotes(Round(valid_round), value)
        yield Need("prevotes", round_, value), algorithm.PrevotesForValue(value)
    yield None, algorithm.TimeoutPropose()
    yield Need("prevotes", round_), algorithm.PrevotesForNil()
    yield Need("any prevotes", round_), algorithm.TimeoutPrevote()
    if round_ + 1 < rounds:
        yield Need("any precommits", round_), algorithm.TimeoutPrecommit(proposing=False)
    for later in range(round_ + 1, rounds):
        yield Need("ahead", later), algorithm.OthersAhead(Round(later), proposing=False)


def _told(model: _Model, nodes: tuple[int, ...]) -> str:
    names: dict[BlockId | None, str] = {VALUES[0]: "a", VALUES[1]: "b", NO_BLOCK: "nil", None: "-"}
    rows = []
    for node in nodes:
        votes = model.locals[node].votes
        rows.append(" ".join(f"{names[prevote]}/{names[pre]}" for prevote, pre in votes))
    return "; ".join(rows)
