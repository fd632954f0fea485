"""What is known of a fault while it lasts?

Do not begin or end one here: `engine.py`.
"""

from collections.abc import Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from aitbc_toolkit.suites.scenario import expecting
from aitbc_toolkit.suites.scenario.arena import Bite, Planned


@dataclass(slots=True)
class Running:
    """Hold a fault that was begun, until it is healed."""

    planned: Planned
    begun_at: float
    bite: Bite
    tip: int
    row: dict[str, object]
    stack: ExitStack

    @property
    def ends_at(self) -> float:
        """Return when it ends, at the latest."""
        return self.bite.ends_at

    @property
    def surely_until(self) -> float:
        """Return until when it has lasted at least, whenever its hosts began to count."""
        return self.begun_at + self.planned.lease_s

    def lasted(self, now: float) -> tuple[float, float]:
        """Tell from when to when it bit, once it is over."""
        return self.bite.at, min(now, self.ends_at)

    @property
    def cut(self) -> frozenset[expecting.Edge]:
        """Return the ways that carry nothing at all; what is only slow is not among them."""
        whole = self.planned.fault == "net.cut" and not self.planned.parameters
        return self.planned.edges if whole else frozenset()

    @property
    def shut(self) -> frozenset[expecting.Edge]:
        """Return the ways on which no packet gets as far as another fault's rules."""
        return self.planned.edges if self.planned.fault == "net.reset" else self.cut

    @property
    def takes_part(self) -> bool:
        """Tell whether anything is expected because of it."""
        return bool(self.cut) or self.planned.fault in expecting.DOWN | expecting.AWAY


def under(faults: Iterable[Running], kinds: Collection[str]) -> set[str]:
    """Name whom faults of these kinds hit."""
    return {name for each in faults if each.planned.fault in kinds for name in each.planned.targets}


def shut_by(faults: Iterable[Running]) -> frozenset[expecting.Edge]:
    """Name the ways on which nothing is left for another fault to meet."""
    return frozenset[expecting.Edge]().union(*(each.shut for each in faults))


def cut_by(faults: Iterable[Running]) -> frozenset[expecting.Edge]:
    """Name the ways on which these faults let nothing through."""
    return frozenset[expecting.Edge]().union(*(each.cut for each in faults))
