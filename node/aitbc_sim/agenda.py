"""What happens next on virtual time?

Many things happen in the same millisecond of a large mesh: they wait in one row, in the order in
which they were planned, and only the milliseconds are sorted. Do not add what happens.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator

Deed = tuple[Callable[..., None], tuple[object, ...]]
"""What, and with which arguments."""


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

    def until(self, end_ms: int) -> Iterator[tuple[int, deque[Deed]]]:
        """Go through the milliseconds until then, each with its row, to be taken from the left.

        What is planned meanwhile comes too. A row that is not taken to its end comes again.
        """
        rows, times_ms = self._rows, self._times_ms
        while times_ms and times_ms[0] <= end_ms:
            at_ms = times_ms[0]
            row = rows[at_ms]
            yield at_ms, row
            if not row:
                del rows[heapq.heappop(times_ms)]
