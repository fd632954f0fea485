"""A certificate's bounds and its median, to the last value that is still right."""

import pytest
from msgspec.structs import replace

from aitbc_node.blocks import Certificate, CommitVote
from aitbc_node.certificates import fault_of, median_time_ms
from aitbc_node.limits import INT_MAX
from aitbc_node.types import BlockId, Height, Round, Signature
from aitbc_sim.testing import CHAIN_ID, a_set, a_value

V = a_value("v")


def a_certificate(*times_ms: int, round_: int = 0) -> Certificate:
    """Let the first validators vote at these times."""
    votes = tuple(
        CommitVote(place, time_ms, Signature(b"taken for good"))
        for place, time_ms in enumerate(times_ms)
    )
    return Certificate(Height(1), Round(round_), V, votes)


def fault(certificate: Certificate, *, block_id: BlockId = V) -> str:
    """Judge a certificate of four equal validators, all signatures taken for good."""
    return fault_of(
        certificate,
        chain_id=CHAIN_ID,
        height=Height(1),
        block_id=block_id,
        validators=a_set((1, 1, 1, 1)),
        verify=lambda _key, _message, _signature: True,
    )


@pytest.mark.parametrize(("value", "good"), [(0, True), (INT_MAX, True), (INT_MAX + 1, False)])
def test_rounds_and_times_are_bounded_on_both_sides(value: int, *, good: bool) -> None:
    """The first and the last value count; what no honest node can write does not."""
    assert (fault(a_certificate(5, 5, 5, round_=value)) == "") is good
    assert (fault(a_certificate(5, value, 5)) == "") is good


def test_a_faulty_certificate_is_told_from_each_other_fault() -> None:
    """Block, round, voters, times and power: each has words of its own."""
    good = a_certificate(1, 2, 3)

    said = [
        fault(good, block_id=a_value("w")),
        fault(replace(good, round=Round(-1))),
        fault(replace(good, votes=good.votes[::-1])),
        fault(a_certificate(1, -1, 3)),
        fault(a_certificate(1, 2)),
    ]

    assert fault(good) == ""
    assert len(set(said)) == len(said)
    assert all(words.startswith("a certificate") for words in said)


@pytest.mark.parametrize(
    ("powers", "times_ms", "median"),
    [
        ((1, 1), (10, 20), 10),
        ((1, 1, 1), (30, 10, 20), 20),
        ((1, 1, 1, 1), (10, 20, 30, 40), 20),
        ((1, 3), (10, 20), 20),
        ((3, 1), (10, 20), 10),
        ((2, 1, 1), (30, 10, 20), 20),
    ],
)
def test_half_of_the_power_is_enough_for_the_median(
    powers: tuple[int, ...], times_ms: tuple[int, ...], median: int
) -> None:
    """Of an even number the earlier of the two in the middle; heavier votes count for more."""
    assert median_time_ms(a_certificate(*times_ms), a_set(powers)) == median
