"""How long does a node wait in each step before it goes on without the others?

Delays grow with the round, so that they outgrow the network's real delay, and are capped, so that
recovery after a long outage does not take as long as the outage. Source: the paper, lines 21, 35,
48; rules 1.9 and 2.7.
"""

import msgspec

from aitbc_node import limits
from aitbc_node.consensus.inputs import Step
from aitbc_node.types import Round


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the delays of one node, in milliseconds."""

    propose_ms: int = limits.PROPOSE_TIMEOUT_MS
    vote_ms: int = limits.VOTE_TIMEOUT_MS
    delta_ms: int = limits.TIMEOUT_DELTA_MS
    cap_ms: int = limits.TIMEOUT_CAP_MS

    def delay_ms(self, step: Step, round_: Round) -> int:
        """Return how long to wait in this step of this round."""
        start_ms = self.propose_ms if step is Step.PROPOSE else self.vote_ms
        return min(start_ms + round_ * self.delta_ms, self.cap_ms)
