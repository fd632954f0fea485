"""How the node's files live in a real folder: the only importer of `os` below the driver.

A failed sync ends the process and is never tried again: the kernel may have dropped the very pages
that it could not write, and a second sync would then succeed about nothing. A full or read-only
disk is different, nothing was taken and the write may be repeated. Do not add formats here.
"""

import contextlib
import errno
import fcntl
import itertools
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from aitbc_node.errors import AitbcError, ConfigError, DiskError, Exit
from aitbc_node.storage.disk import DiskUnavailableError

_MAY_HEAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_LOCK_NAME = "lock"


class FileDisk:
    """Be one folder of real files; `lock` it before use.

    Units: `sync_count` and `sync_ns` count what syncing files has cost so far.
    """

    def __init__(self, folder: Path, *, mode: int = 0o600) -> None:
        self.folder = folder
        self.sync_count = 0
        self.sync_ns = 0
        self._mode = mode
        self._files: dict[str, int] = {}
        self._lock: int | None = None

    def lock(self) -> None:
        """Make the folder where it is missing and keep every other process out of it.

        Raises: AitbcError (busy) when another process holds it.
        """
        with _adapted(self.folder, "open"):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(
                self.folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, self._mode
            )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise AitbcError(
                f"{self.folder} is in use by another node",
                hint="the same key or data must never run twice; stop the other process",
                exit_status=Exit.BUSY,
            ) from None
        self._lock = lock

    def close(self) -> None:
        """Close all files and let go of the lock."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def used_ratio(self) -> float:
        """Return how full the file system below the folder is, for whoever is not root."""
        with _adapted(self.folder, "read"):
            told = os.statvfs(self.folder)
        used = told.f_blocks - told.f_bfree
        return used / max(1, used + told.f_bavail)

    def exists(self, name: str) -> bool:
        """Tell whether a file is there."""
        return (self.folder / name).exists()

    def size(self, name: str) -> int:
        """Return a file's length; 0 for a missing one."""
        if not self.exists(name):
            return 0
        with _adapted(self.folder / name, "read"):
            return os.fstat(self._open(name)).st_size

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return a part of a file."""
        wanted = self.size(name) - offset if length is None else length
        parts: list[bytes] = []
        with _adapted(self.folder / name, "read"):
            file = self._open(name)
            while wanted > 0 and (part := os.pread(file, wanted, offset)):
                parts.append(part)
                offset += len(part)
                wanted -= len(part)
        return b"".join(parts)

    def write_at(self, name: str, offset: int, data: bytes) -> None:
        """Put bytes at an offset."""
        with _adapted(self.folder / name, "write"):
            is_new = name not in self._files and not self.exists(name)
            file = self._open(name)
            view = memoryview(data)
            while view:
                written = os.pwrite(file, view, offset)
                offset += written
                view = view[written:]
        if is_new:
            self.sync_folder()

    def truncate(self, name: str, size: int) -> None:
        """Cut a file."""
        with _adapted(self.folder / name, "truncate"):
            os.ftruncate(self._open(name), size)

    def replace(self, name: str, data: bytes, more: Iterable[bytes] = ()) -> None:
        """Write a new file beside the old one and rename it over it."""
        temporary = f"{name}.new"
        self._close(temporary)
        with _adapted(self.folder / temporary, "write"):
            (self.folder / temporary).unlink(missing_ok=True)
        try:
            at = 0
            for part in itertools.chain((data,), more):
                self.write_at(temporary, at, part)
                at += len(part)
        except DiskUnavailableError:
            # Half a file of no use would hold the last free bytes, which the log needs more.
            self._close(temporary)
            (self.folder / temporary).unlink(missing_ok=True)
            raise
        self.sync(temporary)
        self._close(name)
        self._close(temporary)
        with _adapted(self.folder / name, "rename"):
            (self.folder / temporary).rename(self.folder / name)
        self.sync_folder()

    def sync(self, name: str) -> None:
        """Make a file's bytes and length durable."""
        started_ns = time.monotonic_ns()
        with _fatal(self.folder / name):
            os.fdatasync(self._open(name))
        self.sync_count += 1
        self.sync_ns += time.monotonic_ns() - started_ns

    def sync_folder(self) -> None:
        """Make the folder's names durable."""
        with _fatal(self.folder):
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _open(self, name: str) -> int:
        file = self._files.get(name)
        if file is None:
            file = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, self._mode)
            self._files[name] = file
        return file

    def _close(self, name: str) -> None:
        file = self._files.pop(name, None)
        if file is not None:
            os.close(file)


@contextlib.contextmanager
def _adapted(path: Path, verb: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise ConfigError(
            f"{path}: cannot {verb}: {error.strerror}",
            hint="the node's user must own its data and key folders",
        ) from error
    except OSError as error:
        kind = DiskUnavailableError if error.errno in _MAY_HEAL else DiskError
        raise kind(f"{path}: cannot {verb}: {error.strerror}") from error


@contextlib.contextmanager
def _fatal(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"{path}: sync failed: {error.strerror}; what is on the disk is unknown",
            hint="check the disk before starting the node again",
        ) from error


class ReadOnlyFiles(FileDisk):
    """Look at a folder without changing a byte of it, also while a node runs on it."""

    def write_at(self, name: str, offset: int, data: bytes) -> None:
        """Refuse; nothing that only looks may write."""
        raise AssertionError(f"an inspection wrote to {name} at {offset}: {len(data)} bytes")

    def truncate(self, name: str, size: int) -> None:
        """Leave a torn tail as it is."""

    def replace(self, name: str, data: bytes, more: Iterable[bytes] = ()) -> None:
        """Say that there is nothing to look at."""
        size = len(data) + sum(map(len, more))
        raise DiskError(
            f"{self.folder / name}: no such file (a node would begin one of {size} bytes)",
            hint="has the node ever run here?",
        )

    def sync(self, name: str) -> None:
        """Do nothing: nothing was written."""

    def _open(self, name: str) -> int:
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        return file
