"""Which transactions go to which peers, in which portions?

Bodies travel once: a transaction is queued when it is verified, waits a few milliseconds for
company, and leaves in one portion for all peers that need it. What a peer is known to have is not
sent to it again. Portions are as large as the links carry; a peer whose link is slow has a lane of
its own, out of which as much leaves as arrives, so that votes never wait behind transactions. Where
most links are slow, what clients bring is handed to a few peers, which pass it on to all of theirs.
Everything is bounded; what does not fit is simply not passed on, because a block that needs it
makes the others ask. What clients gave to this node nobody else could ask for: where not everybody
got it, it is offered again while it waits, as much as the pool holds. Do not add verification.
"""

from collections.abc import Callable, Collection, Container, Iterable, Iterator
from typing import TypeAlias

from aitbc_node import limits
from aitbc_node.events import Send
from aitbc_node.forgetting import Recent
from aitbc_node.gossip.lane import Lane
from aitbc_node.gossip.messages import (
    READS_HANDED,
    Transactions,
    TransactionsHanded,
    batches,
    send,
)
from aitbc_node.gossip.speed import MANNERS, Speeds
from aitbc_node.gossip.topology import Topology
from aitbc_node.types import PeerId, TxId

FLUSH_MS = 20
KNOWN_PER_PEER_MAX = 2 * limits.MEMPOOL_TXS_MAX
KNOWN_BLOCKS = 100
"""For so many blocks it is known what a peer has, and at most for twice as many."""
GROUPS_MAX = 8
"""More kinds of need than this, and each peer gets portions of its own: fewer frames for each."""
LENT_BLOCKS = 10
"""What clients brought and no block has held for so long is offered again, to others."""

_Groups: TypeAlias = dict[tuple[tuple[PeerId, ...], bool], list[tuple[TxId, bytes]]]
"""What goes to whom, and whether clients brought it."""


class TxRelay:
    """Queue verified transactions and cut the queue into frames."""

    def __init__(self, topology: Topology, speeds: Speeds) -> None:
        self.txs_max = limits.MEMPOOL_TXS_MAX  # or as many as the pool holds
        self._topology = topology
        self._speeds = speeds
        self._lanes: dict[PeerId, Lane] = {}
        self._handed: Recent[TxId] = Recent()
        self._queue: dict[TxId, tuple[bytes, PeerId | None]] = {}
        self._has: dict[PeerId, Recent[TxId]] = {}
        self._own_links: set[PeerId] = set()
        self._able: set[PeerId] = set()
        """Peers that pass on what is handed to them."""
        self._lent: dict[TxId, tuple[bytes, int]] = {}
        """What clients brought and not all peers got, and after which block."""
        self._refused: dict[TxId, None] = {}
        """Those of them that nobody took, because no lane had room."""
        self._blocks = 0
        self._turn = 0

    @property
    def waiting(self) -> int:
        """Count what waits for the next flush."""
        held = sum(map(len, self._lanes.values())) if self._lanes else 0  # seldom: asked each step
        return len(self._queue) + held

    def peer_up(self, peer: PeerId, *, is_own: bool = False, release: str = "") -> None:
        """Begin with a peer of which nothing is known but who dialled and its release."""
        self._has[peer] = Recent()
        if is_own:
            self._own_links.add(peer)
        if release.endswith(READS_HANDED):
            self._able.add(peer)

    def peer_down(self, peer: PeerId) -> None:
        """Forget what a peer had, and what waits for it."""
        self._has.pop(peer, None)
        self._lanes.pop(peer, None)
        self._own_links.discard(peer)
        self._able.discard(peer)

    def peer_has(self, peer: PeerId, ids: Collection[TxId]) -> None:
        """Remember that a peer has these; the oldest are forgotten when they are too many."""
        has = self._has.get(peer)
        if has is None:
            return
        if peer in self._lanes:
            self._lanes[peer].drop(ids)
        has.note(ids, most=KNOWN_PER_PEER_MAX)

    def advance(self, is_waiting: Callable[[TxId], bool]) -> None:
        """Go on behind a new block: drop what no longer waits, and offer again what does."""
        self._blocks += 1
        if self._blocks % KNOWN_BLOCKS == 0:
            for known in (self._handed, *self._has.values()):
                known.age()
        for lane in self._lanes.values():
            lane.drop([tx_id for tx_id in lane if not is_waiting(tx_id)])
        for tx_id in [tx_id for tx_id in self._lent if not is_waiting(tx_id)]:
            del self._lent[tx_id]
        for tx_id in self._refused:
            if tx_id in self._lent:
                self._queue[tx_id] = (self._lent[tx_id][0], None)
        self._refused.clear()
        for tx_id, (raw, block) in tuple(self._lent.items()):
            if self._blocks - block < LENT_BLOCKS or len(self._queue) >= self.txs_max:
                break  # the others are younger
            del self._lent[tx_id]
            self._queue[tx_id] = (raw, None)

    def handed(self, ids: Iterable[TxId]) -> None:
        """Remember that these came to a few only, so that all others need them from here."""
        self._handed.note(ids, most=self.txs_max)

    def add(self, tx_id: TxId, raw: bytes, *, source: PeerId | None) -> None:
        """Queue one transaction; `source` is the peer it came from, None for a client."""
        goes_on = (
            source is None
            or tx_id in self._handed
            or not self._topology.all_have(tuple(self._has), source)
        )
        if goes_on and len(self._queue) < self.txs_max:
            self._queue[tx_id] = (raw, source)

    def greet(self, peer: PeerId, rows: Iterable[tuple[TxId, bytes]]) -> Iterator[Send]:
        """Send a peer that has just come what clients of this node wait for."""
        has = self._has.get(peer, ())
        lacking = [(tx_id, raw) for tx_id, raw in rows if tx_id not in has]
        self.peer_has(peer, [tx_id for tx_id, _ in lacking])
        for portion in batches([raw for _, raw in lacking]):
            yield from send((peer,), Transactions(portion))

    def flush(self, linked: tuple[PeerId, ...], now_ms: int) -> Iterator[Send]:
        """Send what waits, on slow links only as much as they carry.

        Shape: peers with equal needs share one frame's bytes.
        """
        groups: _Groups = {}
        few = self._few(linked) if self._queue else linked
        few_only = len(few) < len(linked)
        targets: dict[PeerId | None, tuple[PeerId, ...]] = {None: few}
        has: dict[PeerId, Container[TxId]] = {peer: self._has.get(peer, ()) for peer in linked}
        bounded = {peer for peer in linked if self._is_bounded(peer)}
        for tx_id, (raw, source) in self._queue.items():
            if source not in targets:
                targets[source] = self._topology.targets(linked, source)
            wanted = targets[source]
            if source is not None and tx_id in self._handed:
                wanted = tuple(peer for peer in linked if peer != source)
            needy = tuple([peer for peer in wanted if tx_id not in has[peer]])
            if needy:
                groups.setdefault((needy, source is None), []).append((tx_id, raw))
            if source is None and (few_only or not bounded.isdisjoint(needy)):
                self._lend(tx_id, raw)
                if needy and tx_id in self._lent:
                    self._refused[tx_id] = None  # until somebody takes it
        self._queue.clear()
        for (peers, is_own), rows in _joined(groups).items():
            is_handed = is_own and few_only
            quick = tuple(peer for peer in peers if not self._is_bounded(peer))
            ids = [tx_id for tx_id, _ in rows]
            took: set[TxId] = set(ids) if quick else set()
            for peer in peers:
                self.peer_has(peer, ids)
                if peer in quick:
                    continue
                lane = self._lanes.setdefault(peer, Lane(now_ms))
                without = set(lane.put(rows, is_own=is_own, is_handed=is_handed))
                for tx_id in without:
                    self._has[peer].lose(tx_id)
                took |= set(ids) - without
            if self._refused:
                for tx_id in took:
                    self._refused.pop(tx_id, None)
            yield from self._send(quick, [raw for _, raw in rows], now_ms, is_handed=is_handed)
        yield from self._drain(now_ms)

    def _few(self, linked: tuple[PeerId, ...]) -> tuple[PeerId, ...]:
        """Choose who gets what clients bring: all, or a few where links are slow.

        They are others each time, of the quicker half, and one is a link that this node dialled:
        who comes and is quick gets no more than its share.
        """
        count = self._speeds.fan_out
        able = [peer for peer in linked if peer in self._able]
        if len(linked) <= count or len(able) < count:
            return linked
        self._turn += 1
        half = max(count, (len(able) + 1) // 2)
        able = _turned(able, self._turn)
        quick = sorted(able, key=self._speeds.kind, reverse=True)[:half]
        own = [peer for peer in able if peer in self._own_links][:1]
        return tuple(dict.fromkeys(own + _turned(quick, self._turn)))[:count]

    def _lend(self, tx_id: TxId, raw: bytes) -> None:
        self._lent.pop(tx_id, None)  # it goes to the end: they are in the order of their blocks
        if len(self._lent) < self.txs_max:
            self._lent[tx_id] = (raw, self._blocks)

    def _is_bounded(self, peer: PeerId) -> bool:
        return bool(self._speeds.allowed(peer)) or peer in self._lanes

    def _drain(self, now_ms: int) -> Iterator[Send]:
        """Send out of the lanes what their links have carried away since the last time."""
        for peer, lane in tuple(self._lanes.items()):
            rate = self._speeds.allowed(peer)
            for is_handed, raws in lane.take(rate, now_ms):
                yield from self._send((peer,), raws, now_ms, is_handed=is_handed)
            if not len(lane) and not rate:
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


def _joined(groups: _Groups) -> _Groups:
    """Bound how many frames a peer gets at once, whatever sets of peers lack a transaction."""
    # For 16 sources and 49 peers 4.0 ms; to share the largest frames 4.5, and 7 frames for each.
    if len(groups) <= GROUPS_MAX:
        return groups
    joined: _Groups = {}
    for (peers, is_own), rows in groups.items():
        for peer in peers:
            joined.setdefault(((peer,), is_own), []).extend(rows)
    return joined


def _turned(peers: list[PeerId], turn: int) -> list[PeerId]:
    """Begin a list at another place each turn."""
    begin = turn % len(peers) if peers else 0
    return peers[begin:] + peers[:begin]
