"""What did every node say while a scenario ran? Read live, kept for the checkers and as evidence.

Do not judge here.
"""

from collections.abc import Iterable

import msgspec

from aitbc_node.rpc import schema
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.rpc_client import RpcClient
from aitbc_toolkit.suites.checkers import BlockFact, History

_PAGE = 20


class Recorder:
    """Collect a history from a mesh; nodes that do not answer are simply not in it."""

    def __init__(self, mesh: MeshClient) -> None:
        self.history = History()
        self._mesh = mesh

    def statuses(self) -> dict[str, schema.Status]:
        """Ask every node for its status, and remember its height."""
        told = self._mesh.ask_all(lambda node: node.status())
        up = {name: each for name, each in told.items() if isinstance(each, schema.Status)}
        for name, status in up.items():
            self.history.heights.setdefault(name, []).append(status.height)
        return up

    def fates(self, tx_ids: Iterable[str]) -> dict[str, dict[str, schema.TxView]]:
        """Ask every node for the fate of transactions; return those that ended, by node."""
        wanted = list(tx_ids)

        def ask(node: RpcClient) -> dict[str, schema.TxView]:
            known = self.history.fates
            open_ = [tx for tx in wanted if node.name not in known.get(tx, {})]
            told = {tx: node.transaction(tx) for tx in open_}
            return {tx: fate for tx, fate in told.items() if fate and fate.status != "pending"}

        for name, ended in self._mesh.ask_all(ask).items():
            if isinstance(ended, dict):
                for tx, fate in ended.items():
                    self.history.fates.setdefault(tx, {})[name] = fate
        return {tx: self.history.fates.get(tx, {}) for tx in wanted}

    def finish(self, *, first: int) -> None:
        """Read the blocks from `first` on, and the audit, from every node side by side."""
        heights = [status.height for status in self.statuses().values()]
        last = min(heights, default=0)
        blocks = self._mesh.ask_all(lambda node: _blocks(node, first=max(1, first), last=last))
        self.history.blocks = {
            name: each for name, each in blocks.items() if isinstance(each, dict)
        }
        audits = self._mesh.ask_all(lambda node: node.get("/audit", schema.AuditAnswer))
        self.history.audits = {
            name: each for name, each in audits.items() if isinstance(each, schema.AuditAnswer)
        }

    def to_json(self) -> dict[str, object]:
        """Return everything that was seen, as evidence."""
        builtins: dict[str, object] = msgspec.to_builtins(self.history, str_keys=True)
        return builtins


def _blocks(node: RpcClient, *, first: int, last: int) -> dict[int, BlockFact]:
    found: dict[int, BlockFact] = {}
    for start in range(first, last + 1, _PAGE):
        for block in node.blocks(start, min(_PAGE, last - start + 1)):
            found[block.height] = BlockFact(block.id, block.state_root, tuple(block.tx_ids))
    return found
