"""Which ports may a test listen on? A thousand that no other test process of this machine takes.

They lie below those that the kernel gives to connections. A port that is free when it is looked for
may be taken by another test before its node listens, so looking is not enough.
"""

import fcntl
import os
import random
import tempfile
from contextlib import suppress
from functools import cache
from itertools import cycle
from pathlib import Path
from socket import socket

_AREA = 1_000
_FIRSTS = range(20_000, 32_000, _AREA)
_held: list[int] = []


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
        lock = _opened(Path(tempfile.gettempdir()) / f"aitbc-tests-ports-{first}")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        _held.append(lock)
        return cycle(range(first, first + _AREA))
    raise RuntimeError("every area of ports is held by another test process")


def _opened(path: Path) -> int:
    """Open a lock file to read, which is enough for a lock: it may be another user's.

    In a folder of everybody the system lets nobody open another's file with the word to make it.
    """
    with suppress(FileExistsError):
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
