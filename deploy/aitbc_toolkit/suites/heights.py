"""How far is each node while something goes on? Asked each second, written on the run's timeline.

A node that does not answer has no height. Do not judge here: `witness.py` does.
"""

from types import TracebackType
from typing import Self

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.rpc_client import RpcClient
from aitbc_toolkit.suites.per_node import PerNode
from aitbc_toolkit.suites.timeline import Timeline

EVERY_S = 1.0


class Heights:
    """Follow all nodes in a `with` block."""

    def __init__(self, environment: Environment, timeline: Timeline) -> None:
        self._timeline = timeline
        self._each = PerNode(environment, self._follow)
        self._newest: dict[str, int | None] = dict.fromkeys(n.name for n in self._each.mesh.nodes)

    def __enter__(self) -> Self:
        self._each.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._each.__exit__(kind, value, trace)

    def now(self) -> dict[str, int | None]:
        """Return the newest height of each node, None where it does not answer."""
        return dict(self._newest)

    def _follow(self, node: RpcClient) -> None:
        while not self._each.over.is_set():
            try:
                status = node.status()
            except AitbcError:
                self._newest[node.name] = None
            else:
                self._newest[node.name] = status.height
                self._timeline.height(node.name, status.height, status.round)
            self._each.over.wait(EVERY_S)
