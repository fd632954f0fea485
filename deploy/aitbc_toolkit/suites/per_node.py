"""How is something done at every node at once, for as long as a `with` block lasts?

A thread of its own for each, so that a silent node holds up nobody. A thread that fails ends alone
and is told: who asks knows then that it saw or did less than it should. Do not add what is done.
"""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.rpc_client import RpcClient

JOIN_S = 15.0


class PerNode:
    """Do some work at each node until it is over."""

    def __init__(
        self,
        environment: Environment,
        work: Callable[[RpcClient], None],
        *,
        beside: Callable[[], None] | None = None,
    ) -> None:
        self.mesh = open_mesh(environment, retries=0)
        self.over = threading.Event()
        self.failures: dict[str, str] = {}
        """Why the thread of a node has ended before all was over."""
        self._threads = [self._thread(node.name, work, node) for node in self.mesh.nodes]
        if beside is not None:
            self._threads.append(self._thread("beside", beside))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.mesh.__exit__(kind, value, trace)

    def stop(self) -> None:
        """Let every thread come to its end."""
        self.over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(JOIN_S)

    def hanging(self) -> list[str]:
        """Name the nodes whose threads go on though all is over."""
        return [each.name for each in self._threads if self.over.is_set() and each.is_alive()]

    def node(self, name: str) -> RpcClient:
        """Return the client of a node."""
        return next(node for node in self.mesh.nodes if node.name == name)

    def _thread(self, name: str, work: Callable[..., None], *words: object) -> threading.Thread:
        def run() -> None:
            try:
                work(*words)
            except Exception as bug:  # noqa: BLE001 - nobody joins on it: it is told instead
                self.failures[name] = repr(bug)

        return threading.Thread(target=run, name=name, daemon=True)
