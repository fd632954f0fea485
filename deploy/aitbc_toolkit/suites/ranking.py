"""Do two small samples differ by more than chance, and by how much? Exact, and of no shape.

The test of Mann and Whitney counts in how many of all ways to part the figures the ranks differ as
much as they do; ties share the middle of their ranks. Pure. Do not add what a figure means.

Source: Mann and Whitney, 1947; for the shift Hodges and Lehmann, 1963, as a ratio.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import product
from math import comb
from statistics import median


def p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Return how often chance alone parts the ranks as much, either way."""
    ranks = _ranks((*first, *second))
    middle = len(first) * (len(ranks) + 1)
    apart = abs(sum(ranks[: len(first)]) - middle)
    ways = _sums(ranks, len(first))
    as_far = sum(count for total, count in ways.items() if abs(total - middle) >= apart)
    return as_far / comb(len(ranks), len(first))


def p_least(count: int) -> float:
    """Return the least that so many figures a side can show: all of one above all others."""
    return 2 / comb(2 * count, count)


def ratio(first: Sequence[float], second: Sequence[float]) -> float:
    """Return how many times the first the second is: the middle of all pairs.

    Where both are nothing it is 1; where only the first is, it is without bound.
    """
    return median(_times(a, b) for a, b in product(first, second))


def _times(first: float, second: float) -> float:
    if first == second:
        return 1.0
    return second / first if first else float("inf")


def _ranks(figures: Sequence[float]) -> list[int]:
    """Return twice the rank of each, so that the middle of two ranks is a whole number."""
    ordered = sorted(figures)
    counts = Counter(ordered)
    return [2 * ordered.index(each) + counts[each] + 1 for each in figures]


def _sums(ranks: Sequence[int], size: int) -> Counter[int]:
    """Count the ways to choose so many of the ranks, by what they add up to."""
    ways: list[Counter[int]] = [Counter() for _ in range(size + 1)]
    ways[0][0] = 1
    for rank in ranks:
        for chosen in range(size, 0, -1):
            for total, count in ways[chosen - 1].items():
                ways[chosen][total + rank] += count
    return ways[size]
