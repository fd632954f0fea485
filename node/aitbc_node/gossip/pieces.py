"""Which piece of a kept state was asked of whom, and who is asked next?

Each peer that offers the same state has one request open at a time, so several are fetched from at
once, and a slow one holds up nothing but its own piece. A piece is judged by its hash. Do not add
which state is wanted, or what becomes of it.
"""

from collections import deque
from collections.abc import Iterator

import msgspec

from aitbc_node.crypto import sha256
from aitbc_node.errors import PeerFault
from aitbc_node.events import Send
from aitbc_node.gossip.messages import PieceWanted, send
from aitbc_node.limits import PIECE_BYTES
from aitbc_node.lineage import Contents
from aitbc_node.types import PeerId

ANSWER_MS = 10_000
"""A peer that is writing a state of its own answers when it is done."""
FETCH_MS_MAX = 600_000
GRACE_MS = 30_000
PACE_MS = 8_000
"""After the grace a piece comes in at least so long, and the whole in time: whoever gives one now
and then only holds a node back that is behind. A link of half a megabit a second is faster."""


class _Asked(msgspec.Struct, frozen=True):
    index: int
    asked_ms: int


class Pieces:
    """Fetch one state from those who offer it."""

    def __init__(self, contents: Contents, sources: tuple[PeerId, ...]) -> None:
        self._hashes = contents.pieces
        self._size = contents.size
        self._name = contents.name()
        self._missing = deque(range(len(contents.pieces)))
        self._open: dict[PeerId, _Asked] = {}
        self._begun_ms: int | None = None
        self.promised = sources
        self.sources = dict.fromkeys(sources)
        """Who is still asked, in the order in which they are."""

    @property
    def is_whole(self) -> bool:
        """Tell whether every piece is here."""
        return not self._missing and not self._open

    def is_too_slow(self, now_ms: int) -> bool:
        """Tell whether all who were asked together give too little to be waited for."""
        if self._begun_ms is None:
            return False
        count = len(self._hashes)
        taken = count - len(self._missing) - len(self._open)
        pace_ms = min(PACE_MS, FETCH_MS_MAX // count)
        return now_ms - self._begun_ms - GRACE_MS > taken * pace_ms

    def poll(self, now_ms: int) -> Iterator[Send]:
        """Ask everybody who owes nothing; give up on who is late."""
        if self._begun_ms is None:
            self._begun_ms = now_ms
        late = [peer for peer, asked in self._open.items() if now_ms - asked.asked_ms >= ANSWER_MS]
        for peer in late:
            self.drop(peer)
        for peer in self.sources:
            if peer not in self._open and self._missing:
                asked = self._open[peer] = _Asked(self._missing.popleft(), now_ms)
                yield from send((peer,), PieceWanted(self._name, asked.index))

    def take(self, peer: PeerId, name: bytes, index: int, data: bytes) -> bool:
        """Take an answer; False when there is nothing in it, or it is too late to be of use.

        Raises: PeerFault when it is not what the peer itself has promised.
        """
        asked = self._open.get(peer)
        if name != self._name or asked is None or asked.index != index:
            return False
        if not data:  # it has a newer one by now, and this one is gone
            self.drop(peer)
            return False
        length = min(PIECE_BYTES, self._size - index * PIECE_BYTES)
        if len(data) != length or sha256(data) != self._hashes[index]:
            raise PeerFault(f"piece {index} of a kept state is not what was promised")
        del self._open[peer]
        return True

    def drop(self, peer: PeerId) -> None:
        """Ask a peer no more, and others for what it owes."""
        self.sources.pop(peer, None)
        asked = self._open.pop(peer, None)
        if asked is not None:
            self._missing.append(asked.index)
