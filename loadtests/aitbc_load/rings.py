"""Which transaction of which account is handed in next, and where?

Each account keeps to one node and hands in its transactions in order; the nodes take turns, and so
do the accounts of each. All of that is known before a run: numbers count the transactions in the
order in which they are dealt out, so that a hand-in's lie behind each other. An arrival that is
dropped takes nothing, so it leaves no gap in anybody's nonces. Pure. Do not add how anything is
sent.
"""

from collections.abc import Iterator

RATE_PER_ACCOUNT = 4.0
"""An account may have 64 waiting: at this rate enough for a mesh that stands for 16 s."""


class Rings:
    """Deal out hand-ins of `batch` transactions each."""

    def __init__(self, nodes: int, accounts: int, *, batch: int) -> None:
        assert accounts % nodes == 0, "every node has as many accounts"
        self.dealt = 0
        """How many hand-ins were dealt out."""
        self.batch = batch
        self.accounts = accounts
        self._nodes = nodes

    def deal(self) -> int:
        """Return which hand-in is next."""
        self.dealt += 1
        return self.dealt - 1

    def home_of(self, number: int) -> int:
        """Return the place of the node that a transaction is meant for."""
        return number // self.batch % self._nodes

    def owner_of(self, number: int) -> tuple[int, int]:
        """Return whose a transaction is, and how many of the same account come before it."""
        hand_in, place = divmod(number, self.batch)
        turn, node = divmod(hand_in, self._nodes)
        before, seat = divmod(turn * self.batch + place, self.accounts // self._nodes)
        return node + seat * self._nodes, before

    def numbers_of(self, account: int) -> Iterator[int]:
        """Yield those of an account that were dealt out, in their order."""
        seat, node = divmod(account, self._nodes)
        while True:
            turn, place = divmod(seat, self.batch)
            hand_in = turn * self._nodes + node
            if hand_in >= self.dealt:
                return
            yield hand_in * self.batch + place
            seat += self.accounts // self._nodes


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
