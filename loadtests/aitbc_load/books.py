"""What became of every transaction of a swarm? Sent = final + rejected + expired + pending.

Pure: times come in as values. One line for each transaction that has not ended, a word for each
that has. Only a node's stream of fates, or its blocks, end one; that a node took it is a promise.
Do not add how anything is sent, or what the sums mean.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from aitbc_load.histograms import Latencies

PENDING: Final = "pending"
FINAL: Final = "final"
REJECTED: Final = "rejected"
EXPIRED: Final = "expired"
"""How a transaction can stand; all but the first are for good."""


@dataclass(slots=True)
class Line:
    """Follow one transaction that has not ended. Units: `due_s` since the beginning."""

    number: int
    due_s: float
    is_accepted: bool = False
    is_doubtful: bool = False
    """A node that did not answer may have taken it."""


@dataclass(slots=True)
class Sums:
    """Count; every transaction that was sent is in one of the last four columns."""

    sent: int = 0
    accepted: int = 0
    final: int = 0
    rejected: int = 0
    expired: int = 0
    pending: int = 0

    @property
    def balance(self) -> int:
        """Return what the columns do not explain; anything but 0 is a bug of ours."""
        return self.sent - self.final - self.rejected - self.expired - self.pending


@dataclass(slots=True)
class Books:
    """Keep the lines; one caller at a time."""

    to_final: Latencies = field(default_factory=Latencies)
    """From the intended start until this swarm heard that it is final."""
    recent: Latencies = field(default_factory=Latencies)
    """The same of what became final since the live view was told the last time."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Answers that took nothing, by code; the same bytes may have been taken later."""
    rejects: Counter[str] = field(default_factory=Counter)
    """Transactions that ended without effect, by code."""
    contradictions: list[str] = field(default_factory=list)
    """What the mesh said and then did not hold to, as sentences."""
    ended: dict[bytes, str] = field(default_factory=dict)
    ends_s: Sequence[float] = ()
    """Where the phases of a run end; empty where there is one."""
    by_phase: list[Latencies] = field(default_factory=list)
    """What `to_final` holds, apart by the phase of the intended start."""
    _open: dict[bytes, Line] = field(default_factory=dict)
    _sums: Sums = field(default_factory=Sums)
    _broken_promises: int = 0
    """What a node took and that was in no block when its time was over."""

    def __post_init__(self) -> None:
        self.by_phase = [Latencies() for _ in self.ends_s]

    def send(self, tx_id: bytes, number: int, *, due_s: float) -> None:
        """Write down a transaction before it is handed in for the first time."""
        assert tx_id not in self._open, "each transaction is sent once"
        self._open[tx_id] = Line(number, due_s)
        self._sums.sent += 1

    def accept(self, tx_id: bytes) -> None:
        """Write down that a node gave its word; it may be final already."""
        line = self._open.get(tx_id)
        if line is not None and not line.is_accepted:
            line.is_accepted = True
            self._sums.accepted += 1

    def doubt(self, tx_id: bytes, reason: str) -> None:
        """Write down that a node did not answer: it may have taken it, and may not."""
        self.refusals[reason] += 1
        line = self._open.get(tx_id)
        if line is not None:
            line.is_doubtful = True

    def refuse(self, tx_id: bytes, code: str, *, for_good: bool) -> bool:
        """Write down that a node did not take one; tell whether it has ended with that.

        It has where asking again cannot help, and no node has it: one that a node took, or may have
        taken, can be in a block by now that nobody has told us of.
        """
        self.refusals[code] += 1
        line = self._open.get(tx_id)
        if not for_good or line is None or line.is_accepted or line.is_doubtful:
            return line is None
        del self._open[tx_id]
        self.ended[tx_id] = REJECTED
        self._sums.rejected += 1
        self.rejects[code] += 1
        return True

    def fate(self, tx_id: bytes, how: str, *, at_s: float, code: str = "") -> bool:
        """Write down what a node says became of a transaction; tell whether it was news."""
        line = self._end(tx_id, how, code=code)
        if line is not None and how == FINAL:
            self._count(line.due_s, 1, at_s=at_s)
        return line is not None

    def fates(self, told: Iterable[tuple[bytes, str, str]], *, at_s: float) -> None:
        """Write down what became of many at once: those that were due together took as long.

        Shape: rows of id, how and code.
        """
        finals: Counter[float] = Counter()
        for tx_id, how, code in told:
            line = self._end(tx_id, how, code=code)
            if line is not None and how == FINAL:
                finals[line.due_s] += 1
        for due_s, count in finals.items():
            self._count(due_s, count, at_s=at_s)

    def _end(self, tx_id: bytes, how: str, *, code: str) -> Line | None:
        """End a transaction and return its line; None where that is no news.

        Others than ours are nothing to us. An end that follows another one is a contradiction.
        """
        line = self._open.pop(tx_id, None)
        if line is None:
            before = self.ended.get(tx_id)
            if before is not None and before != how:
                self.contradictions.append(f"{tx_id.hex()[:12]} was {before}, then {how}")
            return None
        self.ended[tx_id] = how
        if how == EXPIRED:
            self._sums.expired += 1
            self._broken_promises += line.is_accepted
            return line
        self._sums.accepted += not line.is_accepted  # a block took it, whatever the answer was
        if how == FINAL:
            self._sums.final += 1
        else:
            self._sums.rejected += 1
            self.rejects[code] += 1
        return line

    def _count(self, due_s: float, count: int, *, at_s: float) -> None:
        """Count how long some took that were due together."""
        took_us = round(1_000_000 * (at_s - due_s))
        self.to_final.record_us(took_us, count=count)
        self.recent.record_us(took_us, count=count)
        if self.by_phase:
            place = min(bisect_right(self.ends_s, due_s), len(self.by_phase) - 1)
            self.by_phase[place].record_us(took_us, count=count)

    def is_open(self, tx_id: bytes) -> bool:
        """Tell whether a transaction has not ended."""
        return tx_id in self._open

    def open_ids(self) -> Iterable[bytes]:
        """Name those that have not ended."""
        return tuple(self._open)

    def take_recent(self) -> Latencies:
        """Return what became final since the last call."""
        taken, self.recent = self.recent, Latencies()
        return taken

    def open_numbers(self) -> tuple[int, ...]:
        """Return the numbers of those that have not ended."""
        return tuple(line.number for line in self._open.values())

    @property
    def open(self) -> int:
        """Count those that have not ended."""
        return len(self._open)

    @property
    def promised(self) -> int:
        """Count those that a node took and that have not ended, or ended in no block."""
        return self._broken_promises + sum(line.is_accepted for line in self._open.values())

    def sums(self) -> Sums:
        """Add it up, as of now."""
        found = replace(self._sums, pending=len(self._open))
        assert found.balance == 0, "every transaction is in one column"
        return found
