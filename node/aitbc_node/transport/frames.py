"""How a stream of bytes is cut into frames, and frames joined into a stream.

Shape: u32 big-endian length, then that many bytes; 1 <= length <= the limit of the moment. Do not
add meanings here: what is in a frame is the business of `handshake.py` and `gossip`.
"""

import struct

from aitbc_node.errors import PeerFault
from aitbc_node.limits import FRAME_BYTES_MAX

_LENGTH = struct.Struct(">I")
HEAD_BYTES = _LENGTH.size


def framed(payload: bytes) -> bytes:
    """Put the length in front of one payload."""
    assert 0 < len(payload) <= FRAME_BYTES_MAX, "a frame that every peer would refuse"
    return _LENGTH.pack(len(payload)) + payload


class FrameDecoder:
    """Cut what a stream brings into payloads; at most one unfinished frame is kept."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream; return the payloads that are whole now.

        Raises: PeerFault when a length is zero or above the limit, before its bytes are awaited.
        """
        if self._rest:
            self._rest += data
            data = bytes(self._rest) if self._is_whole() else b""
            if not data:
                return []
            self._rest.clear()
        payloads, used = self._cut(data)
        self._rest += memoryview(data)[used:]
        return payloads

    def _is_whole(self) -> bool:
        """Tell whether the first frame is here, so that a long one is not copied at each step."""
        if len(self._rest) < HEAD_BYTES:
            return False
        return len(self._rest) >= HEAD_BYTES + self._length(self._rest, 0)

    def _cut(self, data: bytes) -> tuple[list[bytes], int]:
        payloads: list[bytes] = []
        at = 0
        while len(data) - at >= HEAD_BYTES:
            end = at + HEAD_BYTES + self._length(data, at)
            if end > len(data):
                break
            payloads.append(data[at + HEAD_BYTES : end])
            at = end
        return payloads, at

    def _length(self, data: bytes | bytearray, at: int) -> int:
        length: int = _LENGTH.unpack_from(data, at)[0]
        if not 0 < length <= self.bytes_max:
            raise PeerFault(f"a frame of {length} bytes")
        return length
