"""Which states does a bot go through, and which steps between them are there?

One table; what is not in it cannot happen. A bot that fails while it sets up behaves never, and
tears down all the same. Pure: times come in as values. Do not add what a bot does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """Name where a bot is in its life."""

    CREATED = "created"
    SETTING_UP = "setting-up"
    RESTING = "resting"
    BEHAVING = "behaving"
    TEARING_DOWN = "tearing-down"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


STEPS: Mapping[State, frozenset[State]] = {
    State.CREATED: frozenset({State.SETTING_UP}),
    State.SETTING_UP: frozenset({State.RESTING, State.TEARING_DOWN}),
    State.RESTING: frozenset({State.BEHAVING, State.TEARING_DOWN}),
    State.BEHAVING: frozenset({State.RESTING, State.TEARING_DOWN}),
    State.TEARING_DOWN: frozenset({State.SUCCEEDED, State.FAILED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
}
"""From where to where a bot may go; the last two are for good."""

assert set(STEPS) == set(State), "each state is in the table"


class ForbiddenStepError(Exception):
    """A step that the table does not know; the bot stays where it is."""


@dataclass(slots=True)
class Life:
    """Be where one bot is; `history` lists each step with its time, in seconds of the run."""

    state: State = State.CREATED
    history: list[tuple[float, State]] = field(default_factory=list)

    def step(self, to: State, *, at_s: float) -> None:
        """Go on to another state. Raises: ForbiddenStepError, and nothing has changed."""
        if to not in STEPS[self.state]:
            raise ForbiddenStepError(f"a bot that is {self.state} is never {to} next")
        self.state = to
        self.history.append((at_s, to))
