"""What became of every transaction of a run that went on sending? Blocks are what counts.

Pure: times come in as values. Whatever is in a final block is final; whatever is in none when its
last valid height is final can never be. Only neither, of what a node accepted, is lost. Do not
add how anything is sent.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

PERCENTS = (50, 95, 99)
RATE_MAX = 200
LOAD_RATE = 20
"""What `--load` means unless a rate is given."""
FOR_S_MAX = 600
SETTLE_S = 90.0
"""How long after the last one the fate of a transaction may be open."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Say when each transaction is due, whatever became of those before.

    Units: `rate` per second, `for_s` and what is returned in seconds since the beginning.
    """

    rate: int
    for_s: float

    @property
    def count(self) -> int:
        """Count the transactions of the whole schedule."""
        return int(self.rate * self.for_s)

    def due_s(self, index: int) -> float:
        """Return when a transaction is due."""
        return index / self.rate


@dataclass(slots=True)
class Line:
    """Follow one transaction; times are None for what has not happened."""

    valid_until: int
    due_s: float
    is_accepted: bool = False
    final_s: float | None = None
    is_expired: bool = False

    @property
    def is_open(self) -> bool:
        """Tell whether it is neither final nor expired."""
        return self.final_s is None and not self.is_expired


@dataclass(frozen=True, slots=True)
class Tally:
    """Hold the sums of a run.

    Units: `to_final_ms` from when a transaction was due until its block was seen, by percent;
    `behind_ms` is the worst delay of the sender itself. `rejected` ones are final without effect;
    None when no node could tell.
    """

    sent: int
    accepted: int
    final: int
    expired: int
    rejected: int | None
    lost: int
    open: int
    to_final_ms: dict[int, int]
    behind_ms: int
    schedule_s: float
    took_s: float
    refused: dict[str, int]

    def to_document(self) -> dict[str, Any]:
        """Write it for programs."""
        counts = ("sent", "accepted", "final", "expired", "rejected", "lost", "open")
        return {
            **{name: getattr(self, name) for name in counts},
            "to_final_ms": {f"p{percent}": ms for percent, ms in self.to_final_ms.items()},
            "behind_ms": self.behind_ms,
            "took_s": round(self.took_s, 3),
            "refused": self.refused,
        }

    @property
    def loss(self) -> str:
        """Write what was lost of how many."""
        return f"{self.lost:,} of {self.accepted:,} accepted"


class Books:
    """Keep one line for each transaction; one caller at a time."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self._open: set[str] = set()
        self._refused: Counter[str] = Counter()
        self._behind_s = 0.0

    @property
    def open(self) -> int:
        """Count those that are neither final nor expired."""
        return len(self._open)

    def is_open(self, tx_id: str) -> bool:
        """Tell whether a transaction has to be handed in once more."""
        return tx_id in self._open

    def begin(self, tx_id: str, *, valid_until: int, due_s: float, at_s: float) -> None:
        """Write down a new transaction before it is handed in."""
        assert tx_id not in self._lines, "each transaction has a nonce of its own"
        self._lines[tx_id] = Line(valid_until, due_s)
        self._open.add(tx_id)
        self._behind_s = max(self._behind_s, at_s - due_s)

    def accepted(self, tx_id: str) -> None:
        """Write down that a node gave its word."""
        self._lines[tx_id].is_accepted = True

    def refused(self, reason: str) -> None:
        """Write down that a node did not take one, and why."""
        self._refused[reason] += 1

    def block(self, height: int, tx_ids: Iterable[str], *, at_s: float) -> None:
        """Write down what a final block ends; blocks come one by one, none is left out."""
        for tx_id in tx_ids:
            if tx_id in self._open:
                self._lines[tx_id].final_s = at_s
                self._open.discard(tx_id)
        for tx_id in [each for each in self._open if self._lines[each].valid_until <= height]:
            self._lines[tx_id].is_expired = True
            self._open.discard(tx_id)

    def tally(self, *, paid: int | None, took_s: float) -> Tally:
        """Sum it up; `paid` is how many payments have arrived, None if unknown."""
        lines = self._lines.values()
        waits = sorted(line.final_s - line.due_s for line in lines if line.final_s is not None)
        final, expired = len(waits), sum(line.is_expired for line in lines)
        assert final + expired + self.open == len(lines), "every transaction is in one column"
        return Tally(
            sent=len(lines),
            accepted=sum(line.is_accepted for line in lines),
            final=final,
            expired=expired,
            rejected=None if paid is None else max(0, final - paid),
            lost=sum(line.is_accepted and line.is_open for line in lines),
            open=self.open,
            to_final_ms={each: round(1000 * _nearest(waits, each)) for each in PERCENTS if waits},
            behind_ms=round(1000 * self._behind_s),
            schedule_s=max((line.due_s for line in lines), default=0.0),
            took_s=took_s,
            refused=dict(self._refused.most_common()),
        )


def _nearest(ordered: list[float], percent: int) -> float:
    """Return the nearest-rank percentile of values in ascending order."""
    return ordered[-(-len(ordered) * percent // 100) - 1]
