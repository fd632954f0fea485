"""What the node asks of a disk: a folder of named files, and nothing else.

Real files, the memory back end and the simulator's disk that forgets unsynced writes all answer
this one protocol, so that the same log and sign-state code runs on each. Do not add formats here.
"""

from collections.abc import Iterable
from typing import Protocol

from aitbc_node.errors import DiskError


class DiskUnavailableError(DiskError):
    """The disk took nothing (full, over quota, read-only); the same write may work later.

    A failed sync is never this error: after it nobody knows what is on the disk.
    """


class Disk(Protocol):
    """Hold named files; what was not synced may be lost, in any part, at a crash.

    Raises: DiskUnavailableError from a write that may be retried, DiskError from all else.
    """

    def exists(self, name: str) -> bool:
        """Tell whether a file is there."""

    def size(self, name: str) -> int:
        """Return a file's length in bytes; 0 for a missing one."""

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return up to `length` bytes from `offset`, to the end without a length."""

    def write_at(self, name: str, offset: int, data: bytes) -> None:
        """Put bytes at an offset; the file is created and grows as needed."""

    def truncate(self, name: str, size: int) -> None:
        """Cut a file to a length."""

    def replace(self, name: str, data: bytes, more: Iterable[bytes] = ()) -> None:
        """Make a file hold exactly these bytes, and `more` behind them, durably.

        A crash leaves the old or the new. What is `more` is asked for while it is written.
        """

    def sync(self, name: str) -> None:
        """Return once everything written to a file so far would survive loss of power."""

    def sync_folder(self) -> None:
        """Return once the names of the folder's files would survive loss of power."""
