"""How good does each peer stand with this node, by what the node has seen it do itself?

Nobody's word about others counts. A fault costs points, time gives them back, and who has lost them
all is banned for a while. Do not add links or dials here.
"""

import msgspec

from aitbc_node.types import PeerId

FAULT_PENALTY = 25
PENALTY_MAX = 100
"""A peer with this much penalty is banned; a second without a fault takes one point off."""
BAN_MS = 60_000
CULPRITS_MAX = 1_000


class _Culprit(msgspec.Struct):
    penalty: int
    since_ms: int
    banned_until_ms: int = 0


class Standing:
    """Remember who has done wrong; bounded, the oldest culprit makes room for a new one."""

    def __init__(self) -> None:
        self._culprits: dict[PeerId, _Culprit] = {}

    def score(self, peer: PeerId, now_ms: int) -> int:
        """Return the points that a peer has left; the most are `PENALTY_MAX`."""
        return PENALTY_MAX - self._penalty(peer, now_ms)

    def is_banned(self, peer: PeerId, now_ms: int) -> bool:
        """Tell whether nothing may be had to do with a peer."""
        culprit = self._culprits.get(peer)
        return culprit is not None and now_ms < culprit.banned_until_ms

    def blame(self, peer: PeerId, now_ms: int, *, is_forgery: bool) -> int:
        """Count a fault; return the penalty now. Forgery or a row of faults means a ban."""
        added = PENALTY_MAX if is_forgery else FAULT_PENALTY
        penalty = min(self._penalty(peer, now_ms) + added, PENALTY_MAX)
        culprit = self._culprits.pop(peer, None) or _Culprit(0, now_ms)
        culprit.penalty, culprit.since_ms = penalty, now_ms
        if penalty >= PENALTY_MAX:
            culprit.banned_until_ms = now_ms + BAN_MS
        if len(self._culprits) >= CULPRITS_MAX:
            del self._culprits[next(iter(self._culprits))]
        self._culprits[peer] = culprit
        return penalty

    def _penalty(self, peer: PeerId, now_ms: int) -> int:
        culprit = self._culprits.get(peer)
        if culprit is None:
            return 0
        return max(0, culprit.penalty - (now_ms - culprit.since_ms) // 1_000)
