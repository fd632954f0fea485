"""Fill a disk until a lease ends: `filling LEASE_S FOLDER`. Runs on a host, on its own.

The file has no name, so its space is free again with the end of this process, whatever ends it.
Standard library only.
"""

import os
import sys
import tempfile
import time

_POLL_S = 0.2


def main(lease_s: float, folder: str) -> None:
    """Take whatever is free, and take again what others let go of."""
    end_s = time.monotonic() + lease_s
    with tempfile.TemporaryFile(dir=folder) as file:
        while time.monotonic() < end_s:
            found = os.statvfs(folder)
            size, step = os.fstat(file.fileno()).st_size, found.f_bavail * found.f_frsize
            while step >= found.f_frsize:
                try:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
                except OSError:
                    step //= 2
            time.sleep(min(_POLL_S, max(0.0, end_s - time.monotonic())))


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
