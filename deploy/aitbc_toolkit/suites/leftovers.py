"""What did a stage leave running on this machine, and how is it ended?

Every process that a stage starts inherits one variable that names the run, however far it detaches
itself, so what is left is found by that and never by its name. Only Linux shows the environment of
a process; elsewhere nothing is found. Do not add knowledge of meshes or labs here.
"""

import os
import signal
import time
from pathlib import Path

VARIABLE = "AITBC_RUN"
_POLL_S = 0.2


def running(run: str) -> dict[int, str]:
    """Find the processes of a run: pid and command line."""
    wanted = f"{VARIABLE}={run}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                found[int(folder.name)] = b" ".join(words).decode(errors="replace").strip()
        except OSError:
            continue  # it ended meanwhile, or belongs to somebody else
    return {pid: command for pid, command in found.items() if command}  # a zombie has none


def end(run: str, *, grace_s: float) -> list[str]:
    """Wait for a run's processes to end by themselves, then end them; list those that had not."""
    left = _wait(run, grace_s)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in running(run):
            _signal(pid, number)
        if not _wait(run, grace_s):
            break
    return [f"{pid} {command[:100]}" for pid, command in left.items()]


def _wait(run: str, grace_s: float) -> dict[int, str]:
    deadline = time.monotonic() + grace_s
    while (left := running(run)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return left


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
