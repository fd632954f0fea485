"""How are answers read by several threads at once? What their shape means is found out by one.

msgspec finds it out when it first meets a shape. A second thread that meets the same one meanwhile
reads what is half made, and the process ends by SIGSEGV: seen on a mesh of seven nodes that were
asked side by side, and in 7 of 30 runs of 16 threads. Do not add what an answer means.
"""

import threading
from typing import TypeVar

import msgspec

Shape = TypeVar("Shape")

_first = threading.Lock()
_known: set[object] = set()


def decode(body: bytes, shape: type[Shape]) -> Shape:
    """Read JSON of a shape. Raises: msgspec.MsgspecError."""
    if shape not in _known:
        with _first:
            msgspec.json.Decoder(shape)
            _known.add(shape)
    return msgspec.json.decode(body, type=shape)
