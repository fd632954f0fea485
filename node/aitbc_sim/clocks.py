"""What does the clock on a host's wall say?

Its time goes into votes and nowhere else; the node's own clock never jumps. Do not decide here when
one is set: `mishaps.py`.
"""


class WallClock:
    """Tell one host's wall time: off from the beginning, too fast or slow, and jumping."""

    def __init__(self, *, skew_ms: int, drift_ppm: int) -> None:
        self._skew_ms = skew_ms
        self._drift_ppm = drift_ppm

    def read(self, now_ms: int) -> int:
        """Return the milliseconds since the beginning of the run, as this clock has them."""
        return now_ms + self._skew_ms + now_ms * self._drift_ppm // 1_000_000

    def jump(self, delta_ms: int) -> None:
        """Be set forward or back."""
        self._skew_ms += delta_ms
