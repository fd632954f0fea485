"""What became of every transaction of a swarm? Sent = final + rejected + expired + pending.

Pure: times come in as values. One line for all that were handed in together and of which the same
is known, a word for each that has ended. Only a node's stream of fates, or its blocks, end one;
that a node took it is a promise. Ids are text, as nodes write them, those of several behind each
other. Do not add how anything is sent, or what the sums mean.

A hand-in is one entry, by its first id, as long as none of it is told apart: nodes mostly tell of
its ids behind each other, as they came, and those are compared all at once. Otherwise it is
unfolded to an entry for each.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from operator import itemgetter
from typing import Final

import msgspec

from aitbc_load.histograms import Latencies
from aitbc_load.names import ID_CHARS, names_in

PENDING: Final = "pending"
FINAL: Final = "final"
REJECTED: Final = "rejected"
EXPIRED: Final = "expired"
"""How a transaction can stand; all but the first are for good."""

_STRANGERS_MAX = 256
"""So many ids of one event are looked at one by one; more are, in all, cheaper to sort at once."""


class Line(msgspec.Struct, eq=False, gc=False):
    """Follow the `open` ones of a hand-in that have not ended. Units: `due_s` since the beginning.

    A struct that is out of the garbage collector's sight: one is made for each arrival.
    """

    due_s: float
    open: int
    ids: str = ""
    """Of all that were handed in together; a line that was told apart from others has none."""
    is_accepted: bool = False
    is_doubtful: bool = False
    """A node that did not answer may have taken them."""


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
    ends_s: Sequence[float] = ()
    """Where the phases of a run end; empty where there is one."""
    by_phase: list[Latencies] = field(default_factory=list)
    """What `to_final` holds, apart by the phase of the intended start."""
    _whole: dict[str, Line] = field(default_factory=dict)
    """Hand-ins that are open as a whole, by their first ids."""
    _open: dict[str, Line] = field(default_factory=dict)
    """All others that are open."""
    _ended: dict[str, str] = field(default_factory=dict)
    _finals: list[str] = field(default_factory=list)
    """Ids that are final and not among `_ended` yet; only the end of a run asks for all."""
    _sums: Sums = field(default_factory=Sums)
    _broken_promises: int = 0
    """What a node took and that was in no block when its time was over."""

    def __post_init__(self) -> None:
        self.by_phase = [Latencies() for _ in self.ends_s]

    def send(self, ids: str, *, due_s: float) -> Line:
        """Write down transactions before they are handed in together for the first time."""
        count = len(ids) // ID_CHARS
        line = Line(due_s, count, ids)
        self._sums.sent += count
        entries = self._open if count == 1 else self._whole
        before = len(entries)
        entries[ids[:ID_CHARS]] = line
        assert len(entries) == before + 1, "each transaction is sent once"
        return line

    def accept_all(self, line: Line) -> None:
        """Write down that a node gave its word for all of a line; some may be final already."""
        if not line.is_accepted:
            line.is_accepted = True
            self._sums.accepted += line.open

    def accept(self, name: str) -> None:
        """Write down the same of one."""
        line = self._line_of(name)
        if line is not None and not line.is_accepted:
            self._alone(name, line).is_accepted = True
            self._sums.accepted += 1

    def doubt(self, name: str, reason: str) -> None:
        """Write down that a node did not answer: it may have taken it, and may not."""
        self.refusals[reason] += 1
        line = self._line_of(name)
        if line is not None and not line.is_doubtful:
            self._alone(name, line).is_doubtful = True

    def refuse(self, name: str, code: str, *, for_good: bool) -> bool:
        """Write down that a node did not take one; tell whether it has ended with that.

        It has where asking again cannot help, and no node has it: one that a node took, or may have
        taken, can be in a block by now that nobody has told us of.
        """
        self.refusals[code] += 1
        line = self._line_of(name)
        if not for_good or line is None or line.is_accepted or line.is_doubtful:
            return line is None
        del self._open[name]
        line.open -= 1
        self._ended[name] = REJECTED
        self._sums.rejected += 1
        self.rejects[code] += 1
        return True

    def fates(self, ids: str, how: str, *, at_s: float, code: str = "") -> None:
        """Write down what a node says became of some, all the same.

        Others than ours are nothing to us. An end that follows another one is a contradiction.
        """
        whole, names = self._take_whole(ids)
        ended = self._take_apart(names, how) if names else []
        ended += [(line, line.open) for line in whole]
        for line, gone in ended:
            line.open -= gone
        if how == FINAL:
            self._finals += [line.ids for line in whole]
        else:
            self._ended.update((name, how) for line in whole for name in names_in(line.ids))
        count = sum(map(itemgetter(1), ended))
        promised = sum(gone for line, gone in ended if line.is_accepted)
        if how == EXPIRED:
            self._sums.expired += count
            self._broken_promises += promised
            return
        self._sums.accepted += count - promised  # a block took it, whatever the answer was
        if how == FINAL:
            self._sums.final += count
            self._count(ended, at_s=at_s)
        elif count:
            self._sums.rejected += count
            self.rejects[code] += count

    def _take_whole(self, ids: str) -> tuple[list[Line], list[str]]:
        """Take the hand-ins of which all is told, behind each other; return all other ids, too."""
        whole: list[Line] = []
        others: list[str] = []
        at, entries = 0, self._whole
        while at < len(ids) and entries and len(others) < _STRANGERS_MAX:
            name = ids[at : at + ID_CHARS]
            line = entries.get(name)
            if line is not None and ids.startswith(line.ids, at):
                del entries[name]
                whole.append(line)
                at += len(line.ids)
                continue
            if line is not None:  # a block, or an event, ends within it
                self._unfold(name, line)
            others.append(name)
            at += ID_CHARS
        return whole, others + names_in(ids[at:])

    def _take_apart(self, names: Sequence[str], how: str) -> list[tuple[Line, int]]:
        """Take transactions one by one; return how many were of each line."""
        if self._whole and not self._open.keys() >= set(names):
            self._unfold_all()
        # Whole lists at a time, without a step of Python for each: half a microsecond less for
        # each, where all of tracking one takes one and a half.
        lines = list(map(self._open.pop, names, repeat(None)))
        counts = Counter(lines)
        if counts.pop(None, 0):
            self._contradict([n for n, line in zip(names, lines, strict=True) if not line], how)
            names = [name for name, line in zip(names, lines, strict=True) if line]
        if how == FINAL:
            self._finals.append("".join(names))
        else:
            self._ended.update(zip(names, repeat(how)))
        return [(line, count) for line, count in counts.items() if line]

    def _line_of(self, name: str) -> Line | None:
        """Find the line of one that is open, and let it have an entry of its own."""
        if self._whole and name not in self._open:
            self._unfold_all()
        return self._open.get(name)

    def _unfold(self, first: str, line: Line) -> None:
        """Give each transaction of a hand-in an entry."""
        del self._whole[first]
        before = len(self._open)
        self._open.update(zip(names_in(line.ids), repeat(line)))
        assert len(self._open) == before + line.open, "each transaction is sent once"

    def _unfold_all(self) -> None:
        for first, line in list(self._whole.items()):
            self._unfold(first, line)

    def _alone(self, name: str, line: Line) -> Line:
        """Give one a line of its own, when it does not fare as those beside it."""
        if line.open == 1:
            return line
        line.open -= 1
        own = Line(line.due_s, 1, is_accepted=line.is_accepted, is_doubtful=line.is_doubtful)
        self._open[name] = own
        return own

    def _contradict(self, names: Iterable[str], how: str) -> None:
        """Note those that have ended in another way before."""
        # Of those that are told final, others' are many, and only some of `_ended` can contradict.
        ended = self._ended if how == FINAL else self.ended
        for name in names:
            before = ended.get(name, how)
            if before != how:
                self.contradictions.append(f"{name[:12]} was {before}, then {how}")

    def _count(self, ended: Iterable[tuple[Line, int]], *, at_s: float) -> None:
        """Count how long they took: those that were due together took as long."""
        took: defaultdict[int, Counter[int]] = defaultdict(Counter)
        for line, count in ended:
            place = bisect_right(self.ends_s, line.due_s) if self.by_phase else 0
            took[place][round(1_000_000 * (at_s - line.due_s))] += count
        for place, counts in took.items():
            self.to_final.record_all(counts)
            self.recent.record_all(counts)
            if self.by_phase:
                self.by_phase[min(place, len(self.by_phase) - 1)].record_all(counts)

    @property
    def ended(self) -> Mapping[str, str]:
        """Tell how each that has ended did."""
        for ids in self._finals:
            self._ended.update(zip(names_in(ids), repeat(FINAL)))
        self._finals.clear()
        sums = self._sums
        known = sums.final + sums.rejected + sums.expired
        assert len(self._ended) == known, "each transaction ended once"
        return self._ended

    def is_open(self, name: str) -> bool:
        """Tell whether a transaction has not ended."""
        return self._line_of(name) is not None

    def open_ids(self) -> str:
        """Name those that have not ended, behind each other."""
        self._unfold_all()
        return "".join(self._open)

    def take_recent(self) -> Latencies:
        """Return what became final since the last call."""
        taken, self.recent = self.recent, Latencies()
        return taken

    @property
    def open(self) -> int:
        """Count those that have not ended."""
        return len(self._open) + sum(line.open for line in self._whole.values())

    @property
    def promised(self) -> int:
        """Count those that a node took and that have not ended, or ended in no block."""
        whole = sum(line.open for line in self._whole.values() if line.is_accepted)
        apart = sum(line.is_accepted for line in self._open.values())
        return self._broken_promises + whole + apart

    def sums(self) -> Sums:
        """Add it up, as of now."""
        found = replace(self._sums, pending=self.open)
        assert found.balance == 0, "every transaction is in one column"
        return found
