"""Which blocks are being fetched, from whom, and whom to ask next when no answer comes?

A block is wanted whole while only votes name it, or in part once header and ids are here. The peer
that spoke of it is asked first, then the others in turn, until the block is here or of no use.
Bounded by the number of blocks that consensus can want at once. Do not add checks of blocks.
"""

from collections.abc import Iterator

import msgspec

from aitbc_node.events import Send
from aitbc_node.gossip.messages import BlockWanted, BodiesWanted, send
from aitbc_node.types import BlockId, PeerId, TxId

ANSWER_MS = 500
"""How long a peer may take; a block of 8 MiB needs less on any link that can carry the mesh."""
FETCHES_MAX = 16


class _Fetch(msgspec.Struct):
    missing: tuple[TxId, ...] | None  # None: the whole block
    asked: list[PeerId]
    asked_ms: int


class Fetches:
    """Remember what was asked of whom."""

    def __init__(self) -> None:
        self._fetches: dict[BlockId, _Fetch] = {}

    def __contains__(self, block_id: BlockId) -> bool:
        return block_id in self._fetches

    def want(
        self,
        block_id: BlockId,
        missing: tuple[TxId, ...] | None,
        *,
        source: PeerId | None,
        linked: tuple[PeerId, ...],
        now_ms: int,
    ) -> Iterator[Send]:
        """Ask for a block, or for the missing part; asking again for the same changes nothing."""
        current = self._fetches.get(block_id)
        if current is not None and (current.missing is None) == (missing is None):
            current.missing = missing
            return
        if len(self._fetches) >= FETCHES_MAX:
            del self._fetches[next(iter(self._fetches))]
        fetch = self._fetches[block_id] = _Fetch(missing, [], now_ms)
        first = (source,) if source in linked else ()
        yield from self._ask(block_id, fetch, (*first, *linked), now_ms)

    def done(self, block_id: BlockId) -> None:
        """Stop asking for a block."""
        self._fetches.pop(block_id, None)

    def clear(self) -> None:
        """Stop asking for anything: the height is final."""
        self._fetches.clear()

    def tick(self, linked: tuple[PeerId, ...], now_ms: int) -> Iterator[Send]:
        """Ask the next peer where an answer is late."""
        for block_id, fetch in self._fetches.items():
            if now_ms - fetch.asked_ms >= ANSWER_MS:
                yield from self._ask(block_id, fetch, linked, now_ms)

    def _ask(
        self, block_id: BlockId, fetch: _Fetch, peers: tuple[PeerId, ...], now_ms: int
    ) -> Iterator[Send]:
        fresh = [peer for peer in peers if peer not in fetch.asked]
        if not fresh:
            fetch.asked.clear()
            fresh = list(peers)
        fetch.asked_ms = now_ms
        if not fresh:
            return
        fetch.asked.append(fresh[0])
        if fetch.missing is None:
            yield from send(fresh[:1], BlockWanted(block_id))
        elif fetch.missing:
            yield from send(fresh[:1], BodiesWanted(block_id, fetch.missing))
