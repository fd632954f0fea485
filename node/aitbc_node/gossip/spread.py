"""How much of what peers spread was here before?

Counts, nothing else: what is passed on is decided in `topology.py`, and a repeated message does no
harm. Frames are told apart by their bytes, over a window that is long enough for the ways round a
mesh. Do not add reactions.
"""

from aitbc_node.forgetting import forget_oldest

WINDOW = 4_096


class Spread:
    """Count frames with votes, proposals and transactions."""

    def __init__(self) -> None:
        self.taken = 0
        self.repeated = 0
        self._seen: dict[int, None] = {}

    def take(self, payload: bytes) -> None:
        """Count one frame."""
        self.taken += 1
        mark = hash(payload)
        if mark in self._seen:
            self.repeated += 1
            return
        self._seen[mark] = None
        forget_oldest(self._seen, most=WINDOW)
