"""Where in the log is each final block, with its certificate?

One node keeps this of its whole chain in memory, so it is kept small: 16 bytes a block, where a
list of pairs takes 200. Do not add heights: which block is the first here is `store.py`'s business.
"""

from array import array
from collections.abc import Iterator
from typing import TypeAlias

Pair: TypeAlias = tuple[int, int]
"""Where a block begins, and where its certificate does. Units: bytes from the log's beginning."""


class Offsets:
    """Keep the pairs of consecutive final blocks, oldest first."""

    def __init__(self) -> None:
        self._blocks = array("Q")
        self._certificates = array("Q")

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, index: int) -> Pair:
        return self._blocks[index], self._certificates[index]

    def between(self, first: int, behind: int | None = None) -> Iterator[Pair]:
        """Return the pairs from one index on, up to the one before another; later ones not."""
        return zip(self._blocks[first:behind], self._certificates[first:behind], strict=True)

    def append(self, pair: Pair) -> None:
        """Add the newest."""
        block_at, certificate_at = pair
        self._blocks.append(block_at)
        self._certificates.append(certificate_at)

    def restart(self, pair: Pair) -> None:
        """Begin with this one; all others are forgotten."""
        del self._blocks[:], self._certificates[:]
        self.append(pair)

    def drop(self, count: int) -> None:
        """Forget so many of the newest."""
        kept = max(0, len(self) - count)
        del self._blocks[kept:], self._certificates[kept:]
