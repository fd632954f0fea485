"""Which tip gets a transaction into the next blocks?

A block with room takes everybody; a full one takes those who tip most per gas. So what the cheapest
of each full block paid is remembered, and what waits here for the next one is looked at. Advice for
clients only: no block depends on anything here. Do not add the price of gas: the ledger sets it.
"""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from aitbc_node.chain import Chain
from aitbc_node.ledger.fees import PRICE_UNITS
from aitbc_node.ledger.params import BPS
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.mempool import Mempool
from aitbc_node.types import Address

BLOCKS = 20
"""So many final blocks are remembered."""

FRESH_MS = 1_000
"""For so long what waits is not looked at again, however many ask."""

_ROOM = -1
"""Stands for a block that had room: whoever came was taken."""


class TipPrices(msgspec.Struct, frozen=True, kw_only=True):
    """Tell which tip was enough lately. Units: millionths of a base unit per gas, as prices.

    0 where blocks have room. `slow` was enough for one of two of the last full blocks, `standard`
    for three of four, `fast` for nine of ten and for what waits here now. `full` of the last
    `blocks` had no room.
    """

    slow: int
    standard: int
    fast: int
    full: int
    blocks: int


def price_of(parsed: Parsed) -> int:
    """Return what a transaction tips per gas, by which those that wait are ranked."""
    return parsed.tx.tip and parsed.tx.tip * PRICE_UNITS // parsed.gas


class Tips:
    """Remember what full blocks took, and look at what waits for the next."""

    def __init__(
        self, chain: Chain, pool: Mempool[Parsed], nonce_of: Callable[[Address], int]
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._nonce_of = nonce_of
        self._floors: deque[int] = deque(maxlen=BLOCKS)
        self._waiting = _ROOM
        self._looked: tuple[int, int] | None = None

    def block_is_final(self, txs: Sequence[Parsed]) -> None:
        """Remember what the cheapest transaction of the newest block tipped, if it was full."""
        self._floors.append(self._floor(txs, gas=self._chain.state.fees.recent_gas[-1]))

    def prices(self, now_ms: int) -> TipPrices:
        """Say what is enough, as far as the last blocks and what waits here can tell."""
        floors = sorted(self._floors) or [_ROOM]
        waiting = self._floor_of_waiting(now_ms)
        return TipPrices(
            slow=_above(_of_ten_thousand(floors, 5_000)),
            standard=_above(_of_ten_thousand(floors, 7_500)),
            fast=_above(max(_of_ten_thousand(floors, 9_000), waiting)),
            full=sum(floor != _ROOM for floor in self._floors),
            blocks=len(self._floors),
        )

    def _floor_of_waiting(self, now_ms: int) -> int:
        """Return what the cheapest tips that the next block would take of what waits here."""
        asked = (self._chain.height, now_ms // FRESH_MS)
        if asked != self._looked:
            self._looked = asked
            self._waiting = self._floor(*self._next_block())
        return self._waiting

    def _next_block(self) -> tuple[list[Parsed], int]:
        """Return what the next block would take of what waits here, and the gas of that."""
        params, taken, used = self._chain.state.params, list[Parsed](), 0
        for entry in self._pool.ranked(self._nonce_of):
            gas = entry.content.gas
            if used + gas > params.max_block_gas or len(taken) == params.max_block_txs:
                break
            taken.append(entry.content)
            used += gas
        return taken, used

    def _floor(self, txs: Sequence[Parsed], gas: int) -> int:
        """Return the least tip of these if they fill a block, by what the ledger calls full."""
        params = self._chain.state.params
        rows = (
            (gas, params.max_block_gas),
            (len(txs), params.max_block_txs),
            (sum([len(parsed.raw) for parsed in txs]), params.max_block_bytes),
        )
        is_full = any(used * BPS > most * params.gas_high_bps for used, most in rows)
        return min(map(price_of, txs), default=_ROOM) if is_full else _ROOM


def _of_ten_thousand(floors: Sequence[int], share_bps: int) -> int:
    """Return what was enough for this share of the blocks. Shape: `floors` ascend."""
    return floors[-(-len(floors) * share_bps // BPS) - 1]


def _above(floor: int) -> int:
    """Return a price that goes before a floor: a tenth more, for others rise, too."""
    return 0 if floor == _ROOM else floor + floor // 10 + 1
