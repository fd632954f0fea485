"""Which node is asked next? Those that answer take turns; one that did not rests for a while.

A node at rest is asked after all others, so a mesh of which all rest is still asked. Each time that
it fails again it rests twice as long. Do not add what a failure is: that is the caller's.
"""

import threading
import time
from collections.abc import Callable, Sequence

REST_S = 2.0
REST_MAX_S = 60.0


class Turns:
    """Keep whose turn it is, for all threads of one client."""

    def __init__(
        self, names: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._names = tuple(names)
        self._clock = clock
        self._lock = threading.Lock()
        self._turn = 0
        self._rests: dict[str, tuple[float, float]] = {}

    def order(self) -> list[str]:
        """Name all, whose turn it is first and those at rest last; the next call begins one on."""
        with self._lock:
            start, now_s = self._turn % max(1, len(self._names)), self._clock()
            self._turn += 1
            turned = (*self._names[start:], *self._names[:start])
            return sorted(turned, key=lambda name: self._until(name) > now_s)

    def failed(self, name: str, *, wait_s: float = 0.0) -> None:
        """Let a node rest, for as long as it has asked for at least."""
        with self._lock:
            now_s, (until, last_s) = self._clock(), self._rests.get(name, (0.0, 0.0))
            if until > now_s:
                return  # asked all the same, since nobody else was left
            rest_s = min(REST_MAX_S, max(REST_S, 2 * last_s, wait_s))
            self._rests[name] = now_s + rest_s, rest_s

    def answered(self, name: str) -> None:
        """Let a node take its turns again."""
        with self._lock:
            self._rests.pop(name, None)

    def _until(self, name: str) -> float:
        return self._rests.get(name, (0.0, 0.0))[0]
