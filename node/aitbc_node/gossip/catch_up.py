"""Which peer is ahead, what was asked of it, and when to ask another?

Peers claim heights; a claim is believed only as far as the peer delivers. One request is open at a
time. A peer that does not answer, or has nothing, is doubted for a while, so that a boaster cannot
keep a node from taking part. Whether the blocks are true is judged by whoever applies them. Do not
add that here.
"""

from collections.abc import Iterator

import msgspec

from aitbc_node import limits
from aitbc_node.blocks import FinalBlock
from aitbc_node.errors import PeerFault
from aitbc_node.events import Send
from aitbc_node.gossip.messages import FinalsWanted, send
from aitbc_node.types import Height, PeerId

ANSWER_MS = 3_000
DOUBT_MS = 30_000
SILENT_MS = 2_000
"""A peer that did not answer may have been cut off: doubted for so long, doubled each time."""
DOUBTED_MAX = 4 * limits.PEERS_MAX
PATIENCE_MS = 300
"""A peer one block ahead is normal: votes are about to bring that block here as well."""


class _Request(msgspec.Struct, frozen=True):
    peer: PeerId
    first: Height
    last: Height
    asked_ms: int


class CatchUp:
    """Follow the peers' heights and fetch what this node lacks."""

    def __init__(self) -> None:
        self._claims: dict[PeerId, Height] = {}
        self._doubted_until_ms: dict[PeerId, int] = {}
        self._silences: dict[PeerId, int] = {}
        self._request: _Request | None = None
        self._behind_since_ms: int | None = None

    def claim(self, peer: PeerId, height: Height, now_ms: int) -> None:
        """Take a peer's word for its newest final block, unless it is doubted."""
        if now_ms >= self._doubted_until_ms.get(peer, 0):
            self._doubted_until_ms.pop(peer, None)
            self._claims[peer] = height

    def forget(self, peer: PeerId) -> None:
        """Drop the claim of a peer whose link is gone."""
        self._claims.pop(peer, None)
        if self._request is not None and self._request.peer == peer:
            self._request = None

    def doubt(self, peer: PeerId, now_ms: int, *, for_ms: int = DOUBT_MS) -> None:
        """Believe a peer's claims no more for a while."""
        self.forget(peer)
        if len(self._doubted_until_ms) >= DOUBTED_MAX:
            del self._doubted_until_ms[next(iter(self._doubted_until_ms))]
        self._doubted_until_ms[peer] = now_ms + for_ms

    def _doubt_silent(self, peer: PeerId, now_ms: int) -> None:
        if len(self._silences) >= DOUBTED_MAX:
            self._silences.clear()
        count = self._silences.get(peer, 0)
        self._silences[peer] = count + 1
        self.doubt(peer, now_ms, for_ms=min(SILENT_MS << min(count, 8), DOUBT_MS))

    def is_far_behind(self, tip: Height) -> bool:
        """Tell whether taking part at the next height is pointless: others are past it."""
        return max(self._claims.values(), default=0) > tip + 1

    def best_claim(self) -> Height:
        """Return the greatest height that a peer claims."""
        return max(self._claims.values(), default=Height(0))

    def poll(self, tip: Height, now_ms: int, *, busy: bool) -> Iterator[Send]:
        """Ask for the next blocks if there is reason to; `busy` while earlier ones are applied."""
        if self._request is not None and now_ms - self._request.asked_ms >= ANSWER_MS:
            self._doubt_silent(self._request.peer, now_ms)
        ahead = self.best_claim() - tip
        if ahead <= 0:
            self._behind_since_ms = None
            return
        if self._behind_since_ms is None:
            self._behind_since_ms = now_ms
        waited_ms = now_ms - self._behind_since_ms
        if busy or self._request is not None or (ahead == 1 and waited_ms < PATIENCE_MS):
            return
        best = self.best_claim()
        peer = next(peer for peer, height in self._claims.items() if height == best)
        first = Height(tip + 1)
        last = Height(min(best, tip + limits.CATCH_UP_BLOCKS_MAX))
        self._request = _Request(peer, first, last, now_ms)
        yield from send((peer,), FinalsWanted(first, last))

    def answered(
        self, peer: PeerId, blocks: tuple[FinalBlock, ...], now_ms: int
    ) -> tuple[FinalBlock, ...]:
        """Take the answer to the open request; an old answer, already given up, counts as none.

        Raises: PeerFault when the blocks are not those that were asked for.
        """
        request = self._request
        if request is None or request.peer != peer:
            return ()
        self._request = None
        self._silences.pop(peer, None)
        if not blocks:
            self.doubt(peer, now_ms)
        wanted = range(request.first, request.last + 1)
        for height, final in zip(wanted, blocks, strict=False):
            if final.block.header.height != height or final.certificate.height != height:
                raise PeerFault(f"not the final block of height {height}")
        return blocks[: len(wanted)]

    def moved(self) -> None:
        """Start the patience anew: the chain here has grown."""
        self._behind_since_ms = None
