"""What does a log of latencies hold? HDR histograms as text, which may be damaged.

A line that cannot be read costs what stood in it, and is told. Do not add what a latency means.
"""

import zlib
from pathlib import Path

from hdrh.codec import HdrCookieException, HdrHistogramSettingsException, HdrLengthException
from hdrh.histogram import HdrHistogram

from aitbc_toolkit.suites.report.recorded import Interval

NAME = "latencies.hlog"
_TAG = "Tag=to_final,"
_START = "#[StartTime: "
_DAMAGES = (
    ValueError,
    zlib.error,
    HdrCookieException,
    HdrHistogramSettingsException,
    HdrLengthException,
)


def decode(text: str) -> HdrHistogram | None:
    """Read one histogram; nothing where it is damaged."""
    try:
        return HdrHistogram.decode(text.encode())
    except _DAMAGES:
        return None


def intervals(path: Path, problems: list[str], *, most: int) -> tuple[Interval, ...]:
    """Read the times until final, a line each second."""
    if not path.exists():
        return ()
    found: list[Interval] = []
    start, damaged = 0.0, 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(_START):
                start = _start(line)
            elif line.startswith(_TAG) and len(found) < most:
                read = _interval(line.removeprefix(_TAG), start)
                damaged += read is None
                found += [read] if read else []
    if damaged:
        problems.append(f"{path.name}: {damaged} rows cannot be read")
    return tuple(found)


def _interval(line: str, start: float) -> Interval | None:
    parts = line.strip().split(",")
    try:
        begin, length = float(parts[0]), float(parts[1])
    except (ValueError, IndexError):
        return None
    if decode(parts[-1]) is None:
        return None
    return Interval(from_at=start + begin, until_at=start + begin + length, hdr=parts[-1])


def _start(line: str) -> float:
    try:
        return float(line.removeprefix(_START).split(" ")[0])
    except ValueError:
        return 0.0
