"""What waits for one slow link, and how much of it may leave now?

Do not add which transactions go to which peers: that is `relay.py`'s question.
"""

from collections.abc import Iterable, Iterator

from aitbc_node import limits
from aitbc_node.types import TxId

LANE_MAX = 2_000
"""Transactions that wait for one slow link; the oldest are left to who asks for them."""
SAVED_MS = limits.PING_MS
"""A lane may send at once what it could have sent in so long."""


class Lane:
    """Hold what waits for one slow link. Units: bytes a second, microseconds within.

    What clients brought leaves first, because nobody else can be asked for it.
    """

    def __init__(self, now_ms: int) -> None:
        self._own: dict[TxId, tuple[bytes, bool]] = {}
        self._others: dict[TxId, bytes] = {}
        self._paid_until_us = 1_000 * (now_ms - SAVED_MS)

    def __len__(self) -> int:
        return len(self._own) + len(self._others)

    def __iter__(self) -> Iterator[TxId]:
        yield from self._own
        yield from self._others

    def put(
        self, rows: Iterable[tuple[TxId, bytes]], *, is_own: bool, is_handed: bool
    ) -> list[TxId]:
        """Let these wait; return who made room: the oldest of others, or the newest of clients."""
        if is_own:
            self._own.update((tx_id, (raw, is_handed)) for tx_id, raw in rows)
        else:
            self._others.update(rows)
        dropped = []
        while len(self) > LANE_MAX:
            tx_id = next(iter(self._others)) if self._others else next(reversed(self._own))
            self.drop((tx_id,))
            dropped.append(tx_id)
        return dropped

    def drop(self, ids: Iterable[TxId]) -> None:
        """Let these wait no longer."""
        for tx_id in ids:
            self._own.pop(tx_id, None)
            self._others.pop(tx_id, None)

    def take(self, rate: int, now_ms: int) -> Iterator[tuple[bool, list[bytes]]]:
        """Take what may leave now, in order, cut where it was handed over in another way."""
        self._paid_until_us = max(self._paid_until_us, 1_000 * (now_ms - SAVED_MS))
        taken: list[bytes] = []
        was_handed = False
        while len(self) and (not rate or self._paid_until_us <= 1_000 * now_ms):
            raw, is_handed = self._next()
            if taken and is_handed != was_handed:
                yield was_handed, taken
                taken = []
            taken.append(raw)
            was_handed = is_handed
            if rate:
                self._paid_until_us += 1_000_000 * len(raw) // rate
        if taken:
            yield was_handed, taken

    def _next(self) -> tuple[bytes, bool]:
        if self._own:
            return self._own.pop(next(iter(self._own)))
        return self._others.pop(next(iter(self._others))), False
