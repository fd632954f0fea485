"""What did every node say while a scenario ran? Read live, kept for the checkers and as evidence.

Do not judge here.
"""

from collections.abc import Callable, Iterable

import msgspec

from aitbc_node.rpc import schema
from aitbc_toolkit.asking import MeshClient, Silence
from aitbc_toolkit.rpc_client import RpcClient
from aitbc_toolkit.suites.checkers import BlockFact, History

_PAGE = 20
_OFFENCES = 'aitbc_notes_total{name="consensus.equivocation"}'

OnHeight = Callable[[str, int, int], None]
"""Hears of each node's height and round whenever a node was asked."""


def untold(_node: str, _height: int, _round: int) -> None:
    """Tell nobody."""


class Recorder:
    """Collect a history from a mesh; nodes that do not answer are simply not in it."""

    def __init__(self, mesh: MeshClient, *, on_height: OnHeight = untold) -> None:
        self.history = History()
        self._mesh = mesh
        self._on_height = on_height
        self._first: dict[str, schema.Status] = {}
        self._offences = mesh.ask_all(_offences)

    def statuses(self) -> dict[str, schema.Status]:
        """Ask every node for its status, and remember its height."""
        told = self._mesh.ask_all(lambda node: node.status())
        up = {name: each for name, each in told.items() if isinstance(each, schema.Status)}
        for name, status in up.items():
            self._first.setdefault(name, status)
            self.history.heights.setdefault(name, []).append(status.height)
            self._on_height(name, status.height, status.round)
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

    def accepted(self, tx_ids: Iterable[str]) -> None:
        """Remember that a node took these: from now on they must not get lost."""
        self.history.accepted.update(dict.fromkeys(tx_ids, False))

    def finish(self, *, first: int) -> None:
        """Read the blocks from `first` on, and the audit, from every node side by side."""
        heights = [status.height for status in self.statuses().values()]
        last = min(heights, default=0)
        blocks = self._mesh.ask_all(lambda node: read_blocks(node, first=max(1, first), last=last))
        for name, each in blocks.items():
            if isinstance(each, dict):
                self._keep(name, each)
        audits = self._mesh.ask_all(lambda node: node.audit())
        self.history.audits = {
            name: each for name, each in audits.items() if isinstance(each, schema.AuditAnswer)
        }

        self._count_offences()
        self._look_for_accepted()

    def has_heard(self, names: set[str]) -> bool:
        """Tell whether all of these told their blocks and their books."""
        return names <= self.history.blocks.keys() and names <= self.history.audits.keys()

    def to_json(self) -> dict[str, object]:
        """Return everything that was seen, as evidence."""
        seen: dict[str, object] = msgspec.to_builtins(self.history, str_keys=True)
        return {"nodes": msgspec.to_builtins(self._first), **seen}

    def _keep(self, name: str, told: dict[int, BlockFact]) -> None:
        """Keep blocks beside those that the node told before; what it took back stands, too."""
        known = self.history.blocks.setdefault(name, {})
        for height, fact in told.items():
            if known.setdefault(height, fact) != fact:
                self.history.blocks.setdefault(f"{name} later", {})[height] = fact

    def _count_offences(self) -> None:
        for name, after in self._mesh.ask_all(_offences).items():
            before = self._offences.get(name)
            if isinstance(after, int):
                # A node that restarted meanwhile counts from nothing again.
                start = before if isinstance(before, int) and before <= after else 0
                self.history.offences[name] = (start, after)

    def _look_for_accepted(self) -> None:
        final = {
            tx
            for blocks in self.history.blocks.values()
            for fact in blocks.values()
            for tx in fact.tx_ids
        }
        for tx in self.history.accepted:
            is_told = tx in final or tx in self.history.fates
            self.history.accepted[tx] = is_told or self._may_be_known(tx)

    def _may_be_known(self, tx: str) -> bool:
        """Ask who knows a transaction; a node that is silent may, so it counts as one that does."""
        answers = self._mesh.ask_all(lambda node: node.transaction(tx)).values()
        return any(isinstance(answer, schema.TxView | Silence) for answer in answers)


def _offences(node: RpcClient) -> int:
    """Count the conflicting messages of one validator that a node has seen since its start."""
    lines = node.text("/metrics").splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith(_OFFENCES))


def read_blocks(node: RpcClient, *, first: int, last: int) -> dict[int, BlockFact]:
    """Read what a node says of its blocks between two heights, page by page."""
    found: dict[int, BlockFact] = {}
    for start in range(first, last + 1, _PAGE):
        for block in node.blocks(start, min(_PAGE, last - start + 1)):
            ids = tuple(block.tx_ids)
            guilty = tuple(each.key for each in block.evidence)
            found[block.height] = BlockFact(block.id, block.state_root, ids, block.time_ms, guilty)
    return found
