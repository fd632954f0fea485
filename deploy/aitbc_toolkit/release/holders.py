"""Has the run that holds a lease ended without giving it back? Known of this machine's own only.

A pid does not say: it is used again, and a container has pids of its own. What follows for the
lease is decided in `occupation`.
"""

import os
from pathlib import Path

from aitbc_toolkit.processes import Process, boot_id, this_process


def own() -> str:
    """Name this process, so that the next run on this machine can tell when it is gone."""
    process = this_process()
    return f"{process.boot} {_namespace()} {process.pid} {process.start}"


def is_gone(name: str) -> bool:
    """Tell whether a process has surely ended; of another boot's or machine's nobody knows."""
    words = name.split()
    if words[:2] != [boot_id(), _namespace()]:
        return False
    boot, _, pid, start = words
    process = Process(int(pid), int(start), boot)
    return not process.alive and not _is_hidden(process.pid)


def _namespace() -> str:
    return Path("/proc/self/ns/pid").readlink().name


def _is_hidden(pid: int) -> bool:
    """Tell whether a pid is somebody else's, whom `/proc` may not show: proc(5), hidepid."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        pass
    return False
