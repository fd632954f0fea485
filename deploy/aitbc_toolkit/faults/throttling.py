"""Let a unit run for a share of each period: `throttling LEASE_S UNIT SHARE`. Runs on a host.

A quota of the kernel's does the same to whoever wants more; this one needs no controller, which
hosts in containers do not have. Standard library only.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

_PERIOD_S = 0.1
_LOOK_S = 1.0


def main(lease_s: float, unit: str, share: float) -> None:
    """Stop the unit's process for the rest of each period; it runs when this ends."""
    end_s = time.monotonic() + lease_s
    looked_s, pid = 0.0, 0
    while (now_s := time.monotonic()) < end_s:
        if now_s - looked_s > _LOOK_S:
            looked_s, pid = now_s, _main_process(unit)
        _send(pid, signal.SIGSTOP)
        time.sleep(_PERIOD_S * (1 - share))
        _send(pid, signal.SIGCONT)
        time.sleep(_PERIOD_S * share)


def _main_process(unit: str) -> int:
    argv = ["systemctl", "show", unit, "-p", "MainPID", "--value"]
    return int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - fixed words


def _send(pid: int, number: signal.Signals) -> None:
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
