"""How is a table drawn so that it fits the terminal? Columns go, rows never wrap.

What comes from a node is shown as plain text: control characters could redraw the operator's
screen. Do not decide what is in a table here.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from typing import NamedTuple

_GAP = "  "
_DOTS = "..."


class Column(NamedTuple):
    """Describe a column; those with the greatest `spare` go first when there is no room."""

    title: str
    spare: int = 0
    right: bool = False


def draw(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, width: int = 0) -> list[str]:
    """Return the lines of a table that is no wider than the terminal; the last column is cut.

    Whoever reads a file or a pipe has no width, and gets everything.
    """
    room = width or _room()
    cells = [[printable(cell) for cell in row] for row in rows]
    kept = list(range(len(columns)))
    sizes = [
        max(len(column.title), *(len(row[place]) for row in cells), 0)
        for place, column in enumerate(columns)
    ]
    while _total(sizes, kept) > room and any(columns[place].spare for place in kept):
        kept.remove(max(kept, key=lambda place: columns[place].spare))
    titles = [column.title for column in columns]
    return [_cut(_line(row, columns, sizes, kept), room) for row in (titles, *cells)]


def printable(text: str) -> str:
    """Return the text without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _room() -> int:
    known = "COLUMNS" in os.environ or sys.stdout.isatty()
    return shutil.get_terminal_size((100, 24)).columns if known else sys.maxsize


def _cut(line: str, room: int) -> str:
    """Shorten a line that is too long, and show that it was."""
    return line if len(line) <= room else f"{line[: room - len(_DOTS)]}{_DOTS}"


def _total(sizes: Sequence[int], kept: Sequence[int]) -> int:
    return sum(sizes[place] for place in kept) + len(_GAP) * (len(kept) - 1)


def _line(
    row: Sequence[str], columns: Sequence[Column], sizes: Sequence[int], kept: Sequence[int]
) -> str:
    parts = [
        row[place].rjust(sizes[place]) if columns[place].right else row[place].ljust(sizes[place])
        for place in kept
    ]
    return _GAP.join(parts).rstrip()
