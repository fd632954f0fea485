"""Which messages of accounts go to which peers?

Each is queued once, waits a few milliseconds for company, and leaves behind all that the next block
needs, for those peers that do not have it from whom it came from. A slow link gets a part of what
it carries and no more: what does not fit is lost to it, for nobody can be asked for a message. A
new peer is told of those to accounts that have not ended, piece by piece and as its link carries
them: which these are is the mailbox' question. Do not add verification.
"""

from collections.abc import Iterator
from typing import TypeAlias

from aitbc_node import limits
from aitbc_node.events import Send
from aitbc_node.gossip.mailbox import Mailbox
from aitbc_node.gossip.messages import READS_LETTERS, Letters, batches, send
from aitbc_node.gossip.speed import MANNERS, Speeds
from aitbc_node.gossip.topology import Topology
from aitbc_node.types import Hash, Height, PeerId

QUEUE_MAX = limits.LETTERS_RATE * limits.LETTERS_BURST_S
QUEUE_BYTES_MAX = 2 * QUEUE_MAX * limits.LETTER_UNIT_BYTES
"""As much as peers may pass on at once."""
PART = 4
"""One in so many bytes of a slow link may be of messages."""

_Groups: TypeAlias = dict[tuple[PeerId, ...], list[bytes]]


class Courier:
    """Queue messages of accounts that were found good, and cut the queue into frames."""

    def __init__(self, topology: Topology, speeds: Speeds) -> None:
        self.dropped = 0
        """How often one was left out, for a slow link or for want of room."""
        self._topology = topology
        self._speeds = speeds
        self._able: set[PeerId] = set()
        """Peers that read such messages; an older build takes them for a fault."""
        self._queue: dict[Hash, tuple[bytes, PeerId | None]] = {}
        self._queue_bytes = 0
        self.mailbox = Mailbox()
        self._paid_until_us: dict[PeerId, int] = {}

    @property
    def waiting(self) -> int:
        """Count what waits for the next flush."""
        return len(self._queue)

    def peer_up(self, peer: PeerId, *, release: str) -> None:
        """Begin with a peer of which nothing is known but its release."""
        if READS_LETTERS in release:
            self._able.add(peer)

    def peer_down(self, peer: PeerId) -> None:
        """Forget a peer."""
        self._able.discard(peer)
        self._paid_until_us.pop(peer, None)
        self.mailbox.forget(peer)

    def add(self, name: Hash, raw: bytes, *, source: PeerId | None) -> None:
        """Queue one; `source` is the peer it came from, None for a client."""
        if len(self._queue) < QUEUE_MAX and self._queue_bytes + len(raw) <= QUEUE_BYTES_MAX:
            self._queue[name] = (raw, source)
            self._queue_bytes += len(raw)
        else:
            self.dropped += 1

    def greet(self, peer: PeerId) -> None:
        """Owe a new peer all that is held ready, unless it is an older build."""
        if peer in self._able:
            self.mailbox.owe(peer)

    def claimed(self, peer: PeerId, height: Height, *, own: Height) -> None:
        """Hear how high a peer is; one that has caught up is owed what it could not judge."""
        if peer in self._able:
            self.mailbox.claimed(peer, height, own=own)

    @property
    def creditors(self) -> tuple[PeerId, ...]:
        """Name the peers that are owed something."""
        return self.mailbox.creditors

    def tell(self, peers: tuple[PeerId, ...], now_ms: int) -> Iterator[Send]:
        """Send each that is owed something the next piece, unless its link is still busy."""
        for peer in peers:
            if not self.mailbox.owes(peer) or not self._has_room(peer, now_ms):
                continue
            raws = self.mailbox.take(peer, bytes_max=self._portion(peer), now_ms=now_ms)
            if raws:
                yield from self._send((peer,), raws, now_ms)

    def flush(self, linked: tuple[PeerId, ...], now_ms: int) -> Iterator[Send]:
        """Send what waits. Shape: peers share one frame's bytes where all need the same."""
        groups: _Groups = {}
        for raw, source in self._queue.values():
            wanted = self._topology.targets(linked, source)
            needy = tuple(peer for peer in wanted if peer in self._able)
            if needy:
                groups.setdefault(needy, []).append(raw)
        self._queue.clear()
        self._queue_bytes = 0
        for peers, raws in _joined(groups).items():
            yield from self._send(peers, raws, now_ms)

    def _send(self, peers: tuple[PeerId, ...], raws: list[bytes], now_ms: int) -> Iterator[Send]:
        portions: dict[int, list[PeerId]] = {}
        for peer in peers:
            portions.setdefault(self._portion(peer), []).append(peer)
        for portion, alike in portions.items():
            for some in batches(raws, bytes_max=portion, count_max=limits.LETTERS_COUNT_MAX):
                size = sum(map(len, some))
                able = tuple(
                    peer
                    for peer in alike
                    if self._has_room(peer, now_ms) and size <= self._bearable(peer)
                )
                self.dropped += len(some) * (len(alike) - len(able))
                yield from self._hand_over(able, some, now_ms)

    def _hand_over(
        self, peers: tuple[PeerId, ...], raws: tuple[bytes, ...], now_ms: int
    ) -> Iterator[Send]:
        """Send one message, and count its bytes on slow links."""
        size = sum(map(len, raws))
        for peer in peers:
            if rate := self._speeds.allowed(peer) // PART:
                begin_us = max(self._paid_until_us.get(peer, 0), 1_000 * (now_ms - limits.PING_MS))
                self._paid_until_us[peer] = begin_us + 1_000_000 * size // rate
        self._speeds.send(peers, size, now_ms)
        yield from send(peers, Letters(raws))

    def _portion(self, peer: PeerId) -> int:
        """Bound the bytes of one message; a single one of an account may be larger."""
        manners = MANNERS[self._speeds.kind(peer)]
        return min(limits.LETTERS_TOLD_BYTES, manners.portion, self._bearable(peer))

    def _bearable(self, peer: PeerId) -> int:
        """Bound what leaves whole: what comes behind it must not be late for a sign of life."""
        rate = self._speeds.allowed(peer) or limits.LETTERS_TOLD_BYTES * 1_000
        return rate * limits.DEAD_AFTER_MS // 2_000

    def _has_room(self, peer: PeerId, now_ms: int) -> bool:
        """Tell whether earlier messages have left a link; of one that is not slow they have."""
        return (
            not self._speeds.allowed(peer) // PART
            or self._paid_until_us.get(peer, 0) <= 1_000 * now_ms
        )


def _joined(groups: _Groups) -> _Groups:
    """Bound how many frames a peer gets at once, wherever its messages came from."""
    if len(groups) <= 1:
        return groups
    joined: _Groups = {}
    for peers, raws in groups.items():
        for peer in peers:
            joined.setdefault((peer,), []).extend(raws)
    return joined
