"""Where blocks are in the log is kept in a few bytes each, for the whole chain."""

import tracemalloc

from aitbc_node.storage.offsets import Offsets

BLOCKS = 20_000
BYTES_A_BLOCK_MAX = 10
"""A number of 8 bytes, and the room that an array grows by at once."""
FAR = [
    (5, 5 + (1 << 24) - 1),
    (5, 5 + (1 << 24)),
    (1 << 33, (1 << 33) + (1 << 30)),
    ((1 << 40) - 2, (1 << 40) - 2 + (1 << 24) - 1),
    ((1 << 40) - 1, (1 << 40) - 1 + (1 << 24) - 1),
    (1 << 40, (1 << 40) + 9),
    (1 << 50, 1 << 51),
]
"""Around what fits into 8 bytes with the block's place and with the certificate's, and far off."""


def some(count: int) -> Offsets:
    """Fill as a log of so many blocks does."""
    offsets = Offsets()
    for number in range(count):
        offsets.append((1_000 * number, 1_000 * number + 700))
    return offsets


def test_pairs_come_back_in_order() -> None:
    """Each by its index, and some of them at once; where there are none, none."""
    offsets = some(5)

    assert len(offsets) == 5
    assert offsets[3] == (3_000, 3_700)
    assert list(offsets.between(1, 3)) == [(1_000, 1_700), (2_000, 2_700)]
    assert list(offsets.between(4)) == [(4_000, 4_700)]
    assert list(offsets.between(5)) == list(offsets.between(2, 2)) == []


def test_pairs_are_of_when_they_were_asked_for() -> None:
    """Who goes through the chain is not disturbed by a block that becomes final meanwhile."""
    offsets = some(2)

    pairs = offsets.between(0)
    offsets.append((2_000, 2_700))

    assert len(list(pairs)) == 2


def test_the_newest_are_dropped_and_all_forgotten() -> None:
    """A log that is made anew begins with one block, whatever there was."""
    offsets = some(5)

    offsets.drop(2)
    assert list(offsets.between(2)) == [(2_000, 2_700)]
    offsets.drop(9)
    assert not offsets

    offsets.append((1, 2))
    offsets.restart((7, 8))
    assert list(offsets.between(0)) == [(7, 8)]


def test_far_places_come_back_as_near_ones_do() -> None:
    """A certificate behind thousands of rounds in vain, and a log of more than a TiB."""
    offsets = some(2)
    for pair in FAR:
        offsets.append(pair)

    assert [offsets[2 + number] for number in range(len(FAR))] == FAR
    pairs = offsets.between(3)
    offsets.drop(len(FAR))
    assert list(pairs) == FAR[1:], "asked for before they were dropped"

    offsets.append((2_000, 2_700))
    assert list(offsets.between(2)) == [(2_000, 2_700)], "what was dropped is not found again"
    offsets.append(FAR[-1])
    offsets.restart(FAR[-2])
    assert list(offsets.between(0)) == [FAR[-2]]


def test_a_block_takes_few_bytes() -> None:
    """An hour of half-second blocks takes 58 kB: a thousandth of what a node takes."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        offsets = some(BLOCKS)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(offsets) == BLOCKS
    assert after - before < BLOCKS * BYTES_A_BLOCK_MAX
