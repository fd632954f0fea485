"""What does the paper's Algorithm 1 do next, given where a node is and which condition holds?

One pure function over a small frozen state; comments give the paper's line numbers. Counting
votes, checking signatures and remembering what was signed happen elsewhere: do not add them here.
Source: arXiv:1807.04938, Algorithm 1.
"""

import msgspec

from aitbc_node.blocks import NO_BLOCK
from aitbc_node.consensus import inputs
from aitbc_node.consensus.inputs import Step
from aitbc_node.consensus.messages import NO_ROUND
from aitbc_node.types import BlockId, Height, Round


class State(msgspec.Struct, frozen=True):
    """Hold the paper's variables of one height (lines 1-9); values are named by their ids."""

    height: Height
    round: Round = Round(0)
    step: Step = inputs.IDLE
    locked_round: Round = NO_ROUND
    locked_id: BlockId = NO_BLOCK
    valid_round: Round = NO_ROUND
    valid_id: BlockId = NO_BLOCK


class RoundBegins(msgspec.Struct, frozen=True):
    """A round of the height starts (line 10 or 11)."""

    round: Round
    proposing: bool


class ValueArrives(msgspec.Struct, frozen=True):
    """The own `getValue()` of line 18 has an answer."""

    block_id: BlockId


class FreshProposal(msgspec.Struct, frozen=True):
    """A value is proposed for the first time (line 22); it was judged."""

    block_id: BlockId
    valid: bool


class Reproposal(msgspec.Struct, frozen=True):
    """A value comes again with the prevotes of an earlier round (line 28); it was judged."""

    block_id: BlockId
    valid: bool
    valid_round: Round


class PrevotesAny(msgspec.Struct, frozen=True):
    """More than two thirds have prevoted, not all alike (line 34)."""


class PrevotesForValue(msgspec.Struct, frozen=True):
    """More than two thirds prevoted one valid value (line 36)."""

    block_id: BlockId


class EarlierPrevotes(msgspec.Struct, frozen=True):
    """More than two thirds had prevoted one valid value in a round that is over here."""

    round: Round
    block_id: BlockId


class PrevotesForNil(msgspec.Struct, frozen=True):
    """More than two thirds prevoted nil (line 44)."""


class PrecommitsAny(msgspec.Struct, frozen=True):
    """More than two thirds have precommitted, not all alike (line 47)."""


class PrecommitsForValue(msgspec.Struct, frozen=True):
    """More than two thirds precommitted one valid value, in whatever round (line 49)."""

    round: Round
    block_id: BlockId


class OthersAhead(msgspec.Struct, frozen=True):
    """More than one third is in a higher round, hence an honest node is (line 55)."""

    round: Round
    proposing: bool


class TimeoutPropose(msgspec.Struct, frozen=True):
    """No proposal came in time (line 57)."""


class TimeoutPrevote(msgspec.Struct, frozen=True):
    """The prevotes did not agree in time (line 61)."""


class TimeoutPrecommit(msgspec.Struct, frozen=True):
    """The precommits did not agree in time (line 65)."""

    proposing: bool
    """Whether this node proposes in the round that follows."""


Condition = (
    RoundBegins
    | ValueArrives
    | FreshProposal
    | Reproposal
    | PrevotesAny
    | PrevotesForValue
    | EarlierPrevotes
    | PrevotesForNil
    | PrecommitsAny
    | PrecommitsForValue
    | OthersAhead
    | TimeoutPropose
    | TimeoutPrevote
    | TimeoutPrecommit
)


class Offer(msgspec.Struct, frozen=True):
    """Broadcast a proposal (line 19)."""

    block_id: BlockId
    valid_round: Round


class FetchOwnValue(msgspec.Struct, frozen=True):
    """Call `getValue()` (line 18)."""


class Prevote(msgspec.Struct, frozen=True):
    """Broadcast a prevote."""

    block_id: BlockId


class Precommit(msgspec.Struct, frozen=True):
    """Broadcast a precommit."""

    block_id: BlockId


class Wait(msgspec.Struct, frozen=True):
    """Start the time-out of a step of the current round."""

    step: Step


class Decide(msgspec.Struct, frozen=True):
    """Make a value final (line 51)."""

    round: Round
    block_id: BlockId


Order = Offer | FetchOwnValue | Prevote | Precommit | Wait | Decide

_Outcome = tuple[State, tuple[Order, ...]]


def advance(state: State, condition: Condition) -> _Outcome:  # noqa: C901, PLR0911, PLR0912 - the paper is one table
    """Apply the one rule of the paper that the condition enables.

    A condition that does not fit the step changes nothing, as in the paper, where each rule is
    guarded by its step. "For the first time" (lines 34, 36, 47) is the caller's to see to.
    """
    match state.step, condition:
        case (_, RoundBegins(round=round_, proposing=proposing)):  # lines 10-21
            return _start_round(state, round_, proposing=proposing)

        case (inputs.PROPOSE, ValueArrives(block_id=value)):  # lines 18-19
            return state, (Offer(value, NO_ROUND),)

        case (inputs.PROPOSE, FreshProposal(block_id=value, valid=valid)):  # line 22
            free = state.locked_round == NO_ROUND or state.locked_id == value  # line 23
            vote = Prevote(value if valid and free else NO_BLOCK)  # lines 24, 26
            return _at(state, inputs.PREVOTE), (vote,)  # line 27

        case (inputs.PROPOSE, Reproposal(block_id=value, valid=valid, valid_round=valid_round)):
            # Line 28; the lock yields to prevotes that are at least as new as itself (line 29).
            free = state.locked_round <= valid_round or state.locked_id == value
            vote = Prevote(value if valid and free else NO_BLOCK)  # lines 30, 32
            return _at(state, inputs.PREVOTE), (vote,)  # line 33

        case (inputs.PREVOTE, PrevotesAny()):  # line 34
            return state, (Wait(inputs.PREVOTE),)  # line 35

        case (inputs.PREVOTE, PrevotesForValue(block_id=value)):  # lines 36-43
            locked = _with_valid(_with_lock(state, value), value, state.round)
            return _at(locked, inputs.PRECOMMIT), (Precommit(value),)

        case (inputs.PRECOMMIT, PrevotesForValue(block_id=value)):  # lines 36, 42-43
            return _with_valid(state, value, state.round), ()

        case (
            inputs.PROPOSE | inputs.PREVOTE | inputs.PRECOMMIT,
            EarlierPrevotes(round=round_, block_id=value),
        ) if state.valid_round < round_ < state.round:
            # Lines 42-43 of an earlier round, which the paper forgets when a round is over. Whoever
            # is locked on it would vote nil on anything else that this node proposes, and what is
            # proposed is justified by its prevotes, whenever they came.
            return _with_valid(state, value, round_), ()

        case (inputs.PREVOTE, PrevotesForNil()):  # line 44
            return _at(state, inputs.PRECOMMIT), (Precommit(NO_BLOCK),)  # lines 45-46

        case (inputs.PROPOSE | inputs.PREVOTE | inputs.PRECOMMIT, PrecommitsAny()):  # line 47
            return state, (Wait(inputs.PRECOMMIT),)  # line 48

        case (
            inputs.PROPOSE | inputs.PREVOTE | inputs.PRECOMMIT,
            PrecommitsForValue(round=round_, block_id=value),
        ):  # lines 49-54; the next height begins when the machine says so
            return _at(state, inputs.IDLE), (Decide(round_, value),)

        case (
            inputs.PROPOSE | inputs.PREVOTE | inputs.PRECOMMIT,
            OthersAhead(round=round_, proposing=proposing),
        ) if round_ > state.round:  # lines 55-56
            return _start_round(state, round_, proposing=proposing)

        case (inputs.PROPOSE, TimeoutPropose()):  # lines 57-60
            return _at(state, inputs.PREVOTE), (Prevote(NO_BLOCK),)

        case (inputs.PREVOTE, TimeoutPrevote()):  # lines 61-64
            return _at(state, inputs.PRECOMMIT), (Precommit(NO_BLOCK),)

        case (
            inputs.PROPOSE | inputs.PREVOTE | inputs.PRECOMMIT,
            TimeoutPrecommit(proposing=proposing),
        ):  # lines 65-67
            return _start_round(state, Round(state.round + 1), proposing=proposing)

        case _:
            return state, ()


def _start_round(state: State, round_: Round, *, proposing: bool) -> _Outcome:
    """Begin a round (lines 11-21).

    The proposer waits as well: the paper's `getValue()` returns at once, ours has to execute a
    block and have it on disk, and a node that cannot do so must not hold up its own round.
    """
    begun = msgspec.structs.replace(state, round=round_, step=inputs.PROPOSE)  # lines 12-13
    wait = Wait(inputs.PROPOSE)  # line 21
    if not proposing:  # line 14
        return begun, (wait,)
    if state.valid_id != NO_BLOCK:  # lines 15-16
        return begun, (wait, Offer(state.valid_id, state.valid_round))
    return begun, (wait, FetchOwnValue())  # line 18


def _at(state: State, step: Step) -> State:
    return msgspec.structs.replace(state, step=step)


def _with_lock(state: State, value: BlockId) -> State:
    return msgspec.structs.replace(state, locked_round=state.round, locked_id=value)


def _with_valid(state: State, value: BlockId, round_: Round) -> State:
    return msgspec.structs.replace(state, valid_round=round_, valid_id=value)
