"""Which tip is enough: nothing where blocks have room, more than the cheapest of full ones."""

from collections.abc import Sequence
from typing import Any

import pytest

from aitbc_node.ledger.params import Params
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.mempool import Entry, Mempool, PoolLimits
from aitbc_node.tipping import BLOCKS, FRESH_MS, TipPrices, Tips, price_of
from aitbc_node.types import Amount
from aitbc_sim.town import VALIDATOR_NAMES, Town, a_genesis, pay

TRANSFER_GAS = 21_000
PER_BLOCK = 2
CITIZENS = tuple(f"citizen {place}" for place in range(9))
NONE = TipPrices(slow=0, standard=0, fast=0, full=0, blocks=0)


class Scene:
    """Be a town whose blocks hold so many transactions, with a pool and advice on tips."""

    def __init__(self, *, per_block: int = PER_BLOCK) -> None:
        params = Params(max_block_txs=per_block)
        self.town = Town(a_genesis(rich=(*CITIZENS, *VALIDATOR_NAMES), params=params))
        self.pool = Mempool[Parsed](PoolLimits())
        self.heights = 0
        chain: Any = self.Now(self)
        self.tips = Tips(chain, self.pool, lambda _sender: 0)

    class Now:
        """Be as much of a chain as advice needs."""

        def __init__(self, scene: "Scene") -> None:
            self._scene = scene

        @property
        def state(self) -> Any:
            return self._scene.town.state

        @property
        def height(self) -> int:
            return self._scene.heights

    def pays(self, tip: int, citizen: str = "citizen 0") -> Parsed:
        """Sign a payment with a tip."""
        return self.town.tx(citizen, pay("alice", 1), tip=Amount(tip))

    def block(self, *tips: int) -> None:
        """Make a block final whose transactions tip so much."""
        txs = [self.pays(tip, citizen) for tip, citizen in zip(tips, CITIZENS, strict=False)]
        self.town.apply(*txs)
        self.heights += 1
        self.tips.block_is_final(txs)

    def wait(self, *tips: int) -> None:
        """Let transactions of these tips wait."""
        for place, tip in enumerate(tips):
            parsed = self.pays(tip, CITIZENS[place])
            tx = parsed.tx
            entry = Entry(parsed.id, tx.sender, 0, tx.valid_until, price_of(parsed), 1, 0, parsed)
            assert self.pool.add(entry, next_nonce=0) is None


def tips_of(found: TipPrices) -> list[int]:
    """Return what a transfer tips at each price, rounded up."""
    return [-(-TRANSFER_GAS * price // 10**6) for price in (found.slow, found.standard, found.fast)]


def test_a_chain_without_blocks_needs_no_tip() -> None:
    """Nothing is known, so nothing is asked for."""
    assert Scene().tips.prices(0) == NONE


def test_blocks_with_room_need_no_tip_whatever_is_paid_in_them() -> None:
    """Who tips without need is no example."""
    scene = Scene(per_block=3)

    scene.block(10**6)
    scene.block()

    assert scene.tips.prices(0) == TipPrices(slow=0, standard=0, fast=0, full=0, blocks=2)


def test_a_full_block_asks_for_more_than_its_cheapest_paid() -> None:
    """A tenth more than the least of it, and more than nothing where that was nothing."""
    scene = Scene()

    scene.block(0, 10**6)
    nothing = scene.tips.prices(0)
    scene.block(2_100, 10**6)
    scene.block(2_100, 10**6)

    assert (nothing.fast, tips_of(nothing)) == (1, [1, 1, 1])
    found = scene.tips.prices(0)
    assert (found.fast, tips_of(found)) == (110_001, [2_311, 2_311, 2_311])
    assert (found.full, found.blocks) == (3, 3)


def test_slow_standard_and_fast_were_enough_for_half_three_quarters_and_nine_of_ten() -> None:
    """Of the last twenty blocks; what was before is forgotten, and one dear block is no rule."""
    scene = Scene()
    for tip in (10**6, *range(1, BLOCKS), 10**6):
        scene.block(tip * 21, tip * 21)

    found = scene.tips.prices(0)

    def above(floor: int) -> int:
        return floor * 1_000 + floor * 100 + 1

    assert (found.slow, found.standard, found.fast) == (above(10), above(15), above(18))
    assert (found.full, found.blocks) == (BLOCKS, BLOCKS)


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [((), 0), ((21_000,), 0), ((42_000, 21_000), 1_100_001), ((63, 42_000, 21_000), 1_100_001)],
)
def test_what_waits_here_is_outbid_by_fast_alone(waiting: Sequence[int], expected: int) -> None:
    """The next block takes the best two; a third would have to tip more than the second."""
    scene = Scene()
    scene.block()
    scene.wait(*waiting)

    found = scene.tips.prices(0)

    assert (found.slow, found.standard, found.fast) == (0, 0, expected)


def test_what_waits_is_looked_at_once_a_second_and_height_however_many_ask() -> None:
    """Going through a pool of ten thousand costs milliseconds, and anybody may ask."""
    scene = Scene()
    before = scene.tips.prices(FRESH_MS - 1)
    scene.wait(21_000, 21_000)

    same, later = scene.tips.prices(FRESH_MS - 1), scene.tips.prices(FRESH_MS)
    scene.pool.remove(scene.pays(21_000, CITIZENS[0]).id)
    still = scene.tips.prices(FRESH_MS)
    scene.block()
    other = scene.tips.prices(FRESH_MS)

    assert [each.fast for each in (before, same, later, still)] == [0, 0, 1_100_001, 1_100_001]
    assert other.fast == 0


def test_a_block_is_full_by_gas_too() -> None:
    """Two million gas are six payments to sixty; by count there would be room for thousands."""
    scene = Scene(per_block=2_000)
    scene.town = Town(a_genesis(rich=CITIZENS, params=Params(max_block_gas=2_000_000)))
    crowd = pay("alice", 1)
    sixty = type(crowd)((*crowd.outs,) * 60)
    txs = [scene.town.tx(name, sixty, tip=Amount(316)) for name in CITIZENS[:6]]
    scene.town.apply(*txs)

    scene.tips.block_is_final(txs)

    assert scene.tips.prices(0).full == 1
