"""Who may have more now? Buckets of tokens: each starts full and fills up again at one rate.

Pure: time comes as an argument. Who is a client, and what a thing costs, are the caller's to say.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

KEYS_MAX = 10_000
SECONDS_MAX = 60

Key = TypeVar("Key", str, bytes)


class Buckets(Generic[Key]):
    """Keep a bucket for each key. Units: `rate` in tokens a second, 0 for no bound at all."""

    def __init__(self, *, rate: int, burst: int, keys_max: int = KEYS_MAX) -> None:
        self._rate = rate
        self._burst = burst
        self._keys_max = keys_max
        # Who paid least recently is first: its bucket is the fullest, and may be forgotten.
        self._buckets: OrderedDict[Key, tuple[float, int]] = OrderedDict()

    def wait_s(self, key: Key, *, now_ms: int) -> int:
        """Return 0 when something may be had now, else after how many seconds it may."""
        if not self._rate:
            return 0
        tokens = self.left(key, now_ms=now_ms)
        if tokens > 0:
            return 0
        return min(SECONDS_MAX, 1 + int(-tokens / self._rate))

    def pay(self, key: Key, *, tokens: int, now_ms: int) -> None:
        """Take what something has cost; a bucket may fall below zero by one such thing."""
        if not self._rate:
            return
        self._buckets[key] = (self.left(key, now_ms=now_ms) - tokens, now_ms)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._keys_max:
            self._buckets.popitem(last=False)

    def left(self, key: Key, *, now_ms: int) -> float:
        """Return what is in a bucket; below zero where something cost more than there was."""
        tokens, filled_ms = self._buckets.get(key, (self._burst, now_ms))
        return min(self._burst, tokens + (now_ms - filled_ms) * self._rate / 1000)
