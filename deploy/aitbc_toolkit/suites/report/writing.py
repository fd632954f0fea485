"""How does the page of a run come into its folder? At the end of a run, or when it is asked for.

A page that cannot be made is told, and changes nothing of the run: its verdict is written before.
"""

import os
from collections.abc import Callable
from pathlib import Path

from aitbc_toolkit.suites.report.reading import PAGE, read


def make(folder: Path) -> Path:
    """Read a run and write its page; a reader never sees half of one."""
    from aitbc_toolkit.suites.report import page  # noqa: PLC0415 - the template engine is slow

    fresh = folder / f".{PAGE}.{os.getpid()}"
    try:
        fresh.write_text(page.render(read(folder)), encoding="utf-8", errors="replace")
        return fresh.replace(folder / PAGE)
    finally:
        fresh.unlink(missing_ok=True)


def attempt(folder: Path, tell: Callable[[str], None]) -> Path | None:
    """Write the page of a run that has just ended; say so where that fails."""
    try:
        return make(folder)
    except Exception as failure:  # noqa: BLE001 - whatever it is, the run's verdict stands
        tell(f"warning: no report of this run: {failure}")
        return None
