"""Who may have more where many share one bucket? Whoever has had less lately than is left in it.

So a newcomer finds room wherever there is any, and those who want all that they can get have equal
parts, however many they are: a bucket that they empty settles at what each of them has had. One
alone finds nothing in its way. Pure: time comes as an argument. Do not add what is shared.
"""

from collections import OrderedDict

from aitbc_node.buckets import KEYS_MAX, Buckets


class Shares:
    """Keep a bucket for each goal, and what each has had of it. Units: tokens a second.

    What somebody has had is halved every so many milliseconds, in which half of a bucket fills up.
    """

    def __init__(self, *, rate: int, burst: int, keys_max: int = KEYS_MAX) -> None:
        assert rate > 0, "what has no bound needs no shares"
        self._left = Buckets[bytes](rate=rate, burst=burst, keys_max=keys_max)
        self._half_ms = 500 * burst // rate
        self._keys_max = keys_max
        # Who had something least recently is first: least of it still counts.
        self._had: OrderedDict[tuple[bytes, bytes], tuple[float, int]] = OrderedDict()

    def has_room(self, goal: bytes, who: bytes, *, now_ms: int) -> bool:
        """Tell whether somebody may have something of a goal now."""
        return self._had_by((goal, who), now_ms) < self._left.left(goal, now_ms=now_ms)

    def pay(self, goal: bytes, who: bytes, *, tokens: int, now_ms: int) -> None:
        """Take what somebody got."""
        key = goal, who
        self._left.pay(goal, tokens=tokens, now_ms=now_ms)
        self._had[key] = (self._had_by(key, now_ms) + tokens, now_ms)
        self._had.move_to_end(key)
        if len(self._had) > self._keys_max:
            self._had.popitem(last=False)

    def _had_by(self, key: tuple[bytes, bytes], now_ms: int) -> float:
        had, at_ms = self._had.get(key, (0.0, now_ms))
        # By straight lines between the halvings: exact, and the same on every machine.
        halvings, rest_ms = divmod(now_ms - at_ms, self._half_ms)
        return had / (1 << min(halvings, 60)) * (1 - rest_ms / (2 * self._half_ms))
