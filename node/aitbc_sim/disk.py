"""What is left of a file after the power went?

A folder in memory that remembers which writes were not synced. At a loss of power each of those
survives whole, in part or not at all, independently of the others, as sectors do. Do not add
knowledge of what the files mean.
"""

import random
from collections import defaultdict
from collections.abc import Iterable

from aitbc_node.storage.disk import DiskUnavailableError
from aitbc_node.storage.memory import MemoryDisk


class PowerCutError(Exception):
    """The power went in the middle of a disk operation."""


class SimDisk(MemoryDisk):
    """Be one node's folder. `files` is what the running node sees."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice
        self._durable: dict[str, bytearray] = {}
        self._unsynced: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        self.fuse: int | None = None
        """How many more operations until the power goes; None for never."""
        self.refusal = ""
        """Why nothing can be written at the moment; empty when it can."""

    @property
    def is_cut(self) -> bool:
        """Tell whether an operation was cut short."""
        return self.fuse is not None and self.fuse < 0

    @property
    def unsynced_writes(self) -> int:
        """Count the writes that a loss of power could undo."""
        return sum(map(len, self._unsynced.values()))

    def write_at(self, name: str, offset: int, data: bytes) -> None:
        """Write; not durable yet, and perhaps the last thing that happens."""
        self._check(name)
        super().write_at(name, offset, data)
        self._unsynced[name].append((offset, data))
        self._burn()

    def truncate(self, name: str, size: int) -> None:
        """Cut a file; a repair that is lost is made again, so it counts as durable at once."""
        super().truncate(name, size)
        self._make_durable(name)

    def replace(self, name: str, data: bytes, more: Iterable[bytes] = ()) -> None:
        """Put a file in place of another, durably: before the power goes or not at all."""
        self._check(name)
        self._burn()
        super().replace(name, data, more)
        self._make_durable(name)

    def sync(self, name: str) -> None:
        """Make a file durable: only what was written since costs anything."""
        self._burn()
        durable = self._durable.setdefault(name, bytearray())
        for offset, data in self._unsynced.pop(name, ()):
            _put(durable, offset, data)

    def lose_power(self) -> bool:
        """Forget what was not durable, in part; tell whether anything was torn or lost."""
        harmed = False
        for name, writes in self._unsynced.items():
            left = bytearray(self._durable.get(name, b""))
            for offset, data in writes:
                kept = self._survivor(data)
                harmed |= len(kept) < len(data)
                if kept:
                    _put(left, offset, kept)
            if left or name in self._durable:
                self.files[name] = left
            else:
                self.files.pop(name, None)
            self._durable[name] = bytearray(left)
        self._unsynced.clear()
        return harmed

    def _survivor(self, data: bytes) -> bytes:
        match self._dice.randrange(3):
            case 0:
                return b""
            case 1:
                return data
            case _:
                return data[: self._dice.randrange(len(data) + 1)]

    def _make_durable(self, name: str) -> None:
        self._durable[name] = bytearray(self.files[name])
        self._unsynced.pop(name, None)

    def _check(self, name: str) -> None:
        if self.refusal:
            raise DiskUnavailableError(f"{name}: {self.refusal}")

    def _burn(self) -> None:
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise PowerCutError


def _put(file: bytearray, offset: int, data: bytes) -> None:
    """Put bytes at an offset; a gap before it reads as zeros."""
    if offset > len(file):
        file.extend(bytes(offset - len(file)))
    file[offset : offset + len(data)] = data
