"""What happens next on virtual time?

Many things happen in the same millisecond of a large mesh: they wait in one row, in the order in
which they were planned, and only the milliseconds are sorted. Do not add what happens.
"""

import heapq
from collections import deque
from collections.abc import Callable

Deed = tuple[Callable[..., None], tuple[object, ...]]


class Agenda:
    """Hold what is planned, by the millisecond."""

    def __init__(self) -> None:
        self._rows: dict[int, deque[Deed]] = {}
        self._times_ms: list[int] = []

    def plan(self, at_ms: int, act: Callable[..., None], *arguments: object) -> None:
        """Plan to call something, behind all that is planned for the same time."""
        row = self._rows.get(at_ms)
        if row is None:
            row = self._rows[at_ms] = deque()
            heapq.heappush(self._times_ms, at_ms)
        row.append((act, arguments))

    def take(self, until_ms: int) -> tuple[int, Deed] | None:
        """Take what comes first and tell when; None when nothing is planned until then."""
        while self._times_ms and self._times_ms[0] <= until_ms:
            at_ms = self._times_ms[0]
            row = self._rows[at_ms]
            if row:
                return at_ms, row.popleft()
            del self._rows[heapq.heappop(self._times_ms)]
        return None
