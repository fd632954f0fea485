"""A schedule asks for what was asked, evenly."""

from hypothesis import given
from hypothesis import strategies as st

from aitbc_load.arrivals import Arrivals, Course


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


@given(st.floats(0, 500), st.floats(1, 500), st.floats(0.1, 60), st.floats(0, 60))
def test_a_ramp_is_reached_in_its_time(
    before: float, rate: float, ramp_s: float, even_s: float
) -> None:
    """Due times only grow, and as many are due by each of them as came before it."""
    arrivals = Arrivals(rate, ramp_s + even_s, 1, before, ramp_s)
    dues = [arrivals.due_s(number) for number in range(min(arrivals.count, 500))]

    assert dues == sorted(dues)
    for number, due_s in enumerate(dues):
        if due_s < arrivals.for_s:
            assert abs(arrivals.due_by(due_s) - number) < 1e-6 * (1 + number)


def test_phases_follow_each_other_by_the_clock() -> None:
    """Each begins when it must, with all that it asks, whatever its rate."""
    course = Course([Arrivals(10, 2, 5), Arrivals(50, 1, 5, 10, 1), Arrivals(5, 2, 5)])

    assert (course.count, course.asked) == (4 + 6 + 2, 60)
    assert [course.due_s(number) for number in (0, 3, 4, 10, 11)] == [0, 1.5, 2, 3, 4]
    assert [course.due_by(at_s) for at_s in (0, 1, 2, 3, 5, 99)] == [0, 10, 20, 50, 60, 60]
    assert [course.phase_at(at_s) for at_s in (0, 1.99, 2, 3, 99)] == [0, 0, 1, 2, 2]
