"""How much fits on a page? Bounds that belong together, so that the page has one for its length."""

from typing import NamedTuple

BYTES_MAX = 2_000_000


class Room(NamedTuple):
    """Bound the page: rows of what is bad, of the rest, of what happened, of files; and drawings.

    `lanes`, `points` and `windows` are of all scenarios together.
    """

    bad: int = 20
    rows: int = 60
    told: int = 40
    files: int = 60
    lanes: int = 400
    points: int = 60_000
    windows: int = 200

    def half(self) -> "Room":
        """Return half as much of everything."""
        return Room(*(max(1, each // 2) for each in self))
