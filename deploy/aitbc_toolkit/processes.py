"""Is the process that owned something still the same one? A pid alone does not say.

A pid with its start time names one process of one boot. Do not end processes here.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_STATE_FIELD = 0
_START_FIELD = 19


@dataclass(frozen=True, slots=True)
class Process:
    """Name one process of one boot. Units: `start` in clock ticks since the boot."""

    pid: int
    start: int
    boot: str

    @property
    def alive(self) -> bool:
        """Tell whether it still runs; a dead one that nobody has waited for does not."""
        return self.boot == boot_id() and _start_of(self.pid) == self.start


def this_process() -> Process:
    """Name ourselves."""
    return find_process(os.getpid())


def find_process(pid: int) -> Process:
    """Name the process that has this pid now.

    Raises: ProcessLookupError when there is none.
    """
    start = _start_of(pid)
    if start is None:
        raise ProcessLookupError(pid)
    return Process(pid, start, boot_id())


def boot_id() -> str:
    """Give the kernel's name of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _start_of(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The second field is the program's name, which may hold spaces and brackets: proc(5).
    fields = text.rpartition(")")[2].split()
    return None if fields[_STATE_FIELD] in {"Z", "X"} else int(fields[_START_FIELD])
