"""Which transaction of which account is handed in next, and where?

Each account keeps to one node and hands in its transactions in order; the nodes take turns, and so
do the accounts of each. An arrival that is dropped takes nothing, so it leaves no gap in anybody's
nonces. Pure. Do not add how anything is sent.
"""

from collections.abc import Sequence

RATE_PER_ACCOUNT = 4.0
"""An account may have 64 waiting: at this rate enough for a mesh that stands for 16 s."""


class Rings:
    """Deal out numbers of transactions; `each` of an account lie behind each other in the store."""

    def __init__(self, nodes: int, accounts: int, *, each: int) -> None:
        assert accounts % nodes == 0, "every node has as many accounts"
        self._each = each
        self._nodes = nodes
        self._used = [0] * accounts
        self._turn = 0
        self._next_of = list(range(nodes))
        """For each node, which of its accounts is next: those with its number, modulo the nodes."""

    def deal(self, count: int) -> tuple[int, list[int]]:
        """Return a node by its place, and the numbers of so many transactions for it."""
        node = self._turn
        self._turn = (node + 1) % self._nodes
        return node, [self._next(node) for _ in range(count)]

    def home_of(self, number: int) -> int:
        """Return the node that a transaction was meant for."""
        return number // self._each % self._nodes

    def used(self) -> Sequence[int]:
        """Return how many transactions of each account were dealt out."""
        return tuple(self._used)

    def _next(self, node: int) -> int:
        account = self._next_of[node]
        place = account + self._nodes
        self._next_of[node] = place if place < len(self._used) else node
        number = account * self._each + self._used[account]
        assert self._used[account] < self._each, "enough were signed for the whole schedule"
        self._used[account] += 1
        return number


def accounts_for(rate: float, nodes: int, *, batch: int) -> int:
    """Return how many accounts a rate needs, as many for each node.

    A batch should not hold two of one account, or their order would be that of the batch.
    """
    needed = max(rate / RATE_PER_ACCOUNT, batch * nodes)
    return nodes * -(-int(needed) // nodes)


def each_for(hand_ins: int, batch: int, nodes: int, accounts: int) -> int:
    """Return how many transactions of each account a schedule can take at most."""
    turns = -(-hand_ins // nodes)
    return -(-turns * batch // (accounts // nodes))
