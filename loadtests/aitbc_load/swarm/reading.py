"""What do nodes say when they are asked? Accounts, blocks and fates, typed; silence is None.

A quorum's answer counts, not one node's. Do not add what follows from it.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import gevent
import msgspec
from gevent.pool import Pool

from aitbc_load.chainwatch import Block
from aitbc_load.orders import Place
from aitbc_load.supplies import Supply
from aitbc_load.swarm.wire import Silent, Wires, get
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.rpc import schema

_OK = 200
_TRIES = 5
_PAUSE_S = 0.5
_TRY_AGAIN = frozenset({429, 503})
_PAGE = 20
_SIDE_BY_SIDE = 16

A = TypeVar("A", bound=schema.Answer)
V = TypeVar("V", bound=Hashable)
T = TypeVar("T")


class Account(msgspec.Struct, frozen=True):
    """Hold what counts of an account."""

    nonce: int
    is_new: bool
    units: int


UNUSED = Account(nonce=0, is_new=True, units=0)
"""What is said of an account that was never paid."""


class Reader:
    """Ask the nodes of a mesh."""

    def __init__(self, wires: Wires, nodes: Sequence[Place]) -> None:
        self._wires = wires
        self._nodes = nodes
        self._power = sum(node.power for node in nodes)

    def account(self, address: str) -> Account | None:
        """Return what a quorum says of an account."""
        return self._quorum(lambda node: self.account_at(node, address))

    def accounts(self, addresses: Iterable[str]) -> list[Account | None]:
        """Return what a quorum says of each of many."""
        return self.many(self.account, addresses)

    def many(self, ask: Callable[[str], T], asked: Iterable[str]) -> list[T]:
        """Ask many things, some side by side."""
        return list(Pool(_SIDE_BY_SIDE).imap(ask, asked))

    def height_of(self, node: Place) -> int:
        """Return how far one node is, 0 when it does not answer."""
        told = self.ask(node, "/status", schema.Status)
        return told.height if told else 0

    def blocks(self, node: Place, first: int, last: int) -> dict[int, Block]:
        """Return what one node holds of these heights."""
        found: dict[int, Block] = {}
        while first <= last:
            path = f"/blocks?from={first}&count={min(_PAGE, last - first + 1)}"
            page = self.ask(node, path, schema.Blocks)
            if page is None or not page.blocks:
                break
            for each in page.blocks:
                found[each.height] = Block(each.id, each.time_ms, tuple(each.tx_ids))
            first = page.blocks[-1].height + 1
        return found

    def all_blocks(self, first: int, last: int) -> dict[int, dict[str, Block]]:
        """Return what every node holds of these heights."""
        jobs = {node.name: gevent.spawn(self.blocks, node, first, last) for node in self._nodes}
        gevent.joinall(list(jobs.values()))
        seen: dict[int, dict[str, Block]] = {}
        for name, job in jobs.items():
            for height, block in (job.value or {}).items():
                seen.setdefault(height, {})[name] = block
        return seen

    def fate(self, node: Place, tx_id: str) -> schema.TxView | None:
        """Return what one node says became of a transaction; None also where it never saw it."""
        return self.ask(node, f"/tx/{tx_id}", schema.TxView)

    def account_at(self, node: Place, address: str) -> Account | None:
        """Return what one node says of an account."""
        told = self.ask(node, f"/state/accounts/{address}", schema.AccountView)
        if told is None:
            return None
        owned = told.balances.get(NATIVE)
        return Account(told.nonce, told.policy is None, int(owned.balance) if owned else 0)

    def supplies(self, node: Place) -> dict[str, Supply] | None:
        """Return what one node says of each asset."""
        told = self.ask(node, "/economics", schema.Economics)
        if told is None:
            return None
        return {
            ticker: Supply(int(row.supply), int(row.minted), int(row.burned), int(row.held))
            for ticker, row in told.assets.items()
        }

    def all_supplies(self) -> dict[str, dict[str, Supply]]:
        """Return what every node says of each asset that answers."""
        told = {node.name: self.supplies(node) for node in self._nodes}
        return {name: assets for name, assets in told.items() if assets is not None}

    def minted(self) -> int | None:
        """Return how much of the native asset was ever minted, by what a quorum says."""

        def ask(node: Place) -> int | None:
            assets = self.supplies(node) or {}
            return assets[NATIVE].minted if NATIVE in assets else None

        return self._quorum(ask)

    def _quorum(self, ask: Callable[[Place], V | None]) -> V | None:
        """Return what nodes of more than two thirds of the power agree on, asked a few times.

        Nodes differ for a moment while a block becomes final.
        """
        for left in reversed(range(_TRIES)):
            weights: Counter[V] = Counter()
            for node in self._nodes:
                told = ask(node) if node.power else None
                if told is not None:
                    weights[told] += node.power
            for told, weight in weights.items():
                if 3 * weight > 2 * self._power:
                    return told
            if left:
                gevent.sleep(_PAUSE_S)
        return None

    def ask(self, node: Place, path: str, shape: type[A]) -> A | None:
        """Read one path of a node; a node that has no time now is asked again."""
        for left in reversed(range(_TRIES)):
            try:
                answer = self._wires.ask(node, get(node, path))
                if answer.status == _OK:
                    return msgspec.json.decode(answer.body, type=shape)
            except (Silent, msgspec.MsgspecError):
                return None
            if answer.status not in _TRY_AGAIN:
                return None
            if left:
                gevent.sleep(_PAUSE_S)
        return None
