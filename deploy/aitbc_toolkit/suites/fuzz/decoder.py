"""What is a thing that reads foreign bytes, to whoever tries to break it?

Bytes go in; whatever comes out as an exception is a finding, for what a stranger may cause is a
value or a declared fault, and that stays inside. Do not add readers here.
"""

from collections.abc import Callable, Iterable

import msgspec


class Decoder(msgspec.Struct, frozen=True):
    """Be one reader of foreign bytes.

    `take` tells whether it has understood the bytes, and raises only where the node has a defect.
    `is_packed` says that they are msgpack, so that single values may be bent.
    """

    name: str
    take: Callable[[bytes], bool]
    seeds: Callable[[], Iterable[bytes]]
    is_packed: bool = True
