"""Which ports may a test listen on? A thousand that no other test process of this machine takes.

They lie below those that the kernel gives to connections. A port that is free when it is looked for
may be taken by another test before its node listens, so looking is not enough.
"""

import fcntl
import random
import tempfile
from contextlib import suppress
from functools import cache
from itertools import cycle
from pathlib import Path
from socket import socket
from typing import IO

_AREA = 1_000
_FIRSTS = range(20_000, 32_000, _AREA)
_held: list[IO[str]] = []


def take(count: int, *, apart: int = 1) -> list[int]:
    """Return ports that are free, `apart` from each other for what else is put behind each."""
    found: list[int] = []
    for _ in range(_AREA):
        port = next(_ports())
        if port % apart:
            continue
        with socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"there are no {count} free ports, {apart} apart")


@cache
def _ports() -> "cycle[int]":
    """Hold an area until this process ends, and go round in it.

    The lowest free one would be that of a test process that has ended a moment ago, and with it
    what that one leaves behind for another moment.
    """
    for first in random.sample(_FIRSTS, len(_FIRSTS)):
        path = Path(tempfile.gettempdir()) / f"aitbc-tests-ports-{first}"
        lock = path.open("w", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)
        return cycle(range(first, first + _AREA))
    raise RuntimeError("every area of ports is held by another test process")
