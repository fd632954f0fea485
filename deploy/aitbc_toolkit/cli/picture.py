"""What does a run look like at one moment? Records and the time go in, lines of text come out.

Pure: it has no clock and no terminal. No line is wider than asked for and nothing is wrapped; a
word stands beside every colour.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from aitbc_toolkit.release.progress import duration

ROWS = 24

_NODES_MAX = 12
# A table of releases has no room for more of a commit; the result block has.
_SHORT = 7
# The lines around the table of nodes.
_AROUND = 11
_STATE_WIDTH = 26
_GAP = "  "
# Which columns go first when there is no room for a state in words.
_DROPPED = ("host", "by", "release")
_COLUMNS = ("wave", "host", "node", "release", "state", "by")
_STYLES = {"ok": "green", "~": "yellow", "!": "bold red", "": "dim"}
_WORDS = {"ok": "done", "~": "at work", "!": "failed", "": "waiting"}


@dataclass(slots=True)
class _Row:
    """Follow one node; `mark` is one of the words of `_WORDS`."""

    name: str
    host: str
    old: str
    new: str
    wave: int = 0
    mark: str = ""
    state: str = "waiting"
    ends_s: float | None = None

    def cells(self, now_s: float) -> dict[str, str]:
        """Write what stands in each column."""
        left_s = max(0.0, (self.ends_s or 0.0) - now_s)
        if self.mark in {"ok", "!"} or self.old == self.new:
            release = self.new
        else:
            release = f"{self.old or 'none'} -> {self.new or 'none'}"
        return {
            "wave": f"{self.wave or '-'} {self.mark}".rstrip(),
            "host": self.host,
            "node": self.name,
            "release": release,
            "state": self.state,
            "by": f"{clock(left_s)} left" if self.ends_s is not None else "",
        }


@dataclass(slots=True)
class Picture:
    """Keep what the records of one run have said."""

    command: str
    began_s: float
    _steps: list[str] = field(default_factory=list)
    _working: tuple[str, float] | None = None
    _course: Mapping[str, Any] | None = None
    _title: str = ""
    _rows: dict[str, _Row] = field(default_factory=dict)
    _mesh: tuple[Mapping[str, Any], float] | None = None
    _lease: tuple[Mapping[str, Any], float] | None = None

    def take(self, record: Mapping[str, Any], *, now_s: float) -> None:
        """Take one record; those of other types change nothing."""
        match record:
            case {"type": "step", "state": "begin"}:
                self._working = (clean(f"{record['step']}: {record['text']}"), now_s)
            case {"type": "step"}:
                failed = " failed" if record["state"] == "failed" else ""
                self._steps.append(f"{record['step']}{failed} {duration(record['took_s'])}")
                self._working = None
            case {"type": "course"}:
                self._begin(record)
            case {"type": "wave"}:
                self._take_wave(record)
            case {"type": "gate"}:
                for row in self._named(record["nodes"]):
                    row.state = clean(record["nodes"][row.name])
                    row.ends_s = now_s + record["ends_in_s"]
            case {"type": "mesh"}:
                self._mesh = (record, now_s)
            case {"type": "lease"}:
                self._lease = (record, now_s)

    def lines(
        self, width: int, *, now_s: float, rows: int = ROWS, is_ended: bool = False
    ) -> list[Text]:
        """Draw all of it, at most `rows` lines of at most `width` cells."""
        steps = [_joined(self._steps, width)] if self._steps else []
        found: list[Text | str] = [self._head(), *steps]
        if self._course is not None:
            found += ["", *self._table(width, now_s, room=min(rows, ROWS) - _AROUND), ""]
            found += [self._power(), self._blocks(now_s, is_ended=is_ended)]
        if not is_ended:
            found += [self._now(now_s), self._lease_line(now_s)]
        found.append(self._elapsed(now_s, is_ended=is_ended))
        drawn = [Text(line) if isinstance(line, str) else line for line in found if line != Text()]
        for line in drawn:
            line.truncate(width, overflow="ellipsis")
        return drawn[:rows]

    def _begin(self, course: Mapping[str, Any]) -> None:
        self._course = course
        self._title = _title(course)
        waves: Sequence[Sequence[str]] = course["waves"]
        placed = [(name, 0) for name in course["arrived"]]
        placed += [(name, number) for number, wave in enumerate(waves, 1) for name in wave]
        for name, number in placed:
            node = course["nodes"][name]
            short = node["from"][:_SHORT], node["to"][:_SHORT]
            self._rows[name] = _Row(name, clean(node["host"]), *short, wave=number)
        for name in course["arrived"]:
            self._rows[name].mark, self._rows[name].state = "ok", "switched before"

    def _take_wave(self, record: Mapping[str, Any]) -> None:
        kind, _, count = record["place"].partition(" ")
        is_back = kind == "return"
        for row in self._named(record["nodes"]):
            row.ends_s = None
            match record["state"]:
                case "begin":
                    row.mark, row.state = "~", "going back" if is_back else "restarting"
                    if is_back:
                        row.old, row.new = row.new, row.old
                case "failed":
                    row.mark, row.state = "!", "did not come back" if is_back else "failed"
                case "removed":
                    row.mark, row.state, row.new = "ok", "removed again", row.old
                case _:
                    said = record["text"].partition(f"{' '.join(record['nodes'])} ")[2]
                    row.mark, row.state = "ok", clean(said.removeprefix("ok "))
                    row.state = f"back, {row.state}" if is_back else row.state
        if record["state"] == "begin" and not is_back:
            self._renumber(record["nodes"], int(count.partition("/")[0]))

    def _renumber(self, begun: Sequence[str], number: int) -> None:
        """Number the waves as they come: single validators may change places."""
        for row in self._named(begun):
            row.wave = number
        for wave in self._course["waves"] if self._course else ():
            left = [row for row in self._named(wave) if row.mark == ""]
            number += bool(left)
            for row in left:
                row.wave = number

    def _named(self, names: Sequence[str] | Mapping[str, Any]) -> list[_Row]:
        return [self._rows[name] for name in names if name in self._rows]

    def _head(self) -> Text:
        return Text(self._title or f"aitbc {self.command}", "bold")

    def _table(self, width: int, now_s: float, *, room: int) -> list[Text]:
        rows = sorted(self._rows.values(), key=lambda row: row.wave)
        shown = rows
        if len(rows) > min(_NODES_MAX, room):
            moving = [row for row in rows if row.mark in {"~", "!"}]
            moving.sort(key=lambda row: row.mark != "!")
            shown = moving[: max(1, min(_NODES_MAX, room) - 1)]
        cells = [row.cells(now_s) for row in shown]
        widths = _widths(cells, width - len(_GAP))
        lines = [_row({name: name for name in _COLUMNS}, widths, "dim")]
        lines += [
            _row(cell, widths, _STYLES[row.mark]) for cell, row in zip(cells, shown, strict=True)
        ]
        rest = Counter(_WORDS[row.mark] for row in rows if row not in shown)
        if rest:
            told = ", ".join(f"{count} {word}" for word, count in sorted(rest.items()))
            lines.append(Text(f"{_GAP}and {rest.total()} more: {told}"))
        return lines

    def _power(self) -> Text:
        if self._course is None or self._mesh is None:
            return Text()
        powers = {n: node["power"] for n, node in self._course["nodes"].items() if node["power"]}
        votes = [name for name in powers if name in self._mesh[0]["votes"]]
        total, up = sum(powers.values()), sum(powers[name] for name in votes)
        needed = total * 2 // 3 + 1
        missing = [name for name in powers if name not in votes]
        names = f"[{' '.join(votes)}]  " if len(powers) <= _NODES_MAX else ""
        if up < needed:
            end, style = "no quorum", "bold red"
        else:
            end = f"{up - needed} may be down" if up > needed else "none to spare"
            style = "" if up > needed else "yellow"
        silent = f"; without {' '.join(missing)}" if missing else ""
        said = f"{_GAP}power    {names}{up} of {total} vote, {needed} needed: {end}{silent}"
        return Text(clean(said), style)

    def _blocks(self, now_s: float, *, is_ended: bool) -> Text:
        if self._mesh is None:
            return Text()
        told, at_s = self._mesh
        if not told["height"]:
            return Text(f"{_GAP}blocks   no node tells a height", "yellow")
        age = "" if is_ended else f", {duration(told['age_ms'] / 1000 + now_s - at_s)} ago"
        gap = f"; longest gap {duration(told['longest_gap_ms'] / 1000)}"
        return Text(f"{_GAP}blocks   height {told['height']:,}{age}{gap}")

    def _now(self, now_s: float) -> Text:
        if self._working is None:
            return Text()
        text, since_s = self._working
        return Text(f"{_GAP}now      {clock(now_s - since_s)}  {text}", "yellow")

    def _lease_line(self, now_s: float) -> Text:
        if self._lease is None:
            return Text()
        told, at_s = self._lease
        left_s = told["ends_in_s"] - (now_s - at_s)
        end = f"ends in {clock(left_s)}, renewed meanwhile" if left_s > 0 else "not renewed in time"
        return Text(clean(f"{_GAP}lease    {end}; {told['holder']}"), "" if left_s > 0 else "red")

    def _elapsed(self, now_s: float, *, is_ended: bool) -> str:
        way = ""
        if self._course is not None and not is_ended:
            way = f"    Ctrl-C stops; deploy {self._course['environment']} --resume goes on"
        return f"{_GAP}elapsed  {clock(now_s - self.began_s)}{way}"


def clock(seconds: float) -> str:
    """Write a time that runs as minutes and seconds."""
    return f"{int(seconds // 60)}:{int(seconds % 60):02}"


def clean(text: str) -> str:
    """Replace what is not to be printed: names and reasons come from other machines."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _title(course: Mapping[str, Any]) -> str:
    old = {node["from"][:_SHORT] for node in course["nodes"].values()}
    over = " ".join(sorted(old - {"", course["commit"][:_SHORT]}))
    what = f"{course['action']} {course['environment']}: {course['commit'][:_SHORT]}"
    what += f" over {over}" if over else ""
    return clean(f"{what[0].upper()}{what[1:]}    run {course['run'][:_SHORT]}")


def _joined(parts: Sequence[str], width: int) -> str:
    """Put the newest steps on one line, as many as have room."""
    line, left = "", list(parts)
    while left:
        longer = left[-1] + (f" | {line}" if line else "")
        if len(longer) > width - len(_GAP) - len("... | "):
            break
        line = longer
        left.pop()
    return f"{_GAP}{'... | ' if left else ''}{line}".rstrip()


def _widths(rows: Sequence[Mapping[str, str]], width: int) -> dict[str, int]:
    """Fit the columns; where a state in words finds no room, others go."""
    widths = {
        name: max([len(name), *(len(row[name]) for row in rows)])
        for name in _COLUMNS
        if name != "by" or any(row["by"] for row in rows)
    }
    for name in _DROPPED:
        others = sum(each + len(_GAP) for key, each in widths.items() if key != "state")
        room = width - others
        if room >= min(_STATE_WIDTH, widths["state"]):
            break
        widths.pop(name, None)
    others = sum(each + len(_GAP) for key, each in widths.items() if key != "state")
    widths["state"] = max(1, min(widths["state"], width - others))
    return widths


def _row(cells: Mapping[str, str], widths: Mapping[str, int], style: str) -> Text:
    fitted = []
    for name, width in widths.items():
        cell = Text(clean(cells[name]))
        cell.truncate(width, overflow="ellipsis", pad=True)
        fitted.append(cell.plain)
    return Text((_GAP + _GAP.join(fitted)).rstrip(), style)
