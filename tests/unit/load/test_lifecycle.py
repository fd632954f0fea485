"""A bot goes from state to state as the table says, and in no other way."""

from itertools import pairwise, product

import pytest

from aitbc_load.lifecycle import STEPS, ForbiddenStepError, Life, State

ALLOWED = {
    ("created", "setting-up"),
    ("setting-up", "resting"),
    ("setting-up", "tearing-down"),
    ("resting", "behaving"),
    ("resting", "tearing-down"),
    ("behaving", "resting"),
    ("behaving", "tearing-down"),
    ("tearing-down", "succeeded"),
    ("tearing-down", "failed"),
}


@pytest.mark.proves("B6")
@pytest.mark.parametrize(("before", "after"), [*product(State, State)])
def test_each_of_the_49_steps_is_allowed_or_refused(before: State, after: State) -> None:
    """Only those of the table pass; a refused one changes neither state nor history."""
    life = Life(before)

    if (before, after) in ALLOWED:
        life.step(after, at_s=1.5)
        assert (life.state, life.history) == (after, [(1.5, after)])
    else:
        with pytest.raises(ForbiddenStepError, match=f"is {before} is never {after}"):
            life.step(after, at_s=1.5)
        assert (life.state, life.history) == (before, [])


@pytest.mark.proves("B6")
def test_a_history_lists_every_step_with_its_time() -> None:
    """In order, from the first to the end, from which nothing leads on."""
    life = Life()
    path = [State.SETTING_UP, State.RESTING, State.BEHAVING, State.RESTING, State.TEARING_DOWN]

    for at_s, state in enumerate([*path, State.FAILED]):
        life.step(state, at_s=at_s)

    assert life.history == list(enumerate([*path, State.FAILED]))
    assert all(after in STEPS[before] for before, after in pairwise(path))
    assert not STEPS[life.state]
