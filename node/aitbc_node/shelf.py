"""Which judged blocks of the next height are kept, for voting and for whoever asks?

The good ones with their execution, the bad ones by name, and the newest final block, which peers
that are a moment behind may still need. Do not add how a block is judged.
"""

from collections.abc import Callable, Iterable

from aitbc_node.chain import Candidate
from aitbc_node.types import BlockId

CANDIDATES_MAX = 16
"""Good blocks of one height; the oldest go first, never one that consensus holds on to."""

INVALID_MAX = 1_000


class Shelf:
    """Keep the verdicts on the blocks of one height; `pinned` names what consensus holds on to."""

    def __init__(self, pinned: Callable[[], Iterable[BlockId]]) -> None:
        self._pinned = pinned
        self._candidates: dict[BlockId, Candidate] = {}
        self._invalid: dict[BlockId, str] = {}
        self._tip: Candidate | None = None

    def __contains__(self, block_id: BlockId) -> bool:
        return block_id in self._candidates or block_id in self._invalid

    def candidate(self, block_id: BlockId) -> Candidate | None:
        """Return a good block of the next height."""
        return self._candidates.get(block_id)

    def fault_of(self, block_id: BlockId) -> str:
        """Say why a block of the next height was found bad; empty when it was not."""
        return self._invalid.get(block_id, "")

    def served(self, block_id: BlockId) -> Candidate | None:
        """Return a good block that others may fetch: of the next height, or the newest final."""
        if self._tip is not None and self._tip.id == block_id:
            return self._tip
        return self._candidates.get(block_id)

    def verdicts(self) -> tuple[tuple[BlockId, Candidate | None], ...]:
        """Return all verdicts: the good block, or None for a bad one."""
        bad = ((block_id, None) for block_id in self._invalid)
        return (*self._candidates.items(), *bad)

    def keep(self, candidate: Candidate) -> None:
        """Keep a good block."""
        held = set(self._pinned())
        loose = [block_id for block_id in self._candidates if block_id not in held]
        if len(self._candidates) >= CANDIDATES_MAX and loose:
            del self._candidates[loose[0]]
        self._candidates[candidate.id] = candidate

    def reject(self, block_id: BlockId, fault: str) -> None:
        """Remember a bad block by name, and what is wrong with it."""
        if len(self._invalid) >= INVALID_MAX:
            del self._invalid[next(iter(self._invalid))]
        self._invalid[block_id] = fault

    def advance(self, final: Candidate | None) -> None:
        """Begin with the next height; without the block where nobody executed it here."""
        self._tip = final
        self._candidates.clear()
        self._invalid.clear()
