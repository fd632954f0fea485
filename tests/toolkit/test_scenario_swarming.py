"""Faults that come one upon the other, and the figures of what was seen meanwhile."""

import random
from itertools import islice

import pytest

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.faults import TooLate
from aitbc_toolkit.suites.scenario import deciding, swarming
from aitbc_toolkit.suites.scenario.arena import Planned
from aitbc_toolkit.suites.scenario.measuring import measured
from aitbc_toolkit.suites.scenario.quantities import seconds
from aitbc_toolkit.suites.scenario.schema import FaultStep, SwarmStep
from aitbc_toolkit.suites.scenario.wanted import Condition
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

STEP = SwarmStep(swarm=["net.cut", "proc.kill"], lasts="5m", lease=("4s", "15s"), rest=("1s", "8s"))


def drawn(seed: int) -> list[swarming.Act]:
    """Draw the first faults of a seed."""
    return list(islice(swarming.acts(STEP, random.Random(seed)), 50))  # noqa: S311 - repeatable on purpose


def test_a_seed_draws_the_same_swarm_again() -> None:
    """Kinds, leases and pauses are those of the seed, and within what the file says."""
    acts = drawn(3)

    assert acts == drawn(3) != drawn(4)
    assert {act.fault.fault for act in acts} == set(STEP.swarm)
    assert all(4 <= seconds(act.fault.lease) <= 15 and 1 <= act.rest_s <= 8 for act in acts)
    cuts = [act.fault for act in acts if act.fault.fault == "net.cut"]
    assert all(cut.between is not None and cut.on is None for cut in cuts)
    assert len({act.fault.id for act in acts}) == len(acts)


class Idle:
    """Be a mesh on which time passes, and nothing can be begun before the end."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> float:
        return self.passed_s

    def let_pass(self, length_s: float) -> None:
        self.passed_s += length_s

    def lasting(self) -> list[tuple[str, float]]:
        return []


def test_a_swarm_that_broke_nothing_shows_nothing() -> None:
    """Its pauses were longer than itself: that the mesh bore it is no pass."""
    step = SwarmStep(swarm=["proc.kill"], lasts="2s", lease=("4s", "5s"), rest=("3s", "8s"))

    with pytest.raises(ScenarioError, match="no fault was begun in 2s") as ended:
        swarming.play(step, Idle(), random.Random(1))  # type: ignore[arg-type]  # noqa: S311 - as above

    assert ended.value.verdict is Verdict.INVALID


class Busy(Idle):
    """Be a mesh on a machine where so many in ten faults are over before their hosts look."""

    def __init__(self, late_in_ten: int) -> None:
        super().__init__()
        self.late_in_ten, self.begun = late_in_ten, 0
        self.marks, self.late = 0, 0

    def begin(self, step: FaultStep) -> None:
        self.begun += 1
        if self.begun % 10 < self.late_in_ten:
            self.late += 1
            raise TooLate(f"{step.id} was over before it was proved")

    def mark(self) -> None:
        self.marks += 1

    def wait_for(self, condition: Condition) -> None:
        del condition


@pytest.mark.parametrize("late_in_ten", [0, 1])
def test_a_swarm_bears_a_fault_that_was_over_too_soon(late_in_ten: int) -> None:
    """An hour must not end for one slow look; how many there were is told."""
    busy = Busy(late_in_ten)

    told = swarming.play(STEP, busy, random.Random(1))  # type: ignore[arg-type]  # noqa: S311 - as above

    assert busy.begun > 20
    assert busy.marks == busy.late  # blocks of before the heal are not those that come after it
    assert ("over before they were proved" in told) == bool(late_in_ten)


def test_a_swarm_most_of_which_was_over_too_soon_shows_nothing() -> None:
    """Nobody knows what the mesh has borne."""
    with pytest.raises(ScenarioError, match="over before they were proved") as ended:
        swarming.play(STEP, Busy(6), random.Random(1))  # type: ignore[arg-type]  # noqa: S311 - as above

    assert ended.value.verdict is Verdict.INVALID


class Particular(Busy):
    """Be a mesh whose hosts refuse a second fault upon one that lasts, or any at all."""

    def __init__(self, *, lasts: bool) -> None:
        super().__init__(0)
        self.refused, self._lasts = 0, lasts
        self._until: dict[str, float] = {}

    def begin(self, step: FaultStep) -> None:
        if self._until or not self._lasts:
            self.refused += 1
            raise AitbcError("two rates on one link", exit_status=Exit.REFUSED)
        super().begin(step)
        self._until[step.id] = self.now() + seconds(step.lease)

    def lasting(self) -> list[tuple[str, float]]:
        return list(self._until.items())

    def wait_end(self, name: str) -> None:
        del self._until[name]


def test_a_swarm_draws_again_what_cannot_come_upon_what_lasts() -> None:
    """A refusal changes nothing on any host: an hour does not end for it, and it is told."""
    particular = Particular(lasts=True)

    told = swarming.play(STEP, particular, random.Random(1))  # type: ignore[arg-type]  # noqa: S311 - as above

    assert particular.begun > 5
    assert told == f"{particular.begun} faults, {particular.refused} refused upon others"


def test_what_is_refused_though_nothing_lasts_ends_a_swarm() -> None:
    """The mesh cannot be given it at all: what goes on without it would show less than it says."""
    with pytest.raises(AitbcError, match="two rates"):
        swarming.play(STEP, Particular(lasts=False), random.Random(1))  # type: ignore[arg-type]  # noqa: S311 - as above


def test_a_loss_is_not_asked_of_a_way_whose_way_back_is_shut() -> None:
    """No answer of a probe arrives there, so that nothing could show that it bites."""
    ways = frozenset({("v1", "v2"), ("v2", "v1"), ("v1", "v3")})
    loss = Planned(id="x", fault="net.loss", targets=("v1",), edges=ways, lease_s=5.0)

    left = deciding.carried(loss, frozenset({("v1", "v2")}))

    assert left.edges == {("v1", "v3")}


def test_figures_are_those_of_the_late_and_of_the_gaps() -> None:
    """How long behind the first the others had a block, and how long behind it the next came."""
    arrived = {
        1: {"v1": 10.0, "v2": 10.5},
        2: {"v1": 11.0, "v2": 11.5},
        3: {"v1": 13.0, "v2": 13.5},
    }

    assert measured(arrived) == {
        "arrival_p95": 0.5,
        "interval_p95": pytest.approx(1.95),
        "interval_max": 2.0,
    }
    assert measured({1: {"v1": 1.0}}) == {}
