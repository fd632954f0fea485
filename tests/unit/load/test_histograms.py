"""Latencies add up exactly and are right to 0.2 %."""

import math

from hypothesis import given
from hypothesis import strategies as st

from aitbc_load.histograms import HIGHEST_US, Latencies

LATENCIES = st.lists(st.integers(0, HIGHEST_US), min_size=1, max_size=60)
PERCENTS = st.sampled_from([0.1, 1, 50, 90, 95, 99, 99.9, 100])


def counted(values: list[int]) -> Latencies:
    """Count each of these."""
    found = Latencies()
    for value in values:
        found.record_us(value)
    return found


def nearest_rank(values: list[int], percent: float) -> int:
    """Find a percentile by its definition."""
    return sorted(values)[max(1, math.ceil(round(percent * len(values) / 100, 9))) - 1]


@given(LATENCIES, PERCENTS)
def test_a_percentile_is_right_to_two_parts_in_a_thousand(
    values: list[int], percent: float
) -> None:
    """Whatever was counted, the nearest rank is found, to 0.2 %."""
    found = counted(values).percentile_us(percent)

    assert found is not None
    assert abs(found - nearest_rank(values, percent)) <= 0.002 * nearest_rank(values, percent)


@given(st.lists(LATENCIES, min_size=1, max_size=5), PERCENTS)
def test_what_workers_counted_adds_up_as_if_one_had(parts: list[list[int]], percent: float) -> None:
    """Merged after a way over the wire: every count is there, and no percentile moved."""
    merged = Latencies()
    for part in parts:
        merged.merge(Latencies.from_wire(counted(part).to_wire()))
    alone = counted([value for part in parts for value in part])

    assert merged.count == alone.count == sum(map(len, parts))
    assert merged.percentile_us(percent) == alone.percentile_us(percent)


@given(LATENCIES)
def test_what_crosses_the_wire_is_the_same(values: list[int]) -> None:
    """Written and read again, nothing of it differs."""
    before = counted(values)
    after = Latencies.from_wire(before.to_wire())

    assert after.percentiles_ms() == before.percentiles_ms()
    assert (after.count, after.mean_ms) == (before.count, before.mean_ms)


def test_less_than_a_millisecond_is_not_nothing() -> None:
    """0.4 ms is told as 0.4 ms."""
    assert counted([400, 410, 420]).percentiles_ms((50, 100)) == {"p50": 0.41, "p100": 0.42}


def test_what_is_out_of_bounds_is_counted_all_the_same() -> None:
    """More than an hour is an hour, before its time is no time: none is left out."""
    found = counted([-5, HIGHEST_US * 9])

    assert found.count == 2
    assert (found.percentile_us(1), found.percentile_us(100)) == (0, HIGHEST_US)


def test_nothing_has_no_percentiles() -> None:
    """No figure is made up where none was measured, and nothing adds nothing."""
    found = Latencies()
    found.merge(Latencies.from_wire(Latencies().to_wire()))

    assert (found.count, found.percentile_us(99), found.mean_ms) == (0, None, None)
    assert set(found.percentiles_ms().values()) == {None}


def test_many_that_are_alike_are_counted_at_once() -> None:
    """A batch has one latency and counts as its transactions."""
    found = Latencies()
    found.record_us(1_000, count=50)

    assert (found.count, found.percentile_us(50)) == (50, 1_000)
