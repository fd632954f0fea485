"""Did a group of nodes do what follows from its voting power, while it was watched?

Do not decide who must do what: `expecting.py`.
"""

from collections.abc import Callable, Sequence

from aitbc_toolkit.suites.scenario import conditions
from aitbc_toolkit.suites.scenario.arena import Arena, Sight
from aitbc_toolkit.suites.scenario.findings import Findings
from aitbc_toolkit.suites.scenario.running import Running
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

IN_FLIGHT = 1
"""How many blocks were decided when a cut came, and are told to a group behind it."""


class Watch:
    """Judge groups, and keep what was found."""

    def __init__(self, arena: Arena, findings: Findings, told: list[str]) -> None:
        self._arena = arena
        self._findings = findings
        self._told = told

    def require_progress(
        self, group: frozenset[str], first: Sight, last: Sight, *, watched_s: float
    ) -> None:
        """Require a block in so many intervals and time-outs as there are proposers away."""
        town = self._arena.town
        away = sum(name not in group for name in town.validators)
        each_s = 3 * town.interval_s + (1 + away) * town.round_timeout_s
        least = int(watched_s / each_s)
        # Who is silent by now has taken back nothing.
        made = max(0, last.top_of(group) - first.top_of(group))
        told = f"{conditions.shown(group)} {made} blocks in {watched_s:.0f} s"
        if group.isdisjoint(last.heights):
            told += ", and nobody of them answers any more"
        conditions.require_heard(group, first)
        if least <= made <= IN_FLIGHT:  # as many were decided before, perhaps
            why = f"{told}, too short to expect any new one: one may take {each_s:.1f} s"
            raise ScenarioError(Verdict.INCONCLUSIVE, why)
        self.keep("progress", told, met=made >= least)
        if made < least:
            raise ScenarioError(Verdict.LIVENESS, f"{told}, at least {least} expected")

    def require_stillness(
        self, group: frozenset[str], last: Sight, faults: Sequence[Running]
    ) -> None:
        """Require no block of a group without a quorum but what was decided before it was one."""
        tip = max(each.tip for each in faults)
        made = max(0, last.top_of(group) - tip)
        told = f"{conditions.shown(group)} {made} blocks"
        conditions.require_heard(group, last)
        self.keep("stillness", told, met=made <= IN_FLIGHT)
        if made > IN_FLIGHT:
            aim = tip + IN_FLIGHT + 1
            high = [name for name in group if last.heights.get(name, 0) >= aim]
            surely_until = min(each.surely_until for each in faults)
            if min(self._arena.reached(name, aim) for name in high) > surely_until:
                raise ScenarioError(Verdict.INCONCLUSIVE, f"{told}, perhaps behind the fault")
            raise ScenarioError(Verdict.SAFETY, f"{told} without a quorum")

    def require_in_time(self, wait: Callable[[], None]) -> None:
        """Wait for something; that it did not come in time is a judgement, as any other."""
        try:
            wait()
        except ScenarioError as late:
            if late.verdict is Verdict.LIVENESS:
                self.keep("in time", late.why, met=False)
            raise

    def keep(self, name: str, told: str, *, met: bool) -> None:
        """Keep a judgement with what was seen."""
        outcome = "held" if met else "broken"
        self._told.append(told)
        self._findings.checks.append({"name": name, "outcome": outcome, "detail": told})
        self._arena.note("check", name=name, outcome=outcome, detail=told)
