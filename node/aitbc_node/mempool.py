"""Which verified transactions wait for a block, in which order they go, and when they leave.

Bounded in count, in bytes and per account. What was taken is never pushed out by a better payer: a
client that was told *accepted* may rely on a block or on a provable expiry. Only what its sender
can no longer pay for makes room when room is short. Knows neither balances nor signatures; the
caller brings the account nonces. Do not add those checks here.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

import msgspec

from aitbc_node import limits
from aitbc_node.codes import Code, Refusal
from aitbc_node.types import Address, Height, TxId

Content = TypeVar("Content")

WAITING = Refusal(Code.E_DUPLICATE, "", "already waiting here")

PARKED_MAX = 10 * limits.MEMPOOL_TXS_MAX

_NEVER = Height(limits.INT_MAX)

NonceOf = Callable[[Address], int]


class PoolLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bound a pool. Units: transactions, bytes, transactions of one account.

    Clients hand in `account_rate` a second for one account, 0 for as many as they like.
    """

    txs_max: int = limits.MEMPOOL_TXS_MAX
    bytes_max: int = limits.MEMPOOL_BYTES_MAX
    per_account_max: int = limits.MEMPOOL_PER_ACCOUNT_MAX
    account_rate: int = limits.ACCOUNT_RATE


class Entry(msgspec.Struct, Generic[Content], gc=False):
    """Describe one waiting transaction; `content` is the caller's and is handed back untouched.

    Units: `price` is whatever the caller ranks by, higher first; `size` in bytes; `spending` is
    what it takes of its sender's money. The pool counts the `arrival`, and nothing else changes.
    """

    id: TxId
    sender: Address
    nonce: int
    valid_until: Height
    price: int
    size: int
    spending: int
    content: Content
    arrival: int = -1


class Mempool(Generic[Content]):
    """Hold what waits, as one queue of consecutive nonces per account."""

    def __init__(self, bounds: PoolLimits) -> None:
        self.limits = bounds
        self._entries: dict[TxId, Entry[Content]] = {}
        self._queues: dict[Address, dict[int, Entry[Content]]] = {}
        self._arrivals = 0
        self.reordered = 0
        """How often a block had something behind what came here later and pays no more."""
        self._parked: dict[TxId, Height] = {}
        self._soonest = _NEVER
        """No transaction here expires before this height; nobody looks through all until then."""
        self.bytes_total = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, tx_id: TxId) -> bool:
        return tx_id in self._entries

    def get(self, tx_id: TxId) -> Entry[Content] | None:
        """Return what waits under an id."""
        return self._entries.get(tx_id)

    def pending_nonce(self, sender: Address, *, next_nonce: int) -> int:
        """Return the first nonce that neither the chain nor an unbroken queue has used."""
        queue = self._queues.get(sender, {})
        while next_nonce in queue:
            next_nonce += 1
        return next_nonce

    def promised(self, sender: Address, *, before_nonce: int) -> int:
        """Sum what an account's waiting transactions spend before this nonce."""
        queue = self._queues.get(sender)
        if queue is None:
            return 0
        return sum([entry.spending for nonce, entry in queue.items() if nonce < before_nonce])

    def count_of(self, sender: Address) -> int:
        """Count an account's waiting transactions."""
        queue = self._queues.get(sender)
        return 0 if queue is None else len(queue)

    def refusal_of(self, entry: Entry[Content], *, next_nonce: int) -> Refusal | None:
        """Say why `add` would not take this now; asked before signatures cost anything."""
        if entry.id in self._entries:
            return WAITING
        queue = self._queues.get(entry.sender)
        if queue is not None and entry.nonce in queue:
            message = f"another transaction of this account waits with nonce {entry.nonce}"
            return Refusal(Code.E_NONCE, "nonce", message)
        if queue is not None and len(queue) >= self.limits.per_account_max:
            message = f"{len(queue)} transactions of this account wait already"
            return Refusal(Code.E_QUEUE_FULL, "sender", message)
        count = len(self._entries)
        if count >= self.limits.txs_max // 2 and count >= self._room_for(entry, next_nonce):
            return Refusal(Code.E_POOL_FULL, "", f"{count} transactions wait already")
        if self.bytes_total + entry.size > self.limits.bytes_max:
            return Refusal(Code.E_POOL_FULL, "", f"{self.bytes_total} bytes wait already")
        return None

    def add(self, entry: Entry[Content], *, next_nonce: int) -> Refusal | None:
        """Take a transaction, or say why not. Units: `next_nonce` is the account's on the chain."""
        assert entry.nonce >= next_nonce, "the caller takes no used nonce"
        refusal = self.refusal_of(entry, next_nonce=next_nonce)
        if refusal is None:
            self._insert(entry)
        return refusal

    def ranked(self, nonce_of: NonceOf) -> Iterator[Entry[Content]]:
        """Go through what a block may hold: best price first, each account's in order of nonce.

        Shape: stops an account at a gap in its nonces. Equal prices go in order of arrival, so the
        order is the same in every run. The pool must not change meanwhile.
        """
        heads: list[tuple[int, int, Entry[Content]]] = []
        for sender, queue in self._queues.items():
            entry = queue.get(nonce_of(sender))
            if entry is not None:
                heads.append(self._head(entry))
        heapq.heapify(heads)
        while heads:
            entry = heapq.heappop(heads)[2]
            yield entry
            follower = self._queues[entry.sender].get(entry.nonce + 1)
            if follower is not None:
                heapq.heappush(heads, self._head(follower))

    def waiting(self) -> Iterator[Entry[Content]]:
        """Go through all that waits, in order of arrival."""
        return iter(self._entries.values())

    def advance(
        self,
        *,
        included: Sequence[tuple[TxId, Address]],
        next_height: Height,
        nonce_of: NonceOf,
    ) -> tuple[TxId, ...]:
        """Follow the chain after a block; return those that can never be in a block any more.

        Those are the expired ones, and those whose nonce another transaction has used. Shape:
        `included` in the block's order.
        """
        senders: dict[Address, None] = {}
        last: Entry[Content] | None = None
        for tx_id, sender in included:
            entry = self.remove(tx_id)
            if entry is not None:
                self.reordered += last is not None and _is_overtaken(entry, by=last)
                last = entry
            senders[sender] = None
        dead = [entry.id for entry in self._stale(senders, nonce_of)]
        for tx_id in dead:
            self.remove(tx_id)
        return (*dead, *self._expire(next_height))

    def skip(self, *, next_height: Height, nonce_of: NonceOf) -> tuple[TxId, ...]:
        """Follow the chain over blocks that nobody saw here; return what `advance` does."""
        anybody = [(TxId(b""), sender) for sender in self._queues]
        return self.advance(included=anybody, next_height=next_height, nonce_of=nonce_of)

    def park(self, tx_ids: Iterable[TxId]) -> None:
        """Make room: keep of these only when they expire, so that this can still be told.

        For transactions that no block would take now, when good ones wait outside.
        """
        for tx_id in tx_ids:
            entry = self._entries.get(tx_id)
            if entry is not None:
                self.remove(tx_id)
                if len(self._parked) < PARKED_MAX:
                    self._parked[tx_id] = entry.valid_until

    def remove(self, tx_id: TxId) -> Entry[Content] | None:
        """Forget one transaction, if it is here, and return it."""
        entry = self._entries.pop(tx_id, None)
        if self._parked:
            self._parked.pop(tx_id, None)
        if entry is None:
            return None
        self.bytes_total -= entry.size
        queue = self._queues[entry.sender]
        del queue[entry.nonce]
        if not queue:
            del self._queues[entry.sender]
        return entry

    def _expire(self, next_height: Height) -> list[TxId]:
        """Forget what no block may hold any more, and return it."""
        if next_height <= self._soonest:
            return []
        late = [entry.id for entry in self._entries.values() if entry.valid_until < next_height]
        for tx_id in late:
            self.remove(tx_id)
        late += [tx_id for tx_id, until in self._parked.items() if until < next_height]
        for tx_id in late:
            self._parked.pop(tx_id, None)
        left = [*(entry.valid_until for entry in self._entries.values()), *self._parked.values()]
        self._soonest = min(left, default=_NEVER)
        return late

    def _room_for(self, entry: Entry[Content], next_nonce: int) -> int:
        """Bound the pool lower for a transaction behind a gap in its account's nonces.

        It may wait for ever and never pay, so such ones must not be able to fill the pool.
        """
        reachable = self.pending_nonce(entry.sender, next_nonce=next_nonce)
        return self.limits.txs_max if entry.nonce <= reachable else self.limits.txs_max // 2

    def _insert(self, entry: Entry[Content]) -> None:
        self._entries[entry.id] = entry
        queue = self._queues.get(entry.sender)
        if queue is None:
            queue = self._queues[entry.sender] = {}
        queue[entry.nonce] = entry
        entry.arrival = self._arrivals
        self._arrivals += 1
        self._soonest = min(self._soonest, entry.valid_until)
        self.bytes_total += entry.size

    def _head(self, entry: Entry[Content]) -> tuple[int, int, Entry[Content]]:
        # The arrival number is unique, so a tie never compares the entries themselves.
        return -entry.price, entry.arrival, entry

    def _stale(self, senders: Iterable[Address], nonce_of: NonceOf) -> list[Entry[Content]]:
        stale: list[Entry[Content]] = []
        for sender in senders:
            queue = self._queues.get(sender)
            if queue and min(queue) < (nonce := nonce_of(sender)):
                stale += [entry for entry in queue.values() if entry.nonce < nonce]
        return stale


def _is_overtaken(entry: Entry[Content], *, by: Entry[Content]) -> bool:
    """Tell whether the order of arrival, and of prices, would have had them otherwise."""
    return by.arrival > entry.arrival and by.price <= entry.price and by.sender != entry.sender
