"""What does every node say while a scenario runs, and is any of it a breach already?

Each node is followed by a thread of its own, so that a silent one holds up nobody; its blocks are
judged when they are first seen, by the checkers that judge whole histories. What a node once said
stays said, though it die or be wiped. Do not add what a scenario waits for: `scenario.engine`.
"""

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NamedTuple, Self

from aitbc_node.rpc import schema
from aitbc_toolkit import proposing
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.rpc_client import RpcClient
from aitbc_toolkit.suites.checkers import (
    BlockFact,
    Checker,
    History,
    agreement,
    height_monotone,
    state_root_equal,
)
from aitbc_toolkit.suites.history import OnHeight, read_blocks
from aitbc_toolkit.suites.per_node import PerNode

POLL_S = 0.2
NODES_A_SECOND = 50
"""So many answers are asked for: looked at as often as a small mesh, a large one is under load."""
AT_ONCE: Mapping[str, Checker] = {"agreement": agreement, "state_root_equal": state_root_equal}
"""What is judged block by block; the rest needs the whole history."""

OnBlock = Callable[[str, BlockFact], None]


class Told(NamedTuple):
    """Hold what a node said last, and when it was asked; no status where it is silent."""

    at: float
    status: schema.Status | None


class Witness:
    """Follow all nodes in a `with` block; `history` grows meanwhile."""

    def __init__(
        self,
        environment: Environment,
        history: History,
        *,
        first: int,
        on_height: OnHeight,
        on_block: OnBlock,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.breaches: list[str] = []
        self._thrown: dict[str, str] = {}
        self._history = history
        self._first = first
        self._on_height = on_height
        self._on_block = on_block
        self._clock = clock
        self._told: dict[str, Told] = {}
        self._climbed: dict[str, list[tuple[int, float]]] = {}
        """Each height that was new of a node, and when it was heard."""
        self._lock = threading.Lock()
        self._each = PerNode(environment, self._follow)

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

    @property
    def unknown(self) -> dict[str, str]:
        """Name who threw, checker or thread: nobody knows what it would have found."""
        hanging = dict.fromkeys(self._each.hanging(), "its last answer was not waited for")
        return {**self._thrown, **self._each.failures, **hanging}

    def told(self) -> dict[str, Told]:
        """Return what every node said last."""
        with self._lock:
            return dict(self._told)

    def reached(self, name: str, height: int) -> float | None:
        """Tell when a node was first heard at a height or above it."""
        with self._lock:
            climbed = self._climbed.get(name, [])
            return next((at for above, at in climbed if above >= height), None)

    def highest(self) -> int:
        """Return the highest that any node was ever heard at, 0 while nobody was."""
        with self._lock:
            return max((climbed[-1][0] for climbed in self._climbed.values()), default=0)

    def arrived(self) -> dict[int, dict[str, float]]:
        """Tell of each height that was heard when each node was first heard at it."""
        found: dict[int, dict[str, float]] = {}
        with self._lock:
            for name, climbed in self._climbed.items():
                for height, at in climbed:
                    found.setdefault(height, {})[name] = at
        return found

    def final_everywhere(self) -> set[str]:
        """Name the transactions that are in a block of every node that was ever heard."""
        with self._lock:
            known = [
                {tx for fact in blocks.values() for tx in fact.tx_ids}
                for blocks in self._history.blocks.values()
            ]
        return set.intersection(*known) if known else set()

    def next_proposer(self) -> str:
        """Ask the most advanced node whose key proposes behind the present one; empty if silent."""
        told = {name: row.status for name, row in self.told().items() if row.status is not None}
        for name in sorted(told, key=lambda each: -told[each].height):
            node = self._each.node(name)
            try:
                status, voters = node.status(), node.validators()
            except AitbcError:
                continue
            return proposing.turns(voters, status.round, count=2)[1]
        return ""

    def guilty(self) -> set[str]:
        """Name the keys that any final block proves to have signed twice."""
        with self._lock:
            told = self._history.blocks.values()
            return {key for blocks in told for fact in blocks.values() for key in fact.guilty}

    def _follow(self, node: RpcClient) -> None:
        while not self._each.over.is_set():
            self._look(node)
            self._each.over.wait(max(POLL_S, len(self._each.mesh.nodes) / NODES_A_SECOND))

    def _look(self, node: RpcClient) -> None:
        at = self._clock()
        try:
            status = node.status()
            self._heard(node.name, Told(at, status))
            with self._lock:
                seen = self._history.blocks.get(node.name, {})
                start = max(seen, default=self._first - 1) + 1
            if status.height >= start:
                self._take(node.name, read_blocks(node, first=start, last=status.height))
        except AitbcError:
            with self._lock:
                self._told[node.name] = Told(at, None)

    def _heard(self, name: str, told: Told) -> None:
        assert told.status is not None, "it was heard"
        height = told.status.height
        with self._lock:
            self._told[name] = told
            seen = self._history.heights.setdefault(name, [])
            seen.append(height)
            climbed = self._climbed.setdefault(name, [])
            if not climbed or height > climbed[-1][0]:
                climbed.append((height, self._clock()))
            pair = History(heights={name: seen[-2:]})
        self._judge({"height_monotone": height_monotone}, pair)
        self._on_height(name, height, told.status.round)

    def _take(self, name: str, fresh: Mapping[int, BlockFact]) -> None:
        with self._lock:
            self._history.blocks.setdefault(name, {}).update(fresh)
            part = History(
                blocks={
                    other: {height: blocks[height] for height in fresh if height in blocks}
                    for other, blocks in self._history.blocks.items()
                }
            )
        self._judge(AT_ONCE, part)
        for fact in fresh.values():
            self._on_block(name, fact)

    def _judge(self, checkers: Mapping[str, Checker], history: History) -> None:
        for name, checker in checkers.items():
            try:
                self.breaches += [f"{name}: {violation}" for violation in checker(history)]
            except Exception as bug:  # noqa: BLE001 - a checker that throws is unknown, never a pass
                self._thrown[name] = str(bug)
