"""When is each hand-in due, whatever became of those before?

The open model: users come when they come, and do not wait for each other. Pure. Do not add how a
hand-in is done, or what is late.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Spread `rate` transactions a second evenly, `batch` of them at once, for `for_s` seconds."""

    rate: float
    for_s: float
    batch: int = 1

    @property
    def count(self) -> int:
        """Count the hand-ins of the whole schedule; at least one."""
        return max(1, round(self.rate * self.for_s / self.batch))

    @property
    def asked(self) -> int:
        """Count the transactions of the whole schedule."""
        return self.count * self.batch

    def due_s(self, number: int) -> float:
        """Return when one is due, in seconds since the beginning."""
        return number * self.batch / self.rate
