"""Where does a run of tests keep what it found?

Each run has a numbered folder under `.aitbc/runs`; `last` points at the newest one of the project's
own tests. Do not add formats here: what lies in the folder is its writer's business.
"""

import shutil
from pathlib import Path

_KEPT = 50
_LAST = "last"


def begin(state: Path) -> Path:
    """Make the next run's folder; two runs that begin at once get two folders."""
    runs = state / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    number = max((int(folder.name) for folder in _numbered(runs)), default=0) + 1
    while True:
        folder = runs / f"{number:04d}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            continue
        _forget_old(runs)
        return folder


def mark_last(folder: Path) -> None:
    """Make `last` point at this run, whatever it pointed at."""
    link = folder.parent / _LAST
    fresh = folder.parent / f"{_LAST}.{folder.name}"
    fresh.symlink_to(folder.name)
    fresh.replace(link)


def last(state: Path) -> Path | None:
    """Find the folder of the newest run of the project's own tests."""
    link = state / "runs" / _LAST
    return link.resolve() if link.is_dir() else None


def _numbered(runs: Path) -> list[Path]:
    return sorted(folder for folder in runs.iterdir() if folder.name.isdigit())


def _forget_old(runs: Path) -> None:
    """Keep the newest runs, and the one that `last` points at."""
    pointed = (runs / _LAST).resolve()
    for folder in _numbered(runs)[:-_KEPT]:
        if folder != pointed:
            shutil.rmtree(folder, ignore_errors=True)
