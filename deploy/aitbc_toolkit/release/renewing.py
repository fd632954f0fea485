"""How does a lease stay alive while its run works or waits? A second connection renews it.

The run's own connection makes one step at a time, and some take minutes. The second one is opened
only by runs that last, and dies with them: then the lease ends by itself.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.release.lease import Ask, Lease

# Two renewals may fail before the third comes too late.
_RENEWALS = 3
_END_S = 2.0

Connect = Callable[[], AbstractContextManager[Ask]]


class Renewal:
    """Renew a lease in the background for the length of a `with` block."""

    def __init__(
        self, lease: Lease, connect: Connect, *, told: Callable[[], None] = lambda: None
    ) -> None:
        self._lease = lease
        self._connect = connect
        self._told = told
        self._done = threading.Event()
        # A daemon, because a host that hangs must not keep the command from ending.
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join(_END_S)

    def _run(self) -> None:
        pause_s = self._lease.claim.ttl_s / _RENEWALS
        while not self._done.wait(pause_s):
            with ExitStack() as opened:
                ask = opened.enter_context(self._connect())
                self._renew(ask, pause_s)

    def _renew(self, ask: Ask, pause_s: float) -> None:
        """Renew over one connection until the end, or until that connection is lost."""
        while True:
            try:
                self._lease.renew(ask)
            except AitbcError:
                return
            if not self._done.is_set():
                self._told()
            if self._done.wait(pause_s):
                return
