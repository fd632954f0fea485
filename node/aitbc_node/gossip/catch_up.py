"""Which peer is ahead, what was asked of it, and when to ask another?

Peers claim heights; a claim is a reason to ask, never a reason to wait. One request is open at a
time. Whoever failed to deliver is asked after all others and ever more seldom; among equals those
that the operator named come first, then whoever was not asked for longest. So boasters, however
many, neither keep a node from taking part nor from catching up. Whether the blocks are true is
judged by whoever applies them. Do not add that here.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from aitbc_node import limits
from aitbc_node.blocks import FinalBlock
from aitbc_node.errors import PeerFault
from aitbc_node.events import Send
from aitbc_node.gossip.messages import FinalsWanted, send
from aitbc_node.types import Height, PeerId

ANSWER_MS = 3_000
RETRY_MS = 2_000
"""A peer that failed is not asked for so long, doubled with each further failure."""
RETRY_MS_MAX = 600_000
RECORDS_MAX = 4 * limits.PEERS_MAX
PATIENCE_MS = 300
"""A peer one block ahead is normal: votes are about to bring that block here as well."""
FLOWING_MS = 3_000
"""While blocks came within this time, the others are believed to be ahead."""


class _Record(msgspec.Struct):
    """Remember one peer: its claim while it is linked, and how it kept its word."""

    claim: Height = Height(0)
    failures: int = 0
    retry_ms: int = 0
    asked_ms: int = -1


class _Request(msgspec.Struct, frozen=True):
    peer: PeerId
    first: Height
    last: Height
    asked_ms: int


class CatchUp:
    """Follow the peers' heights and fetch what this node lacks."""

    def __init__(self, is_named: Callable[[PeerId], bool]) -> None:
        self._is_named = is_named
        self._records: dict[PeerId, _Record] = {}
        self._request: _Request | None = None
        self._behind_since_ms: int | None = None
        self._applied_ms: int | None = None
        self._highest = Height(0)
        """The greatest height that anybody has ever claimed."""
        self.is_held = False
        """Whether blocks are not asked for, since a kept state is on its way."""

    def claim(self, peer: PeerId, height: Height) -> None:
        """Take a peer's word for its newest final block."""
        record = self._records.get(peer)
        if record is None:
            self._make_room()
            record = self._records[peer] = _Record()
        record.claim = height
        self._highest = max(self._highest, height)

    def forget(self, peer: PeerId) -> None:
        """Drop the claim of a peer whose link is gone; its failures are remembered."""
        record = self._records.get(peer)
        if record is not None:
            record.claim = Height(0)
            if not record.failures:
                del self._records[peer]
        if self._request is not None and self._request.peer == peer:
            self._request = None

    def failed(self, peer: PeerId, now_ms: int) -> None:
        """Remember that a peer did not deliver."""
        if self._request is not None and self._request.peer == peer:
            self._request = None
        record = self._records.get(peer)
        if record is not None:
            record.retry_ms = now_ms + min(RETRY_MS << min(record.failures, 10), RETRY_MS_MAX)
            record.failures += 1

    def best_claim(self) -> Height:
        """Return the greatest height claimed by a peer that has not failed lately."""
        claims = (record.claim for record in self._records.values() if not record.failures)
        return max(claims, default=Height(0))

    def is_far_behind(self, tip: Height) -> bool:
        """Tell whether others say, credibly as far as is known, that they are well past the tip."""
        return self._highest > tip + 1 and self.best_claim() > tip + 1

    def is_flowing(self, tip: Height, now_ms: int) -> bool:
        """Tell whether blocks are coming in and more will: then taking part is pointless yet."""
        applied_ms = self._applied_ms
        return (
            applied_ms is not None and now_ms - applied_ms < FLOWING_MS and self.is_far_behind(tip)
        )

    def poll(self, tip: Height, now_ms: int, *, busy: bool) -> Iterable[Send]:
        """Ask for the next blocks if there is reason to; `busy` while earlier ones are applied."""
        if self._request is None and self._highest <= tip:
            self._behind_since_ms = None
            return ()  # most news are of this very block: nobody needs to be looked at
        return self._ask(tip, now_ms, busy=busy)

    def _ask(self, tip: Height, now_ms: int, *, busy: bool) -> Iterator[Send]:
        request = self._request
        if request is not None and now_ms - request.asked_ms >= ANSWER_MS:
            self.failed(request.peer, now_ms)
        peer = self._whom_to_ask(tip, now_ms)
        if peer is None:
            self._behind_since_ms = None
            return
        if self._behind_since_ms is None:
            self._behind_since_ms = now_ms
        record = self._records[peer]
        is_news = record.claim == tip + 1 and now_ms - self._behind_since_ms < PATIENCE_MS
        if busy or self._request is not None or is_news or self.is_held:
            return
        last = Height(min(record.claim, tip + limits.CATCH_UP_BLOCKS_MAX))
        self._request = _Request(peer, Height(tip + 1), last, now_ms)
        record.asked_ms = now_ms
        yield from send((peer,), FinalsWanted(Height(tip + 1), last))

    def answered(
        self, peer: PeerId, blocks: tuple[FinalBlock, ...], now_ms: int
    ) -> tuple[FinalBlock, ...]:
        """Take the answer to the open request; an old answer, already given up, counts as none.

        Raises: PeerFault when the blocks are not those that were asked for.
        """
        request = self._request
        if request is None or request.peer != peer:
            return ()
        if blocks and blocks[0].block.header.height < request.first:
            return ()  # slow, not false: the answer to an earlier request that was given up
        self._request = None
        if not blocks:
            self.failed(peer, now_ms)
        wanted = range(request.first, request.last + 1)
        for height, final in zip(wanted, blocks, strict=False):
            if final.block.header.height != height or final.certificate.height != height:
                raise PeerFault(f"not the final block of height {height}")
        return blocks[: len(wanted)]

    def applied(self, peer: PeerId, now_ms: int) -> None:
        """Remember that a peer's block was true."""
        self._applied_ms = now_ms
        record = self._records.get(peer)
        if record is not None:
            record.failures = 0

    def moved(self) -> None:
        """Start the patience anew: the chain here has grown."""
        self._behind_since_ms = None

    def _whom_to_ask(self, tip: Height, now_ms: int) -> PeerId | None:
        ahead = [
            (record.failures, not self._is_named(peer), record.asked_ms, peer)
            for peer, record in self._records.items()
            if record.claim > tip and now_ms >= record.retry_ms
        ]
        return min(ahead)[3] if ahead else None

    def _make_room(self) -> None:
        """Forget the oldest record of a peer that is gone; linked ones are bounded elsewhere."""
        if len(self._records) >= RECORDS_MAX:
            gone = [peer for peer, record in self._records.items() if not record.claim]
            del self._records[gone[0] if gone else next(iter(self._records))]
