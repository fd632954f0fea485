"""Two samples are told apart as exactly as their number allows, and not by more."""

import random
from collections.abc import Sequence
from itertools import combinations

import pytest

from aitbc_toolkit.suites import ranking

pytestmark = pytest.mark.unit


def by_counting(first: Sequence[float], second: Sequence[float]) -> float:
    """Part the figures in every way there is, and count, as the definition says."""
    everything = [*first, *second]

    def wins(chosen: Sequence[int]) -> float:
        others = [i for i in range(len(everything)) if i not in chosen]
        pairs = [(everything[a], everything[b]) for a in chosen for b in others]
        return sum((a > b) + 0.5 * (a == b) for a, b in pairs)

    middle = len(first) * len(second) / 2
    seen = abs(wins(range(len(first))) - middle)
    every = [wins(way) for way in combinations(range(len(everything)), len(first))]
    return sum(abs(each - middle) >= seen for each in every) / len(every)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 2 / 252),  # the tables' own first row
        ([6, 7, 8, 9, 10], [1, 2, 3, 4, 5], 2 / 252),
        ([1, 3, 5, 7, 9], [2, 4, 6, 8, 10], 0.690476),
        ([1, 1, 1], [1, 1, 1], 1.0),
    ],
)
def test_known_samples_have_their_known_p(
    first: list[float], second: list[float], p: float
) -> None:
    """As in the tables of the exact test, whichever side comes first."""
    assert ranking.p_value(first, second) == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_p_is_what_counting_every_way_gives(seed: int) -> None:
    """Also with ties, and with sides of different length."""
    dice = random.Random(seed)  # noqa: S311 - repeatable figures, no secret
    first = [float(dice.randint(1, 6)) for _ in range(dice.randint(2, 5))]
    second = [float(dice.randint(1, 6)) for _ in range(dice.randint(2, 5))]

    assert ranking.p_value(first, second) == pytest.approx(by_counting(first, second))


def test_few_figures_cannot_show_much() -> None:
    """The least p of five a side is 2 in 252; the ratio is the middle of all pairs."""
    assert ranking.p_least(5) == ranking.p_value(range(5), range(5, 10))
    assert ranking.ratio([10, 20, 30], [12, 24, 36]) == 1.2
    assert ranking.ratio([0, 0], [0, 0]) == 1.0
    assert ranking.ratio([0, 0], [1, 1]) == float("inf")
