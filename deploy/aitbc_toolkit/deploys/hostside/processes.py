"""Which processes of one node or supervisor run on this host, whoever started them?

Told by their command line: the path of its configuration belongs to one environment of one user's
folder. The same path in another mount namespace is another file, and so another process. Ends
them too, by a handle that no later process can inherit. Standard library only.
"""

import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from aitbc_toolkit.deploys.hostside.trouble import Trouble

_ASKED_S = 10.0
_KILLED_S = 5.0
_PARENT_FIELD = 1


def find(words: Sequence[str]) -> list[int]:
    """List the processes whose command line has these words side by side."""
    numbers = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
    return sorted(pid for pid in numbers if _matches(pid, words))


def parent(pid: int) -> int:
    """Tell which process a process belongs to; 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    # The second field is the program's name, which may hold spaces and brackets: proc(5).
    return int(text.rpartition(")")[2].split()[_PARENT_FIELD])


def end(found: Mapping[int, Sequence[str]]) -> None:
    """End those of the processes that still have these words: asked first, then killed.

    Raises: Trouble when one of them outlives both.
    """
    with ExitStack() as opened:
        held = {}
        for pid, words in found.items():
            with suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                opened.callback(os.close, handle)
                # The number may have been given to another process; the handle cannot be.
                if _matches(pid, words):
                    held[pid] = handle
        for number, patience_s in ((signal.SIGTERM, _ASKED_S), (signal.SIGKILL, _KILLED_S)):
            for handle in held.values():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
            held = _left(held, patience_s)
    if held:
        raise Trouble(f"process {' '.join(map(str, held))} does not end, not even by SIGKILL")


def _left(held: dict[int, int], patience_s: float) -> dict[int, int]:
    """Wait for processes to end; return those that did not."""
    deadline = time.monotonic() + patience_s
    while held and (left_s := deadline - time.monotonic()) > 0:
        ended = select.select(list(held.values()), [], [], left_s)[0]
        held = {pid: handle for pid, handle in held.items() if handle not in ended}
    return held


def _matches(pid: int, words: Sequence[str]) -> bool:
    wanted = list(map(os.fsencode, words))
    try:
        said = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        starts = range(len(said) - len(wanted) + 1)
        return any(said[at : at + len(wanted)] == wanted for at in starts) and _same_files(pid)
    except OSError:
        return False  # it has ended, or is somebody else's


def _same_files(pid: int) -> bool:
    ours, theirs = Path("/proc/self/ns/mnt"), Path(f"/proc/{pid}/ns/mnt")
    return ours.readlink() == theirs.readlink()
