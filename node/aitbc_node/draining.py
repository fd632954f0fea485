"""When may this node be stopped at the least cost, and how does it keep out of the way then?

A validator that is stopped while it is its turn, or just before, costs the others a round. With
rotation nobody can hand a turn over, so the node waits: until its own proposal is final, unless its
next turn is far away anyway. From its answer on it lets its turns pass, until it is stopped or, if
nobody stops it, for a bounded time. Source: rules 4.3. Do not add what a restart is here.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from aitbc_node.chain import Chain
from aitbc_node.consensus.electorate import Electorate
from aitbc_node.consensus.inputs import Step
from aitbc_node.events import Answer, DrainAsked, Drained
from aitbc_node.mesh import Mesh
from aitbc_node.outbox import Outbox
from aitbc_node.types import Height, PublicKey, Round
from aitbc_node.validators import ValidatorSet
from aitbc_node.voting import Voting

HOLD_MS = 30_000
"""So long a drained node that nobody stops lets its turns pass."""

RESTART_MS = 10_000
"""A turn that is further away is not waited for: a restart and two heights of listening fit in."""

HEIGHTS_AHEAD = 256


class Outlook(msgspec.Struct, frozen=True):
    """Say when this node's next turn is, and how long the longest pause between two turns is.

    Units: heights that others propose.
    """

    next_turn_in: int
    pause: int


def outlook(validators: ValidatorSet, key: PublicKey) -> Outlook | None:
    """Look at the turns ahead; None when the own key has none.

    A round takes one more turn of the same rotation as a height, so round n of the next height is
    proposed by whoever proposes n heights later.
    """
    electorate = Electorate(validators)
    own = electorate.index_of(key)
    turns = [n for n in range(HEIGHTS_AHEAD) if electorate.proposer(Round(n)) == own]
    if not turns:
        return None
    return Outlook(turns[0], max(_pauses(turns), default=turns[0]))


def _pauses(turns: Sequence[int]) -> list[int]:
    return [later - turn - 1 for turn, later in pairwise(turns)]


class Draining:
    """Wait for the moment to stop, and hold proposals back from then on."""

    def __init__(
        self,
        outbox: Outbox,
        chain: Chain,
        mesh: Mesh,
        *,
        voting: Voting,
        interval_ms: int,
    ) -> None:
        self._out = outbox
        self._chain = chain
        self._mesh = mesh
        self._voting = voting
        self._far = -(-RESTART_MS // interval_ms)
        self._seen: tuple[Height, Outlook | None] | None = None
        self._asked: DrainAsked | None = None
        self._deadline_ms = 0
        self._held_until_ms: int | None = None
        self.is_under_way = False
        """Whether there is a moment that `poll` waits for."""

    def ask(self, event: DrainAsked) -> None:
        """Begin to wait; who asked before is answered at once."""
        if self._asked is not None:
            self._answer(self._outlook(), in_time=False)
        self._asked = event
        self.is_under_way = True
        self._deadline_ms = self._out.now_ms + event.deadline_ms

    def poll(self) -> None:
        """Answer if the moment has come; take turns again when nobody has stopped this node."""
        if self._held_until_ms is not None and self._out.now_ms >= self._held_until_ms:
            self._hold(until_ms=None)
            self._out.note("drain.over", height=self._chain.height)
        if self._asked is None:
            return
        ahead = self._outlook()
        if ahead is None or self._is_alone() or self._is_good_moment(ahead):
            self._answer(ahead, in_time=True)
        elif self._out.now_ms >= self._deadline_ms:
            self._answer(ahead, in_time=False)

    def _outlook(self) -> Outlook | None:
        voting = self._voting
        own_key = voting.own_key
        if own_key is None or voting.is_frozen or voting.consensus.refusal:
            return None
        if self._seen is None or self._seen[0] != self._chain.height:
            ahead = outlook(self._chain.state.validators, own_key)
            self._seen = self._chain.height, ahead
        return self._seen[1]

    def _is_alone(self) -> bool:
        """Tell whether no proposal can become final anyway: there is nothing to wait for."""
        validators = self._chain.state.validators
        return not validators.is_quorum(self._mesh.reach.power(validators, self._out.now_ms))

    def _is_good_moment(self, ahead: Outlook) -> bool:
        if ahead.next_turn_in < min(self._far, ahead.pause):
            return False
        state = self._voting.consensus.state
        if not self._voting.is_at_work or state.step is Step.IDLE:
            return True
        # A round that is this node's own may be a later one of the height under way.
        proposer = self._chain.state.validators.proposer(state.round).key
        return proposer != self._voting.own_key

    def _answer(self, ahead: Outlook | None, *, in_time: bool) -> None:
        assert self._asked is not None, "somebody waits for this answer"
        turn_in = None if ahead is None else ahead.next_turn_in
        drained = Drained(self._chain.height, turn_in, in_time)
        self._out.add(Answer(self._asked.request, drained))
        self._asked = None
        self._hold(until_ms=self._out.now_ms + HOLD_MS)
        self._out.note("drain.done", height=drained.height, next_turn_in=turn_in, in_time=in_time)

    def _hold(self, *, until_ms: int | None) -> None:
        self._held_until_ms = until_ms
        self.is_under_way = self._asked is not None or until_ms is not None
        self._voting.consensus.hold_proposals(held=until_ms is not None)
