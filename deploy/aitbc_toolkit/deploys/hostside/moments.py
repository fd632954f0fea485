"""When is it on this host, whatever its wall clock says? Standard library only."""

import time
from pathlib import Path
from typing import NamedTuple


class Moment(NamedTuple):
    """Say when it is on this host: which boot, and the seconds of it, sleep included."""

    boot: str
    now_s: float

    @classmethod
    def read(cls) -> "Moment":
        """Ask the kernel; the wall clock has no say here."""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return cls(boot, time.clock_gettime(time.CLOCK_BOOTTIME))
