"""Which messages of accounts go to which peers?

Each is queued once, waits a few milliseconds for company, and leaves behind all that the next block
needs, for those peers that do not have it from whom it came from. A slow link gets a part of what
it carries and no more: what does not fit is lost to it, for nobody can be asked for a message. A
new peer is told of those to accounts that have not ended. Do not add verification.
"""

from collections.abc import Iterator
from typing import TypeAlias

from aitbc_node import limits
from aitbc_node.events import Send
from aitbc_node.gossip.messages import READS_LETTERS, Letters, batches, send
from aitbc_node.gossip.speed import Speeds
from aitbc_node.gossip.topology import Topology
from aitbc_node.types import Hash, Height, PeerId

QUEUE_MAX = limits.LETTERS_RATE * limits.LETTERS_BURST_S
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
        self._kept: dict[Hash, tuple[bytes, Height]] = {}
        self._kept_bytes = 0
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

    def add(self, name: Hash, raw: bytes, *, source: PeerId | None) -> None:
        """Queue one; `source` is the peer it came from, None for a client."""
        if len(self._queue) < QUEUE_MAX:
            self._queue[name] = (raw, source)
        else:
            self.dropped += 1

    def keep(self, name: Hash, raw: bytes, *, valid_until: Height) -> None:
        """Hold one ready for peers that come later; the oldest makes room."""
        self._kept[name] = (raw, valid_until)
        self._kept_bytes += len(raw)
        while (
            len(self._kept) > limits.LETTERS_KEPT_MAX
            or self._kept_bytes > limits.LETTERS_KEPT_BYTES_MAX
        ):
            self._drop(next(iter(self._kept)))

    def advance(self, height: Height) -> None:
        """Drop what has ended."""
        for name in [name for name, (_, last) in self._kept.items() if last < height]:
            self._drop(name)

    def greet(self, peer: PeerId, now_ms: int) -> Iterator[Send]:
        """Tell a new peer what is held ready."""
        if peer in self._able and self._kept:
            yield from self._send((peer,), [raw for raw, _ in self._kept.values()], now_ms)

    def flush(self, linked: tuple[PeerId, ...], now_ms: int) -> Iterator[Send]:
        """Send what waits. Shape: peers share one frame's bytes where all need the same."""
        groups: _Groups = {}
        for raw, source in self._queue.values():
            wanted = self._topology.targets(linked, source)
            needy = tuple(peer for peer in wanted if peer in self._able)
            if needy:
                groups.setdefault(needy, []).append(raw)
        self._queue.clear()
        for peers, raws in _joined(groups).items():
            yield from self._send(peers, raws, now_ms)

    def _send(self, peers: tuple[PeerId, ...], raws: list[bytes], now_ms: int) -> Iterator[Send]:
        for some in batches(
            raws, bytes_max=limits.LETTERS_BYTES_MAX, count_max=limits.LETTERS_COUNT_MAX
        ):
            size = sum(map(len, some))
            able = tuple(peer for peer in peers if self._has_room(peer, size, now_ms))
            self.dropped += len(some) * (len(peers) - len(able))
            self._speeds.send(able, size, now_ms)
            yield from send(able, Letters(some))

    def _has_room(self, peer: PeerId, size: int, now_ms: int) -> bool:
        """Count bytes for a slow link; False while earlier ones take what it carries."""
        rate = self._speeds.allowed(peer) // PART
        if not rate:
            return True
        paid_us = max(self._paid_until_us.get(peer, 0), 1_000 * (now_ms - limits.PING_MS))
        if paid_us > 1_000 * now_ms:
            return False
        self._paid_until_us[peer] = paid_us + 1_000_000 * size // rate
        return True

    def _drop(self, name: Hash) -> None:
        raw, _ = self._kept.pop(name)
        self._kept_bytes -= len(raw)


def _joined(groups: _Groups) -> _Groups:
    """Bound how many frames a peer gets at once, wherever its messages came from."""
    if len(groups) <= 1:
        return groups
    joined: _Groups = {}
    for peers, raws in groups.items():
        for peer in peers:
            joined.setdefault((peer,), []).extend(raws)
    return joined
