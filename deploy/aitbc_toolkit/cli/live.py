"""How does a run stand on a terminal while it works? One region of lines, redrawn in place.

What it shows is decided in a picture: `picture` for deploys, `swarm_frame` for load. It begins with
the first record, so that a question may be asked before, and leaves its last picture above the
result.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from aitbc_toolkit.cli.picture import ROWS, clean

_PER_SECOND = 4


class Picture(Protocol):
    """Turn the records of a run into lines of text; pure."""

    def take(self, record: Mapping[str, Any], *, now_s: float) -> None:
        """Take one record."""

    def lines(
        self, width: int, *, now_s: float, rows: int, is_ended: bool = False
    ) -> Sequence[Text]:
        """Draw all of it, at most `rows` lines of at most `width` cells."""


class Region:
    """Draw the records of one run; use it in a `with` block, which gives the terminal back."""

    def __init__(self, picture: Picture) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._picture = picture
        self._is_ended = False
        # Records come from the threads that renew and look, too, and drawing has its own.
        self._lock = threading.Lock()
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=_PER_SECOND,
            redirect_stdout=False,
        )

    @staticmethod
    def is_possible() -> bool:
        """Tell whether standard error is a terminal that can be drawn on."""
        console = Console(stderr=True)
        return console.is_terminal and not console.is_dumb_terminal

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._is_ended = True
        self._live.stop()

    def tell(self, record: Mapping[str, object]) -> None:
        """Take one record; a note is kept above the region."""
        with self._lock:
            if self._is_ended:
                return
            self._picture.take(record, now_s=time.monotonic())
        self._live.start()
        if record.get("type") == "note":
            lines = str(record["text"]).splitlines()
            self._live.console.print(*(Text(clean(line)) for line in lines), sep="\n")

    def _draw(self) -> Group:
        width, height = self._console.size
        with self._lock:
            lines = self._picture.lines(
                width,
                now_s=time.monotonic(),
                rows=min(ROWS, height - 1),
                is_ended=self._is_ended,
            )
        return Group(*lines)
