"""How do latencies get into a file that every HDR tool reads? A line for each interval and kind.

Added up, the lines of a kind are all of it, so whoever doubts a percentile of a run makes it again.
Do not add what is measured.

Source: format 1.3 of HdrHistogram's logs. Units: seconds since the start; latencies in
microseconds, the greatest of an interval in milliseconds, as those tools expect.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aitbc_load.histograms import Latencies

NAME: Final = "latencies.hlog"
TO_FINAL: Final = "to_final"
_COLUMNS = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'


class Log:
    """Write one run's latencies, in a `with` block; each line is on the disk at once."""

    def __init__(self, folder: str, *, began: float) -> None:
        self._file = (Path(folder) / NAME).open("w", encoding="ascii")
        moment = datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds")
        self._write("#[Histogram log format version 1.3]")
        self._write(f"#[StartTime: {began:.3f} (seconds since epoch), {moment}]")
        self._write(_COLUMNS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, tag: str, counted: Latencies, *, from_s: float, until_s: float) -> None:
        """Write what was counted in an interval; nothing where nothing was."""
        if counted.count:
            written = counted.to_wire()
            most_ms = int(written["most_us"]) / 1000
            span = f"{from_s:.3f},{until_s - from_s:.3f},{most_ms:.3f}"
            self._write(f"Tag={tag},{span},{written['hdr']}")

    def add_whole(self, kinds: Mapping[str, Latencies], *, until_s: float) -> None:
        """Write what was counted over the whole run only."""
        for tag, counted in kinds.items():
            self.add(tag, counted, from_s=0.0, until_s=until_s)

    def _write(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()
