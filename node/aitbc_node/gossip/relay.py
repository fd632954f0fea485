"""Which transactions go to which peers, in which portions?

Bodies travel once: a transaction is queued when it is verified, waits a few milliseconds for
company, and leaves in one portion for all peers that need it. What a peer is known to have is not
sent to it again. Portions are as large as the links carry; a peer whose link is slow has a lane of
its own, out of which as much leaves as arrives, so that votes never wait behind transactions. Where
most links are slow, what clients bring is handed to a few peers, which pass it on to all of theirs.
Everything is bounded; what does not fit is simply not passed on, because a block that needs it
makes the others ask. Do not add verification.
"""

from collections.abc import Iterable, Iterator

from aitbc_node import limits
from aitbc_node.events import Send
from aitbc_node.gossip.messages import Transactions, TransactionsHanded, batches, send
from aitbc_node.gossip.speed import MANNERS, Speeds
from aitbc_node.gossip.topology import Topology
from aitbc_node.types import PeerId, TxId

FLUSH_MS = 20
KNOWN_PER_PEER_MAX = 2 * limits.MEMPOOL_TXS_MAX
QUEUE_MAX = limits.MEMPOOL_TXS_MAX
LANE_MAX = 2_000
"""Transactions that wait for one slow link; the oldest are left to who asks for them."""
SAVED_MS = limits.PING_MS
"""A lane may send at once what it could have sent in so long."""


class TxRelay:
    """Queue verified transactions and cut the queue into frames."""

    def __init__(self, topology: Topology, speeds: Speeds) -> None:
        self._topology = topology
        self._speeds = speeds
        self._lanes: dict[PeerId, _Lane] = {}
        self._handed: dict[TxId, None] = {}
        self._queue: dict[TxId, tuple[bytes, PeerId | None]] = {}
        self._has: dict[PeerId, dict[TxId, None]] = {}

    @property
    def waiting(self) -> int:
        """Count what waits for the next flush."""
        if not self._lanes:
            return len(self._queue)  # asked after every step, and slow links are rare
        return len(self._queue) + sum(len(lane.rows) for lane in self._lanes.values())

    def peer_up(self, peer: PeerId) -> None:
        """Begin with a peer of which nothing is known."""
        self._has[peer] = {}

    def peer_down(self, peer: PeerId) -> None:
        """Forget what a peer had, and what waits for it."""
        self._has.pop(peer, None)
        self._lanes.pop(peer, None)

    def peer_has(self, peer: PeerId, ids: Iterable[TxId]) -> None:
        """Remember that a peer has these; the oldest are forgotten when they are too many."""
        has = self._has.get(peer)
        if has is None:
            return
        has.update(dict.fromkeys(ids))
        for _ in range(len(has) - KNOWN_PER_PEER_MAX):
            del has[next(iter(has))]

    def handed(self, ids: Iterable[TxId]) -> None:
        """Remember that these came to a few only, so that all others need them from here."""
        self._handed.update(dict.fromkeys(ids))
        for _ in range(len(self._handed) - QUEUE_MAX):
            del self._handed[next(iter(self._handed))]

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

    def flush(self, linked: tuple[PeerId, ...], now_ms: int) -> Iterator[Send]:
        """Send what waits, on slow links only as much as they carry.

        Shape: peers with equal needs share one frame's bytes.
        """
        groups: dict[tuple[tuple[PeerId, ...], bool], list[tuple[TxId, bytes]]] = {}
        few = self._few(linked)
        targets: dict[PeerId | None, tuple[PeerId, ...]] = {None: few}
        for tx_id, (raw, source) in self._queue.items():
            if source not in targets:
                targets[source] = self._topology.targets(linked, source)
            wanted = targets[source]
            if source is not None and tx_id in self._handed:
                wanted = tuple(peer for peer in linked if peer != source)
            needy = tuple(peer for peer in wanted if tx_id not in self._has.get(peer, ()))
            if needy:
                is_handed = source is None and len(few) < len(linked)
                groups.setdefault((needy, is_handed), []).append((tx_id, raw))
        self._queue.clear()
        for (peers, is_handed), rows in groups.items():
            for peer in peers:
                self.peer_has(peer, (tx_id for tx_id, _ in rows))
            quick = tuple(peer for peer in peers if not self._is_bounded(peer))
            for peer in peers:
                if peer not in quick:
                    self._lane(peer, now_ms).put(rows, is_handed=is_handed)
            yield from self._send(quick, [raw for _, raw in rows], now_ms, is_handed=is_handed)
        yield from self._drain(now_ms)

    def _few(self, linked: tuple[PeerId, ...]) -> tuple[PeerId, ...]:
        """Choose who gets what clients bring: all, or the quickest few where links are slow."""
        count = self._speeds.fan_out
        if len(linked) <= count:
            return linked
        return tuple(sorted(linked, key=self._speeds.kind, reverse=True)[:count])

    def _is_bounded(self, peer: PeerId) -> bool:
        return bool(self._speeds.allowed(peer)) or peer in self._lanes

    def _lane(self, peer: PeerId, now_ms: int) -> "_Lane":
        return self._lanes.setdefault(peer, _Lane(now_ms))

    def _drain(self, now_ms: int) -> Iterator[Send]:
        """Send out of the lanes what their links have carried away since the last time."""
        for peer, lane in tuple(self._lanes.items()):
            rate = self._speeds.allowed(peer)
            for is_handed, raws in lane.take(rate, now_ms):
                yield from self._send((peer,), raws, now_ms, is_handed=is_handed)
            if not lane.rows and not rate:
                del self._lanes[peer]

    def _send(
        self, peers: tuple[PeerId, ...], raws: list[bytes], now_ms: int, *, is_handed: bool
    ) -> Iterator[Send]:
        if not peers:
            return
        portion = min(MANNERS[self._speeds.kind(peer)].portion for peer in peers)
        kind = TransactionsHanded if is_handed else Transactions
        for some in batches(raws, bytes_max=portion):
            self._speeds.send(peers, sum(map(len, some)), now_ms)
            yield from send(peers, kind(some))


class _Lane:
    """Hold what waits for one slow link. Units: bytes a second, microseconds within."""

    def __init__(self, now_ms: int) -> None:
        self.rows: dict[TxId, tuple[bytes, bool]] = {}
        self._paid_until_us = 1_000 * (now_ms - SAVED_MS)

    def put(self, rows: Iterable[tuple[TxId, bytes]], *, is_handed: bool) -> None:
        """Let these wait; the oldest make room."""
        self.rows.update((tx_id, (raw, is_handed)) for tx_id, raw in rows)
        for _ in range(len(self.rows) - LANE_MAX):
            del self.rows[next(iter(self.rows))]

    def take(self, rate: int, now_ms: int) -> Iterator[tuple[bool, list[bytes]]]:
        """Take what may leave now, in order, cut where it was handed over in another way."""
        self._paid_until_us = max(self._paid_until_us, 1_000 * (now_ms - SAVED_MS))
        taken: list[bytes] = []
        was_handed = False
        while self.rows and (not rate or self._paid_until_us <= 1_000 * now_ms):
            raw, is_handed = self.rows.pop(next(iter(self.rows)))
            if taken and is_handed != was_handed:
                yield was_handed, taken
                taken = []
            taken.append(raw)
            was_handed = is_handed
            if rate:
                self._paid_until_us += 1_000_000 * len(raw) // rate
        if taken:
            yield was_handed, taken
