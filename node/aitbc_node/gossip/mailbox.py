"""Which messages to accounts are held ready, and what of them is each peer still owed?

The newest that have not ended. A peer is owed all of them when its link comes up, and once more
when it has caught up: while it was behind, it could not know every sender, and nobody can ask for a
message. What one peer is told is bounded, however often it comes back: the rest follows later. Do
not add what is passed on as it comes, nor when anything is sent: `courier.py`.
"""

from collections import deque
from collections.abc import Iterator

from aitbc_node import limits
from aitbc_node.buckets import Buckets
from aitbc_node.types import Hash, Height, PeerId

BEHIND_BLOCKS = 3
"""So far below this node a peer is behind; who merely has not told of the last block is not."""


class Mailbox:
    """Hold the newest, and for each linked peer what it was not told yet."""

    def __init__(self) -> None:
        self._kept: dict[Hash, tuple[bytes, Height]] = {}
        self._kept_bytes = 0
        self._owed: dict[PeerId, deque[Hash]] = {}
        self._behind: dict[PeerId, Height] = {}
        """How high this node was when a peer said the last time that it is behind."""
        # By identity, not by link: who comes back over and over is told no more for that.
        self._paces = Buckets[bytes](rate=limits.LETTERS_TOLD_RATE, burst=limits.LETTERS_TOLD_BURST)

    @property
    def creditors(self) -> tuple[PeerId, ...]:
        """Name who is owed something."""
        return tuple(self._owed)

    def owes(self, peer: PeerId) -> bool:
        """Tell whether a peer is owed something."""
        return peer in self._owed

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

    def owe(self, peer: PeerId) -> None:
        """Let a peer be told of all that is here now, piece by piece, the newest piece first.

        A link that often breaks would else bring the oldest over and over and never the newest.
        """
        if self._kept:
            self._owed[peer] = deque(reversed(self._kept))

    def claimed(self, peer: PeerId, height: Height, *, own: Height) -> None:
        """Hear how high a peer is; who was behind, and has what was here then, is owed all anew."""
        if height + BEHIND_BLOCKS <= own:
            self._behind[peer] = own
        elif peer in self._behind and height >= self._behind[peer]:
            del self._behind[peer]
            self.owe(peer)

    def forget(self, peer: PeerId) -> None:
        """Owe nothing to a peer whose link is gone; what it was told is remembered."""
        self._owed.pop(peer, None)
        self._behind.pop(peer, None)

    def take(self, peer: PeerId, *, bytes_max: int, now_ms: int) -> list[bytes]:
        """Take the next of what a peer is owed; nothing while it has had enough.

        Shape: in the order in which they came here.
        """
        if self._paces.wait_s(peer, now_ms=now_ms):
            return []
        taken = list(self._next(self._owed[peer], bytes_max))[::-1]
        self._paces.pay(peer, tokens=sum(map(len, taken)), now_ms=now_ms)
        if not self._owed[peer]:
            del self._owed[peer]
        return taken

    def _next(self, names: deque[Hash], bytes_max: int) -> Iterator[bytes]:
        """Go through what fits one message; one always does, and what is gone needs no room."""
        count = size = 0
        while names and count < limits.LETTERS_COUNT_MAX:
            raw, _ = self._kept.get(names[0], (b"", None))
            if count and size + len(raw) > bytes_max:
                return
            names.popleft()
            if raw:
                count, size = count + 1, size + len(raw)
                yield raw

    def _drop(self, name: Hash) -> None:
        raw, _ = self._kept.pop(name)
        self._kept_bytes -= len(raw)
