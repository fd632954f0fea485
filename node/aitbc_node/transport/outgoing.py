"""What waits to be sent to one peer, and in which order does it leave?

Old blocks are large and wanted in no hurry, so they leave behind everything else, one at a time: a
vote never waits for more than one of them. Do not add when a queue is too long.
"""

from collections import deque


class Outgoing:
    """Hold frames in two lanes."""

    def __init__(self) -> None:
        self.byte_count = 0
        self._frames: list[bytes] = []
        self._bulk: deque[bytes] = deque()

    def put(self, frame: bytes, *, is_bulk: bool) -> None:
        """Let a frame wait."""
        self.byte_count += len(frame)
        (self._bulk if is_bulk else self._frames).append(frame)

    def take(self) -> bytes:
        """Return what leaves in the next write; nothing when nothing waits."""
        if self._frames:
            data = self._frames[0] if len(self._frames) == 1 else b"".join(self._frames)
            self._frames.clear()
        elif self._bulk:
            data = self._bulk.popleft()
        else:
            return b""
        self.byte_count -= len(data)
        return data

    def clear(self) -> None:
        """Forget all of it."""
        self.byte_count = 0
        self._frames.clear()
        self._bulk.clear()
