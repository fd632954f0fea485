"""Which transactions go to which peers, in which portions?

Bodies travel once: a transaction is queued when it is verified, waits a few milliseconds for
company, and leaves in one portion for all peers that need it. What a peer is known to have is not
sent to it again. Everything is bounded; what does not fit is simply not passed on, because a block
that needs it makes the others ask. Do not add verification.
"""

from collections.abc import Iterable, Iterator

from aitbc_node import limits
from aitbc_node.events import Send
from aitbc_node.gossip.messages import Transactions, batches, send
from aitbc_node.gossip.topology import Topology
from aitbc_node.types import PeerId, TxId

FLUSH_MS = 20
KNOWN_PER_PEER_MAX = 2 * limits.MEMPOOL_TXS_MAX
QUEUE_MAX = limits.MEMPOOL_TXS_MAX


class TxRelay:
    """Queue verified transactions and cut the queue into frames."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._queue: dict[TxId, tuple[bytes, PeerId | None]] = {}
        self._has: dict[PeerId, dict[TxId, None]] = {}

    @property
    def waiting(self) -> int:
        """Count what waits for the next flush."""
        return len(self._queue)

    def peer_up(self, peer: PeerId) -> None:
        """Begin with a peer of which nothing is known."""
        self._has[peer] = {}

    def peer_down(self, peer: PeerId) -> None:
        """Forget what a peer had."""
        self._has.pop(peer, None)

    def peer_has(self, peer: PeerId, ids: Iterable[TxId]) -> None:
        """Remember that a peer has these; the oldest are forgotten when they are too many."""
        has = self._has.get(peer)
        if has is None:
            return
        has.update(dict.fromkeys(ids))
        for _ in range(len(has) - KNOWN_PER_PEER_MAX):
            del has[next(iter(has))]

    def add(self, tx_id: TxId, raw: bytes, *, source: PeerId | None) -> None:
        """Queue one transaction; `source` is the peer it came from, None for a client."""
        if len(self._queue) < QUEUE_MAX:
            self._queue[tx_id] = (raw, source)

    def greet(self, peer: PeerId, rows: Iterable[tuple[TxId, bytes]]) -> Iterator[Send]:
        """Send a peer that has just come what clients of this node wait for."""
        has = self._has.get(peer, {})
        lacking = [(tx_id, raw) for tx_id, raw in rows if tx_id not in has]
        self.peer_has(peer, (tx_id for tx_id, _ in lacking))
        for portion in batches([raw for _, raw in lacking]):
            yield from send((peer,), Transactions(portion))

    def flush(self, linked: tuple[PeerId, ...]) -> Iterator[Send]:
        """Send all that waits. Shape: peers with equal needs share one frame's bytes."""
        groups: dict[tuple[PeerId, ...], list[tuple[TxId, bytes]]] = {}
        targets: dict[PeerId | None, tuple[PeerId, ...]] = {}
        for tx_id, (raw, source) in self._queue.items():
            if source not in targets:
                targets[source] = self._topology.targets(linked, source)
            needy = tuple(peer for peer in targets[source] if tx_id not in self._has.get(peer, ()))
            if needy:
                groups.setdefault(needy, []).append((tx_id, raw))
        self._queue.clear()
        for peers, rows in groups.items():
            for peer in peers:
                self.peer_has(peer, (tx_id for tx_id, _ in rows))
            for portion in batches([raw for _, raw in rows]):
                yield from send(peers, Transactions(portion))
