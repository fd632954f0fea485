"""How good does each peer stand with this node, by what the node has seen it do itself?

Nobody's word about others counts. A fault costs points, time gives them back, and who has lost them
all is banned for a while; who comes back and does it again, for twice as long. Bans outlive the
process, points do not. Do not add links or dials here.
"""

from collections.abc import Iterable

import msgspec

from aitbc_node.canonical import NotCanonicalError, Record, decode, encode
from aitbc_node.limits import CULPRITS_MAX
from aitbc_node.types import PeerId

FAULT_PENALTY = 25
PENALTY_MAX = 100
"""A peer with this much penalty is banned; a second without a fault takes one point off."""
BAN_MS = 60_000
BAN_DOUBLINGS_MAX = 6
BAN_MS_MAX = BAN_MS << BAN_DOUBLINGS_MAX


class Ban(Record, frozen=True):
    """Be what is kept of a ban. Units: `until_ms` is Unix time: no other clock outlives a node."""

    peer: PeerId
    until_ms: int


class _Culprit(msgspec.Struct):
    penalty: int
    since_ms: int
    bans: int = 0
    banned_until_ms: int = 0


class Standing:
    """Remember who has done wrong; bounded, the oldest culprit makes room for a new one.

    Units: `now_ms` on the clock that never goes back, `wall_ms` in Unix time, for what is kept.
    """

    def __init__(self) -> None:
        self._culprits: dict[PeerId, _Culprit] = {}
        self._has_news = False

    def restore(self, raws: Iterable[bytes], *, now_ms: int, wall_ms: int) -> None:
        """Take back the bans of an earlier process; a clock that was set back makes none longer."""
        for raw in raws:
            try:
                ban = decode(raw, Ban)
            except NotCanonicalError:
                continue
            left_ms = min(ban.until_ms - wall_ms, BAN_MS_MAX)
            if left_ms > 0:
                until_ms = now_ms + left_ms
                self._culprits[ban.peer] = _Culprit(PENALTY_MAX, now_ms, 1, until_ms)

    def news(self, *, now_ms: int, wall_ms: int) -> tuple[bytes, ...] | None:
        """Return all bans, to be kept, if there is a new one since this was asked last."""
        if not self._has_news:
            return None
        self._has_news = False
        return tuple(encode(Ban(peer, wall_ms + left_ms)) for peer, left_ms in self.banned(now_ms))

    def banned(self, now_ms: int) -> tuple[tuple[PeerId, int], ...]:
        """List who is banned, and for how many milliseconds more."""
        return tuple(
            (peer, culprit.banned_until_ms - now_ms)
            for peer, culprit in self._culprits.items()
            if now_ms < culprit.banned_until_ms
        )

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
            culprit.banned_until_ms = now_ms + (BAN_MS << min(culprit.bans, BAN_DOUBLINGS_MAX))
            culprit.bans += 1
            self._has_news = True
        if len(self._culprits) >= CULPRITS_MAX:
            del self._culprits[self._forgiven(now_ms)]
        self._culprits[peer] = culprit
        return penalty

    def _forgiven(self, now_ms: int) -> PeerId:
        """Name who is forgotten first: the oldest that is not banned, else the oldest."""
        free = (peer for peer, row in self._culprits.items() if now_ms >= row.banned_until_ms)
        return next(free, next(iter(self._culprits)))

    def _penalty(self, peer: PeerId, now_ms: int) -> int:
        culprit = self._culprits.get(peer)
        if culprit is None:
            return 0
        return max(0, culprit.penalty - (now_ms - culprit.since_ms) // 1_000)
