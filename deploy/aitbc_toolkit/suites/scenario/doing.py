"""What is told of a step as it begins, to people who wait for its end?

What came of it is kept elsewhere: `findings.py`. Do not print here.
"""

from collections.abc import Callable

from aitbc_toolkit.suites.scenario import conditions
from aitbc_toolkit.suites.scenario.arena import Planned
from aitbc_toolkit.suites.scenario.schema import (
    ActStep,
    EventuallyStep,
    ExpectStep,
    FaultStep,
    PauseStep,
    Step,
    SwarmStep,
    WaitEndStep,
)

Tell = Callable[[str], None]


def untold(_doing: str) -> None:
    """Tell nobody."""


def told(begun: Step, tell: Tell) -> None:
    """Tell of any step but those that say more once they know it: a fault, a condition."""
    if words := _step(begun):
        tell(words)


def breaks(planned: Planned) -> str:
    """Say what is broken, where and for how long."""
    return f"{planned.fault} {conditions.shown(planned.targets)} for {planned.lease_s:g} s"


def _step(begun: Step) -> str:
    match begun:
        case ActStep(act=name):
            return name
        case ExpectStep(during=name):
            return f"watching who makes blocks during {name}"
        case WaitEndStep(wait_end=name):
            return f"waiting: the end of {name}"
        case PauseStep(pause=length):
            return f"pause of {length}"
        case SwarmStep(lasts=length):
            return f"a swarm of faults for {length}"
        case FaultStep() | EventuallyStep():
            return ""
