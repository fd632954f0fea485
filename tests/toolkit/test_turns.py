"""Whose turn it is to be asked, when some do not answer."""

from aitbc_toolkit.turns import REST_MAX_S, REST_S, Turns


class Clock:
    """Stand still until a test lets time pass."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_those_that_answer_take_turns() -> None:
    """Each is first as often as the others."""
    turns = Turns(["a", "b", "c"])

    assert ["".join(turns.order()) for _ in range(4)] == ["abc", "bca", "cab", "abc"]


def test_one_that_failed_is_last_for_a_while_and_then_tried_again() -> None:
    """It rests, is probed, and rests twice as long when that fails; an answer ends it."""
    clock = Clock()
    turns = Turns(["a", "b"], clock=clock)

    turns.failed("a")
    turns.failed("a")  # nobody else was left, which does not make it worse
    assert [turns.order()[0] for _ in range(4)] == ["b"] * 4
    clock.now_s += REST_S
    assert {turns.order()[0] for _ in range(2)} == {"a", "b"}

    turns.failed("a")
    clock.now_s += REST_S
    assert [turns.order()[0] for _ in range(2)] == ["b"] * 2
    turns.answered("a")
    assert {turns.order()[0] for _ in range(2)} == {"a", "b"}


def test_a_rest_is_as_long_as_was_asked_for_and_bounded() -> None:
    """Who asks for more time gets it, nobody is forgotten for ever."""
    clock = Clock()
    turns = Turns(["a", "b"], clock=clock)

    turns.failed("a", wait_s=10)
    clock.now_s += 9
    assert [turns.order()[0] for _ in range(2)] == ["b"] * 2
    clock.now_s += 1
    turns.failed("a", wait_s=1_000_000)
    clock.now_s += REST_MAX_S

    assert {turns.order()[0] for _ in range(2)} == {"a", "b"}


def test_all_at_rest_are_asked_all_the_same() -> None:
    """A mesh of which nobody answered a moment ago is no reason to ask nobody."""
    turns = Turns(["a", "b"])
    turns.failed("a")
    turns.failed("b")

    assert sorted(turns.order()) == ["a", "b"]
