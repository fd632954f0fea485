"""Which peers hear that another block is final here, and when?

Who has its blocks from this node is told at once. All others see the votes themselves; for them it
is enough to hear now and then how high this node is, several blocks in one message, which is a sign
of life as well. Do not add what a peer does with it: `catch_up.py`.
"""

from collections.abc import Iterable

import msgspec

from aitbc_node import limits
from aitbc_node.types import Height, PeerId

NEWS_MS = limits.PING_MS
"""How long a height may be news to a peer that keeps up by itself."""


class _Known(msgspec.Struct):
    """Remember what one peer was told, and the highest block that it may have from here."""

    told: Height
    given: Height | None = None
    """None before it has said what it came with."""
    keeps_up: bool = False


class News:
    """Remember the linked peers."""

    def __init__(self) -> None:
        self._known: dict[PeerId, _Known] = {}
        self.newest = Height(0)
        """The last block that was told of."""
        self._spread_ms = 0

    def greeted(self, peer: PeerId, height: Height) -> None:
        """Begin with a peer that is told this height on its new link; nothing is known of it."""
        self._known[peer] = _Known(height)

    def forget(self, peer: PeerId) -> None:
        """Forget a peer whose link is gone."""
        self._known.pop(peer, None)

    def claimed(self, peer: PeerId, height: Height) -> None:
        """Hear what a peer has: more than it came with or asked for here, and it keeps up."""
        known = self._known.get(peer)
        if known is None:
            return
        if known.given is None:
            known.given = height
        elif height > known.given:
            known.keeps_up = True

    def asked(self, peer: PeerId, last: Height) -> None:
        """Hear that a peer wants blocks up to this one."""
        known = self._known.get(peer)
        if known is not None:
            known.given = max(known.given or last, last)
            known.keeps_up = False

    def at_once(self, height: Height) -> tuple[PeerId, ...]:
        """Name who is told of a new block now."""
        self.newest = height
        return self._tell(peer for peer, known in self._known.items() if not known.keeps_up)

    def by_and_by(self, now_ms: int) -> tuple[PeerId, ...]:
        """Name who is told of the newest block now that some time has passed; mostly nobody."""
        if now_ms - self._spread_ms < NEWS_MS:
            return ()
        self._spread_ms = now_ms
        newest = self.newest
        return self._tell(peer for peer, known in self._known.items() if known.told < newest)

    def _tell(self, peers: Iterable[PeerId]) -> tuple[PeerId, ...]:
        told = tuple(peers)
        for peer in told:
            self._known[peer].told = self.newest
        return told
