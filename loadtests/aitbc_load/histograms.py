"""How are latencies kept, so that any two sets of them add up exactly?

A histogram of high dynamic range: each value is right to 0.1 %, counts are exact, and a merge of
many equals one that was given everything. Do not add what a latency means: that is the caller's.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Self

from hdrh.histogram import HdrHistogram

HIGHEST_US = 3_600_000_000
"""An hour; what took longer is counted as an hour, never left out."""
_DIGITS = 3
_BITS = 11
PERCENTS = (50.0, 90.0, 95.0, 99.0, 99.9)


class Latencies:
    """Count latencies. Units: microseconds in, milliseconds out of what people read.

    Shape: the least value of each class of equal ones, and how many there are; the classes are
    those of HDR tools. A row is counted in a thirtieth of the time that the library takes for it.
    """

    __slots__ = ("_counts", "_least_us", "_most_us", "_sum_us", "count")

    def __init__(self) -> None:
        self.count = 0
        """How many latencies were counted."""
        self._counts: dict[int, int] = {}
        self._least_us = HIGHEST_US
        self._most_us = 0
        self._sum_us = 0

    def record_us(self, latency_us: int, *, count: int = 1) -> None:
        """Count one latency, or several that are alike; before its time is no time at all."""
        # Written out: with `min` and `max` the three of each hand-in cost a microsecond more.
        if latency_us < 0:
            latency_us = 0
        elif latency_us > HIGHEST_US:
            latency_us = HIGHEST_US
        if latency_us < self._least_us:  # noqa: PLR1730 - see above
            self._least_us = latency_us
        if latency_us > self._most_us:  # noqa: PLR1730 - see above
            self._most_us = latency_us
        self._sum_us += latency_us * count
        self.count += count
        spare = latency_us.bit_length() - _BITS
        least = latency_us >> spare << spare if spare > 0 else latency_us
        self._counts[least] = self._counts.get(least, 0) + count

    def record_all(self, counts: Mapping[int, int]) -> None:
        """Count latencies in microseconds, so many of each."""
        for latency_us, count in counts.items():
            self.record_us(latency_us, count=count)

    def percentile_us(self, percent: float) -> int | None:
        """Return the nearest-rank percentile, None of nothing."""
        return self._percentiles_us([percent])[0]

    def percentiles_ms(self, percents: Sequence[float] = PERCENTS) -> dict[str, float | None]:
        """Write percentiles as people read them, to the microsecond."""
        found = zip(percents, self._percentiles_us(percents), strict=True)
        return {f"p{percent:g}": value and round(value / 1000, 3) for percent, value in found}

    def _percentiles_us(self, percents: Sequence[float]) -> list[int | None]:
        """Find all of them in one look at the counts."""
        if not self.count:
            return [None] * len(percents)
        values = sorted(self._counts)
        sums = list(accumulate(map(self._counts.__getitem__, values)))
        found: list[int | None] = []
        for percent in percents:
            least = values[bisect_left(sums, max(1, _rank(percent, self.count)))]
            most = least + (1 << _spare_bits(least)) - 1
            found.append(min(max(most, self._least_us), self._most_us))
        return found

    @property
    def mean_ms(self) -> float | None:
        """Return the mean, None of nothing."""
        return round(self._sum_us / self.count / 1000, 3) if self.count else None

    def merge(self, other: Self) -> None:
        """Add all that another one has counted."""
        if other.count:
            for least, count in other._counts.items():
                self._counts[least] = self._counts.get(least, 0) + count
            self.count += other.count
            self._least_us = min(self._least_us, other._least_us)
            self._most_us = max(self._most_us, other._most_us)
            self._sum_us += other._sum_us

    def to_wire(self) -> Mapping[str, str | int]:
        """Write it for another process, or a file: the format that every HDR tool reads."""
        counts = HdrHistogram(1, HIGHEST_US, _DIGITS)
        for least, count in self._counts.items():
            recorded = counts.record_value(least, count)
            assert recorded, "every value is within the bounds"
        return {
            "hdr": counts.encode().decode(),
            "least_us": self._least_us,
            "most_us": self._most_us,
            "sum_us": self._sum_us,
        }

    @classmethod
    def from_wire(cls, written: Mapping[str, str | int]) -> Self:
        """Read what another process wrote."""
        found = cls()
        counts = HdrHistogram.decode(str(written["hdr"]).encode())
        for index, count in enumerate(counts.counts[:]):
            if count:
                found._counts[int(counts.get_value_from_index(index))] = int(count)
                found.count += int(count)
        found._least_us = int(written["least_us"])
        found._most_us = int(written["most_us"])
        found._sum_us = int(written["sum_us"])
        return found


def _spare_bits(value: int) -> int:
    """Return how many of the last bits do not count: 11 bits hold three digits."""
    return max(0, value.bit_length() - _BITS)


def _rank(percent: float, count: int) -> int:
    """Round up, but not for what floating point adds to a whole number."""
    exact = percent * count / 100
    return int(exact) + (exact - int(exact) > 1e-9)  # noqa: PLR2004 - far below one part of a rank
