"""How do two processes on this machine keep out of each other's way? One flock with a deadline.

The kernel drops the lock with its holder, so a killed process never leaves one behind.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aitbc_toolkit.errors import AitbcError, Exit

_POLL_S = 0.05


@contextmanager
def locked(path: Path, *, timeout_s: float, what: str) -> Iterator[None]:
    """Hold the lock file for the length of a `with` block.

    Raises: AitbcError (busy) when somebody else holds it for longer than `timeout_s`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_s
    with path.open("a") as lock:
        while not _taken(lock.fileno()):
            if time.monotonic() > deadline:
                raise AitbcError(
                    f"{what} is busy: another process held {path} for {timeout_s:.0f} s",
                    hint=f"fuser -v {path}",
                    exit_status=Exit.BUSY,
                )
            time.sleep(_POLL_S)
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
