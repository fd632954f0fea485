"""Which runs are there, and what is in the folder of one? Read from the disk, as records.

A file that is missing, cut off or damaged costs what stood in it, and is told. Do not judge here.
"""

import hashlib
from pathlib import Path
from typing import TypeVar

import msgspec

from aitbc_toolkit.suites.report import hdr_text
from aitbc_toolkit.suites.report.recorded import (
    Event,
    File,
    Height,
    Judged,
    Load,
    Row,
    Run,
    Swarm,
)
from aitbc_toolkit.suites.timeline import EVENTS, HEIGHTS, LOAD

VERDICT = "verdict.json"
PAGE = "report.html"
RESULT = "result.json"
"""What a swarm told at its end, where one ran."""
ROWS_MAX = 1_000_000
"""How much of one file is read: a day of fifty nodes does not fit into memory, nor on a page."""

INTERVALS_MAX = 20_000
"""How many seconds of latencies are read: five hours and a half."""

_PIECE_BYTES = 1 << 20

R = TypeVar("R", bound=Row)


def folders(state: Path) -> list[Path]:
    """List the runs of suites, the newest first; those of the project's own tests are none."""
    runs = state / "runs"
    found = [each for each in runs.iterdir() if each.name.isdigit()] if runs.is_dir() else []
    suites = [each for each in found if any((each / name).exists() for name in (VERDICT, EVENTS))]
    return sorted(suites, key=lambda each: int(each.name), reverse=True)


def read(folder: Path) -> Run:
    """Read a run whole."""
    problems: list[str] = []
    judged = verdict(folder, problems)
    return Run(
        name=folder.name,
        judged=judged,
        events=_rows(folder / EVENTS, Event, problems),
        heights=_rows(folder / HEIGHTS, Height, problems),
        load=_rows(folder / LOAD, Load, problems),
        intervals=hdr_text.intervals(folder / hdr_text.NAME, problems, most=INTERVALS_MAX),
        swarm=_swarm(folder / RESULT, problems),
        files=_files(folder),
        problems=tuple(problems),
    )


def verdict(folder: Path, problems: list[str] | None = None) -> Judged | None:
    """Read how a run ended; none where nobody wrote it, or nobody can read it."""
    try:
        return msgspec.json.decode((folder / VERDICT).read_bytes(), type=Judged)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        if problems is not None:
            problems.append(f"{VERDICT} cannot be read: {wrong}")
        return None


def _swarm(path: Path, problems: list[str]) -> Swarm | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Swarm)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        problems.append(f"{path.name} cannot be read: {wrong}")
        return None


def _rows(path: Path, kind: type[R], problems: list[str]) -> tuple[R, ...]:
    if not path.exists():
        return ()
    decoder = msgspec.json.Decoder(kind)
    rows: list[R] = []
    damaged = 0
    with path.open("rb") as file:
        for line in file:
            if len(rows) == ROWS_MAX:
                problems.append(f"{path.name}: only the first {ROWS_MAX} rows are shown")
                break
            try:
                rows.append(decoder.decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                damaged += 1
    if damaged:
        problems.append(f"{path.name}: {damaged} rows cannot be read")
    return tuple(rows)


def _files(folder: Path) -> tuple[File, ...]:
    """List what is there, what was taken along from nodes behind the rest."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path != folder / PAGE]
    paths.sort(key=lambda path: (len(path.parts), path))
    return tuple(
        File(
            name=path.relative_to(folder).as_posix(),
            size=path.stat().st_size,
            sha256=_sha256(path),
        )
        for path in paths
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
