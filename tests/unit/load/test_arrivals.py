"""A schedule asks for what was asked, evenly."""

from hypothesis import given
from hypothesis import strategies as st

from aitbc_load.arrivals import Arrivals


@given(st.floats(0.5, 5_000), st.floats(1, 600), st.sampled_from([1, 50]))
def test_the_schedule_is_even_and_whole(rate: float, for_s: float, batch: int) -> None:
    """The last hand-in is due before the end, the next one would be after it, to half a step."""
    arrivals = Arrivals(rate, for_s, batch)
    step = batch / rate

    assert arrivals.asked == arrivals.count * batch
    assert arrivals.due_s(0) == 0
    if arrivals.count > 1:
        assert arrivals.due_s(arrivals.count - 1) < for_s + step / 2
        assert arrivals.due_s(arrivals.count) > for_s - step
