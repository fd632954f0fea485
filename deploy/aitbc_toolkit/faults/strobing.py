"""Let a clock jump there and back: `strobing LEASE_S FILE SECONDS PERIOD_S`. Runs on a host.

libfaketime reads the file every second. Standard library only.
"""

import itertools
import sys
import time
from pathlib import Path


def main(lease_s: float, file: str, seconds: float, period_s: float) -> None:
    """Write one offset and the other in turn; the last one is none."""
    end_s = time.monotonic() + lease_s
    path = Path(file)
    for sign in itertools.cycle((1, -1)):
        if time.monotonic() >= end_s:
            break
        path.write_text(f"{sign * seconds:+g}\n", encoding="ascii")
        time.sleep(max(0.0, min(period_s, end_s - time.monotonic())))
    path.write_text("+0\n", encoding="ascii")


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
