"""How does a suite wait? For a condition, with a deadline, and it says what it saw last.

The only place of the suites that sleeps. A deadline that progress may stretch is still bounded, so
that a mesh which crawls for ever is not taken for one that works.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

POLL_S = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look(Generic[T]):
    """Hold what one look saw; `shown` is what a person would be told."""

    done: bool
    value: T
    shown: str


def wait_until(
    what: str,
    look: Callable[[], Look[T]],
    *,
    deadline_s: float,
    stretch_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """Look again and again until it is done; each change starts the deadline anew.

    Raises: ScenarioError (liveness) when the deadline passes, or when all of it and the stretch do.
    """
    began = clock()
    until = began + deadline_s
    last = look()
    while not last.done:
        if clock() >= until:
            waited = clock() - began
            why = f"{what}: not within {waited:.1f} s; last seen: {last.shown}"
            raise ScenarioError(Verdict.LIVENESS, why)
        pause(POLL_S)
        seen = look()
        if seen.shown != last.shown:
            until = min(clock() + deadline_s, began + deadline_s + stretch_s)
        last = seen
    return last.value
