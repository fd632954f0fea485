"""What waits to be sent to one peer, and in which order does it leave?

Old blocks are large and wanted in no hurry, so they leave behind what the next block needs, one at
a time: a vote never waits for more than one of them. Messages of accounts leave behind both, but
for one behind every so many bytes, so that they wait long where there is always more and not for
ever, and what is too much of them is left out: nobody's link is to end for those. What leaves is
cut into slices, so that what waits is counted here and not hidden in buffers below. Do not add when
the queue of all lanes is too long.
"""

from collections import deque

from aitbc_node.events import Lane
from aitbc_node.limits import KIB, MIB, PEER_QUEUE_LETTERS_BYTES_MAX

SLICE_BYTES = 256 * KIB
"""At most so much leaves in one write, or waits below: who goes on reading never takes much."""
TURN_BYTES = 4 * MIB
"""Where so much has gone before messages that wait, one frame of them leaves next."""


class Outgoing:
    """Hold frames in lanes."""

    def __init__(self) -> None:
        self.byte_count = 0
        self.message_byte_count = 0
        """Those of messages of accounts of which nothing has left."""
        self._frames: deque[bytes] = deque()
        self._blocks: deque[bytes] = deque()
        self._messages: deque[bytes] = deque()
        self._lanes = (self._frames, self._blocks, self._messages)
        self._gone_before = 0
        """Bytes that left while messages waited, since one of those left the last time."""
        self._rest = memoryview(b"")
        """What has not left yet of a frame that has begun to leave."""

    def put(self, frame: bytes, lane: Lane) -> int:
        """Let a frame wait; return how many bytes more wait now, none when it is left out."""
        if lane is Lane.MESSAGES:
            if self.message_byte_count + len(frame) > PEER_QUEUE_LETTERS_BYTES_MAX:
                return 0
            self.message_byte_count += len(frame)
        self.byte_count += len(frame)
        self._lanes[lane].append(frame)
        return len(frame)

    def take(self) -> bytes:
        """Return what leaves in the next write; nothing when nothing waits."""
        if self._rest:
            data = self._cut(self._rest)
        elif self._messages and self._gone_before >= TURN_BYTES:
            data = self._message()
        elif self._frames:
            data = self._joined(self._frames)
        elif self._blocks:
            data = self._cut(memoryview(self._blocks.popleft()))
        elif self._messages:
            data = self._message()
        else:
            return b""
        self.byte_count -= len(data)
        if self._messages:
            self._gone_before += len(data)
        return data

    def _message(self) -> bytes:
        self._gone_before = 0
        frame = self._messages.popleft()
        self.message_byte_count -= len(frame)
        return self._cut(memoryview(frame))

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
        self.byte_count = self.message_byte_count = 0
        for lane in self._lanes:
            lane.clear()
        self._gone_before = 0
        self._rest = memoryview(b"")
