"""Which transactions have their signatures judged at this moment, and for whom?

Everything between `Verify` and `Verified`: batches of bounded size, each transaction in one batch
only, counted in all and per account. Do not add what is done with the verdicts.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from aitbc_node import limits
from aitbc_node.answering import Request
from aitbc_node.events import SignatureCheck, Verify
from aitbc_node.ledger.transactions import Parsed, signature_checks
from aitbc_node.mempool import Entry
from aitbc_node.types import Address, Height, PeerId, TxId

IN_FLIGHT_MAX = 2 * limits.BLOCK_TXS_MAX
"""Transactions of clients and peers that are being verified; blocks are bounded elsewhere."""

IN_FLIGHT_BYTES_MAX = limits.MEMPOOL_BYTES_MAX

CHECKS_MAX = 256
"""Checks per `Verify`: about 10 ms of one core, so that consensus never waits long behind one."""


class Item(msgspec.Struct):
    """Follow one transaction through its verification.

    `entry` is None while it is wanted for a block only; `height` is where it was found admissible
    on its own, None where it was not asked yet, and `promised` what was counted as spent before it.
    """

    parsed: Parsed
    height: Height | None
    entry: Entry[Parsed] | None
    promised: int = 0
    source: PeerId | None = None
    request: Request | None = None
    slot: int = 0


class Verifying:
    """Hold what is under way."""

    def __init__(self) -> None:
        self._items: dict[TxId, Item] = {}
        self._bytes = 0
        self._counts: dict[Address, int] = {}
        self._batches: dict[int, list[Item]] = {}
        self._number = 0

    def __contains__(self, tx_id: TxId) -> bool:
        return tx_id in self._items

    @property
    def is_full(self) -> bool:
        """Tell whether clients and peers have to wait."""
        return len(self._items) >= IN_FLIGHT_MAX or self._bytes >= IN_FLIGHT_BYTES_MAX

    def get(self, tx_id: TxId) -> Item | None:
        """Return what is under way by id."""
        return self._items.get(tx_id)

    def count_of(self, sender: Address) -> int:
        """Count an account's transactions that are under way."""
        return self._counts.get(sender, 0)

    def items(self) -> Iterator[Item]:
        """Go through all that is under way, oldest first."""
        return iter(self._items.values())

    def add(self, item: Item) -> None:
        """Count a transaction from now on; a batch has to follow in the same step."""
        assert item.parsed.id not in self._items, "one verification per transaction"
        self._items[item.parsed.id] = item
        self._bytes += len(item.parsed.raw)
        sender = item.parsed.tx.sender
        self._counts[sender] = self._counts.get(sender, 0) + 1

    def depart(self, items: Iterable[Item], *, urgent: bool = False) -> Iterator[Verify]:
        """Ask for the verdicts on transactions that were added."""
        checks: list[SignatureCheck] = []
        batch: list[Item] = []
        for item in items:
            batch.append(item)
            checks += signature_checks(item.parsed)
            if len(checks) >= CHECKS_MAX:
                yield self._ask(batch, checks, urgent=urgent)
                batch, checks = [], []
        if batch:
            yield self._ask(batch, checks, urgent=urgent)

    def land(self, number: int, good: Sequence[bool]) -> list[tuple[Item, bool]]:
        """Take the verdicts on one batch; a transaction is good if all its signatures are."""
        items = self._batches.pop(number, None)
        assert items is not None, "a batch is answered once"
        keys = sum(len(item.parsed.keys) for item in items)
        assert len(good) == keys, "each signature has a verdict"
        verdicts = iter(good)
        landed = []
        for item in items:
            self._remove(item.parsed)
            # All of its verdicts are taken, also behind a bad one.
            landed.append((item, all(tuple(islice(verdicts, len(item.parsed.keys))))))
        return landed

    def _ask(self, batch: list[Item], checks: list[SignatureCheck], *, urgent: bool) -> Verify:
        self._number += 1
        self._batches[self._number] = batch
        return Verify(self._number, tuple(checks), urgent)

    def _remove(self, parsed: Parsed) -> None:
        del self._items[parsed.id]
        self._bytes -= len(parsed.raw)
        left = self._counts.pop(parsed.tx.sender) - 1
        if left:
            self._counts[parsed.tx.sender] = left
