"""When is each hand-in due, whatever became of those before?

The open model: users come when they come, and do not wait for each other. Phases follow one upon
the other by the clock, however late the one before was, so that none can be left out. Pure. Do not
add how a hand-in is done, or what is late.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Spread `rate` transactions a second evenly, `batch` of them at once, for `for_s` seconds.

    For the first `ramp_s` of them the rate changes evenly, from `before` on.
    """

    rate: float
    for_s: float
    batch: int = 1
    before: float = 0.0
    ramp_s: float = 0.0

    @property
    def count(self) -> int:
        """Count the hand-ins of the whole schedule; at least one."""
        return max(1, round(self.due_by(self.for_s) / self.batch))

    @property
    def asked(self) -> int:
        """Count the transactions of the whole schedule."""
        return self.count * self.batch

    def due_s(self, number: int) -> float:
        """Return when one is due, in seconds since the beginning."""
        wanted = number * self.batch
        ramped = self.ramp_s * (self.before + self.rate) / 2
        if wanted >= ramped:
            return self.ramp_s + (wanted - ramped) / self.rate
        # Solves before * t + slope / 2 * t * t = wanted, in the form that loses no digits.
        slope = (self.rate - self.before) / self.ramp_s
        root = sqrt(self.before * self.before + 2 * slope * wanted)
        return 2 * wanted / (self.before + root) if wanted else 0.0

    def due_by(self, now_s: float) -> float:
        """Return how many transactions are due after so many seconds."""
        now_s = min(max(now_s, 0.0), self.for_s)
        if now_s >= self.ramp_s:
            return self.ramp_s * (self.before + self.rate) / 2 + (now_s - self.ramp_s) * self.rate
        slope = (self.rate - self.before) / self.ramp_s
        return self.before * now_s + slope * now_s * now_s / 2


class Course:
    """Let one phase's arrivals follow those of the one before."""

    def __init__(self, phases: Sequence[Arrivals]) -> None:
        (self.batch,) = {each.batch for each in phases}
        self.phases = tuple(phases)
        self.ends_s = list(accumulate(each.for_s for each in phases))
        self._counts = list(accumulate(each.count for each in phases))

    @property
    def count(self) -> int:
        """Count the hand-ins of all phases."""
        return self._counts[-1]

    @property
    def asked(self) -> int:
        """Count the transactions of all phases."""
        return self.count * self.batch

    def due_s(self, number: int) -> float:
        """Return when one is due, in seconds since the beginning of the first phase."""
        place = min(bisect_right(self._counts, number), len(self.phases) - 1)
        before = self._counts[place - 1] if place else 0
        return self.begins_s(place) + self.phases[place].due_s(number - before)

    def due_by(self, now_s: float) -> int:
        """Return how many transactions are due after so many seconds."""
        parts = (each.due_by(now_s - self.begins_s(n)) for n, each in enumerate(self.phases))
        return int(sum(parts))

    def begins_s(self, place: int) -> float:
        """Return when a phase begins."""
        return self.ends_s[place - 1] if place else 0.0

    def phase_at(self, at_s: float) -> int:
        """Return the place of the phase that a time belongs to."""
        return min(bisect_right(self.ends_s, at_s), len(self.phases) - 1)
