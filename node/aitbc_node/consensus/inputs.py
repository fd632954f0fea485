"""What goes into the consensus and what comes out of it.

`Consensus.step(event, ...)` takes one `ConsensusEvent` and returns `ConsensusEffect`s in order;
`SaveSignState` (of `aitbc_node.events`) is a barrier: the vote behind it must not leave before
it is on disk. Do not add behaviour here.
"""

from enum import IntEnum
from typing import Final

import msgspec

from aitbc_node.blocks import Certificate
from aitbc_node.consensus.messages import Proposal, RoundSummary, Vote
from aitbc_node.events import Note, SaveSignState
from aitbc_node.types import BlockId, Height, PeerId, PublicKey, Round


class Step(IntEnum):
    """Name where in a round a node is; the numbers of 1 to 3 are those of the sign state."""

    IDLE = 0
    """Between two heights: before the first, or the last one is decided."""
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3


# The same as names of this module: of an enumeration each costs twenty times as much to look up.
IDLE: Final = Step.IDLE
PROPOSE: Final = Step.PROPOSE
PREVOTE: Final = Step.PREVOTE
PRECOMMIT: Final = Step.PRECOMMIT


class ProposalReceived(msgspec.Struct, frozen=True):
    """A peer sent a proposal; its value may still be under way."""

    proposal: Proposal
    sender: PeerId | None = None


class VoteReceived(msgspec.Struct, frozen=True):
    """A peer sent a vote, its own or another's."""

    vote: Vote
    sender: PeerId | None = None


class ValueChecked(msgspec.Struct, frozen=True):
    """A value is here, in the log, and was judged; `time_ms` is its header's time."""

    block_id: BlockId
    valid: bool
    time_ms: int


class ValueBuilt(msgspec.Struct, frozen=True):
    """The answer to `BuildValue`: a valid value, in the log; `time_ms` is its header's time."""

    height: Height
    round: Round
    block_id: BlockId
    time_ms: int


class TimeoutFired(msgspec.Struct, frozen=True):
    """The delay of a `ScheduleTimeout` has passed."""

    step: Step
    height: Height
    round: Round


class PeerLinked(msgspec.Struct, frozen=True):
    """A link to a peer came up; it may have missed anything."""

    peer: PeerId


class SummaryReceived(msgspec.Struct, frozen=True):
    """A peer told what it holds."""

    sender: PeerId
    summary: RoundSummary


class Tick(msgspec.Struct, frozen=True):
    """Time has passed; due several times within `limits.RETRANSMIT_MS`."""


ConsensusEvent = (
    ProposalReceived
    | VoteReceived
    | ValueChecked
    | ValueBuilt
    | TimeoutFired
    | PeerLinked
    | SummaryReceived
    | Tick
)


class Propose(msgspec.Struct, frozen=True):
    """Send the own proposal, with its value's header and ids, to everyone."""

    proposal: Proposal


class CastVote(msgspec.Struct, frozen=True):
    """Send the own vote to everyone."""

    vote: Vote


class Accepted(msgspec.Struct, frozen=True):
    """A peer's proposal or vote is new, signed rightly and of use: it is worth relaying."""

    message: Proposal | Vote
    sender: PeerId | None


class ScheduleTimeout(msgspec.Struct, frozen=True):
    """Answer with `TimeoutFired` after a delay; a later one for the same step replaces it."""

    step: Step
    height: Height
    round: Round
    delay_ms: int


class BuildValue(msgspec.Struct, frozen=True):
    """Make a value for the own proposal; the answer is `ValueBuilt`."""

    height: Height
    round: Round


class WantValue(msgspec.Struct, frozen=True):
    """Get hold of a value and judge it; the answer is `ValueChecked`. Repeated while it lacks."""

    block_id: BlockId


class Decided(msgspec.Struct, frozen=True):
    """A value is final; the certificate holds every precommit for it that is here."""

    height: Height
    round: Round
    block_id: BlockId
    certificate: Certificate


class Summarise(msgspec.Struct, frozen=True):
    """Send a summary to one peer, or to all when `peer` is None."""

    peer: PeerId | None
    summary: RoundSummary


class Retransmit(msgspec.Struct, frozen=True):
    """Send a peer what it misses; a proposal goes with its value's header and ids."""

    peer: PeerId
    messages: tuple[Proposal | Vote, ...]


class Equivocation(msgspec.Struct, frozen=True):
    """A validator signed two different things where the protocol allows one; `key` is its key."""

    first: Proposal | Vote
    second: Proposal | Vote
    key: PublicKey


class Fault(msgspec.Struct, frozen=True):
    """A peer sent what no honest node sends; `what` is a dotted name for counting."""

    peer: PeerId
    what: str


ConsensusEffect = (
    SaveSignState
    | Propose
    | CastVote
    | Accepted
    | ScheduleTimeout
    | BuildValue
    | WantValue
    | Decided
    | Summarise
    | Retransmit
    | Equivocation
    | Fault
    | Note
)
