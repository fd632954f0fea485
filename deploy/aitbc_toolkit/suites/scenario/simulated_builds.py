"""How do builds come to nodes of a simulated mesh? Each is ended, and comes back with another one.

What a build is, is which rules it knows: the newer one knows one more. Do not add what the real
deployer does around it.
"""

from collections.abc import Sequence
from functools import partial

from aitbc_sim.staged import Staged
from aitbc_toolkit.suites.scenario.clock import Clock
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.suites.waiting import Look

SWITCH_S = 1.0
"""How long a node is away while its build is switched."""
FAILS_S = 3.0
"""How long it is away while a build that does not work is found out, and taken back."""
BACK_S = 60.0
VOTED = 2
"""Blocks behind its return by which a node votes again, as the gates of a deploy want it."""


class SimDeployer:
    """Bring builds to nodes of a simulated mesh."""

    def __init__(self, world: Staged, names: Sequence[str]) -> None:
        self._world = world
        self._places = {name: index for index, name in enumerate(names)}

    def upgrade(self, names: Sequence[str], clock: Clock) -> str:
        """Bring to each node a build that knows one more set of rules."""
        self._switch(names, clock, more=1)
        return f"{len(names)} nodes"

    def rollback(self, names: Sequence[str], clock: Clock) -> str:
        """Bring back to each node the build that it had."""
        self._switch(names, clock, more=-1)
        return f"{len(names)} nodes"

    def fail(self, names: Sequence[str], clock: Clock) -> str:
        """Let the first node be away until the build that it had is back."""
        self._switch(names[:1], clock, more=0, away_s=FAILS_S)
        return names[0]

    def rotate(self, names: Sequence[str], clock: Clock) -> str:
        """Refuse: a simulated node has one key for all its life."""
        del clock
        raise ScenarioError(Verdict.INVALID, f"the simulator rotates no key of {' '.join(names)}")

    def _switch(
        self, names: Sequence[str], clock: Clock, *, more: int, away_s: float = SWITCH_S
    ) -> None:
        for name in names:
            index = self._places[name]
            self._world.kill(index, power=False)
            self._world.teach(index, more)
            clock.let_pass(away_s)
            self._world.revive(index)
            look = partial(self._look, index, self._tip() + VOTED)
            clock.until(f"{name} follows", look, within_s=BACK_S)

    def _look(self, index: int, least: int) -> Look[None]:
        """See whether a node has blocks that were made since it is back, and the tip."""
        own, tip = self._world.height(index), self._tip()
        return Look(own is not None and own >= max(least, tip - 1), None, f"height {own} of {tip}")

    def _tip(self) -> int:
        first = self._world.first()
        return 0 if first is None else first.view.height
