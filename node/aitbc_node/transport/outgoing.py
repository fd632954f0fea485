"""What waits to be sent to one peer, and in which order does it leave?

Old blocks are large and wanted in no hurry, so they leave behind everything else, one at a time: a
vote never waits for more than one of them. What leaves is cut into slices, so that what waits is
counted here and not hidden in buffers below. Do not add when a queue is too long.
"""

from collections import deque

from aitbc_node.limits import KIB

SLICE_BYTES = 256 * KIB
"""At most so much leaves in one write, or waits below: who goes on reading never takes much."""


class Outgoing:
    """Hold frames in two lanes."""

    def __init__(self) -> None:
        self.byte_count = 0
        self._frames: deque[bytes] = deque()
        self._bulk: deque[bytes] = deque()
        self._rest = memoryview(b"")
        """What has not left yet of a frame that has begun to leave."""

    def put(self, frame: bytes, *, is_bulk: bool) -> None:
        """Let a frame wait."""
        self.byte_count += len(frame)
        (self._bulk if is_bulk else self._frames).append(frame)

    def take(self) -> bytes:
        """Return what leaves in the next write; nothing when nothing waits."""
        if self._rest:
            data = self._cut(self._rest)
        elif self._frames:
            data = self._joined(self._frames)
        elif self._bulk:
            data = self._cut(memoryview(self._bulk.popleft()))
        else:
            return b""
        self.byte_count -= len(data)
        return data

    def _joined(self, frames: deque[bytes]) -> bytes:
        """Take whole frames as far as they fit, or the beginning of one that is larger."""
        first = frames.popleft()
        if len(first) > SLICE_BYTES:
            return self._cut(memoryview(first))
        taken, room = [first], SLICE_BYTES - len(first)
        while frames and len(frames[0]) <= room:
            taken.append(frames.popleft())
            room -= len(taken[-1])
        return first if len(taken) == 1 else b"".join(taken)

    def _cut(self, frame: memoryview) -> bytes:
        self._rest = frame[SLICE_BYTES:]
        return bytes(frame[:SLICE_BYTES])

    def clear(self) -> None:
        """Forget all of it."""
        self.byte_count = 0
        self._frames.clear()
        self._bulk.clear()
        self._rest = memoryview(b"")
