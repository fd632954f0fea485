"""How the memory back end keeps files: in a dictionary, gone with the process.

It passes the same tests as real files. Faults of a disk belong to the simulator, not here.
"""

from collections.abc import Iterable


class MemoryDisk:
    """Be a folder in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}

    def exists(self, name: str) -> bool:
        """Tell whether a file is there."""
        return name in self.files

    def size(self, name: str) -> int:
        """Return a file's length; 0 for a missing one."""
        return len(self.files.get(name, b""))

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return a copy of a part of a file."""
        # A copy, not a view: another thread may be extending the file right now.
        end = None if length is None else offset + length
        return bytes(self.files.get(name, b"")[offset:end])

    def write_at(self, name: str, offset: int, data: bytes) -> None:
        """Put bytes at an offset; a gap before it reads as zeros, as on a real disk."""
        file = self.files.setdefault(name, bytearray())
        if offset > len(file):
            file.extend(bytes(offset - len(file)))
        file[offset : offset + len(data)] = data

    def truncate(self, name: str, size: int) -> None:
        """Cut a file."""
        del self.files[name][size:]

    def replace(self, name: str, data: bytes, more: Iterable[bytes] = ()) -> None:
        """Make a file hold exactly these bytes."""
        made = bytearray(data)
        for part in more:
            made += part
        self.files[name] = made

    def sync(self, name: str) -> None:
        """Do nothing: memory is as durable as it gets."""

    def sync_folder(self) -> None:
        """Do nothing: memory is as durable as it gets."""
