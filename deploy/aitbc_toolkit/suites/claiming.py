"""Who tests a mesh at this moment? One suite or session of tests, as far as this checkout knows.

Two at once would share its load and its faults, and neither could tell. The kernel drops the claim
with its holder. A deploy has a lease of its own, on the hosts. Do not wait here.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release.source import who


@contextmanager
def sole(environment: str, what: str, *, state: Path) -> Iterator[None]:
    """Be the only one who tests a mesh, for the length of a `with` block.

    Raises: AitbcError (busy) at once where somebody else does, with who it is.
    """
    path = state / "tested" / environment
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            file.seek(0)
            raise AitbcError(
                f"{environment} is being tested: {file.read() or 'somebody has just begun'}",
                hint="wait until that ends, or bring up another mesh: aitbc up lab-second",
                exit_status=Exit.BUSY,
            ) from held
        file.truncate(0)
        since = time.strftime("%H:%M:%SZ", time.gmtime())
        file.write(f"{what}, {who()} pid {os.getpid()} since {since}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
