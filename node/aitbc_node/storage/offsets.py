"""Where in the log is each final block, with its certificate?

One node keeps this of its whole chain in memory, so it is kept small: 8 bytes a block, where a
list of pairs takes 200. Do not add heights: which block is the first here is `store.py`'s business.
"""

from array import array
from collections.abc import Iterator, Mapping
from typing import TypeAlias

Pair: TypeAlias = tuple[int, int]
"""Where a block begins, and where its certificate does. Units: bytes from the log's beginning."""

_GAP_BITS = 24
"""So many bits tell how far behind the block its certificate is, the 40 others where the block is:
up to 16 MiB and 1 TiB."""
_GAP_MAX = (1 << _GAP_BITS) - 1
_BLOCK_AT_MAX = (1 << (64 - _GAP_BITS)) - 1
_FAR = (1 << 64) - 1
"""Stands for the few pairs that do not fit, as after thousands of rounds in vain."""


class Offsets:
    """Keep the pairs of consecutive final blocks, oldest first."""

    def __init__(self) -> None:
        self._words = array("Q")
        self._far: dict[int, Pair] = {}

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, index: int) -> Pair:
        return _pair(self._words[index], index, self._far)

    def between(self, first: int, behind: int | None = None) -> Iterator[Pair]:
        """Return the pairs from one index on, up to the one before another; later ones not."""
        far = self._far.copy()
        words = enumerate(self._words[first:behind], first)
        return (_pair(word, index, far) for index, word in words)

    def append(self, pair: Pair) -> None:
        """Add the newest."""
        block_at, certificate_at = pair
        gap = certificate_at - block_at
        if block_at < _BLOCK_AT_MAX and 0 <= gap <= _GAP_MAX:
            self._words.append(block_at << _GAP_BITS | gap)
        else:
            self._far[len(self)] = pair
            self._words.append(_FAR)

    def restart(self, pair: Pair) -> None:
        """Begin with this one; all others are forgotten."""
        self.drop(len(self))
        self.append(pair)

    def drop(self, count: int) -> None:
        """Forget so many of the newest."""
        kept = max(0, len(self) - count)
        del self._words[kept:]
        self._far = {index: pair for index, pair in self._far.items() if index < kept}


def _pair(word: int, index: int, far: Mapping[int, Pair]) -> Pair:
    if word == _FAR:
        return far[index]
    block_at = word >> _GAP_BITS
    return block_at, block_at + (word & _GAP_MAX)
