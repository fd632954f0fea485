"""How does a scenario run, on whatever mesh? Step by step, each wait with a deadline.

A deadline is stretched by progress, never by hope. What a fault must lead to follows from voting
power (`expecting`); a figure that somebody wrote down is an objective, and missing it is not the
same as standing still. Do not add how anything is broken: that is the arena's.
"""

import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property, partial

import msgspec

from aitbc_toolkit.suites.scenario import (
    acts,
    conditions,
    deciding,
    doing,
    expecting,
    figures,
    swarming,
    targets,
)
from aitbc_toolkit.suites.scenario.arena import Arena
from aitbc_toolkit.suites.scenario.desk import Desk
from aitbc_toolkit.suites.scenario.doing import Tell
from aitbc_toolkit.suites.scenario.findings import Findings
from aitbc_toolkit.suites.scenario.quantities import seconds
from aitbc_toolkit.suites.scenario.running import Running, cut_by, shut_by, under
from aitbc_toolkit.suites.scenario.schema import (
    ActStep,
    Case,
    EventuallyStep,
    ExpectStep,
    FaultStep,
    PauseStep,
    Step,
    SwarmStep,
    WaitEndStep,
)
from aitbc_toolkit.suites.scenario.wanted import Condition, HeightsAdvance
from aitbc_toolkit.suites.scenario.watching import Watch
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.suites.waiting import POLL_S, Look, wait_until

STRETCH = 5
"""How many times its deadline a wait may last while every look shows progress."""
FRESH_S = 1.0
"""How old an answer may be from which is read what a group did until now."""
MARGIN = 0.1
"""Which part of a lease, at its end, is not watched: a heal may come a moment early."""


class Engine:
    """Play one case; `findings` has what was found, also when it ended early."""

    def __init__(self, case: Case, arena: Arena, *, seed: int, tell: Tell = doing.untold) -> None:
        self.findings = Findings()
        self._case, self._arena, self._tell = case, arena, tell
        self._dice = random.Random(f"{seed} steps {case.name}")  # noqa: S311 - repeatable on purpose
        self._running: dict[str, Running] = {}
        self._until = arena.now() + seconds(case.written.budget.wall)
        self._since = arena.now()
        self._tip = 0
        self._told: list[str] = []
        self._watch = Watch(arena, self.findings, self._told)
        self._ever_hit: set[str] = set()
        self._groups: dict[str, tuple[tuple[str, ...], ...]] = {}

    def play(self) -> str:
        """Run all steps and judge the objectives; return one line for people.

        Raises: ScenarioError with the verdict.
        """
        self._require_steady()
        try:
            for step in self._case.steps:
                self._take(step)
        except ScenarioError:
            self._judge_figures()  # whatever the verdict is, they are told beside it
            raise
        finally:
            self.heal_all()
        self.findings.records.update(self._arena.measures(self.findings.hit_times))
        if missed := [figure.told for figure in self._judge_figures() if not figure.met]:
            raise ScenarioError(Verdict.OBJECTIVE, "; ".join(missed))
        return ", ".join(self._told) or "every step done"

    def _take(self, step: Step) -> None:
        doing.told(step, self._tell)
        match step:
            case FaultStep():
                self.begin(step)
            case ActStep():
                self._arena.note("act", name=step.act)
                acts.do(step, self._desk, self._aim())
                self.findings.records.update(self._desk.records)
                self.mark()
            case ExpectStep(during=name):
                self.expect(name)
            case WaitEndStep(wait_end=name):
                self.wait_end(name)
            case PauseStep(pause=length):
                self.let_pass(seconds(length))
            case SwarmStep():
                self._told.append(swarming.play(step, self, self._dice))
            case EventuallyStep(eventually=awaited):
                for condition in awaited:
                    self._watch.require_in_time(partial(self.wait_for, condition))

    def _require_steady(self) -> None:
        """See that the mesh is well before anything is broken; else nothing would be shown."""
        self.mark()
        try:
            for condition in self._case.steady:
                self.wait_for(condition)
            if self._case.acts:
                self._desk.fund(acts.people(self._case.acts))
                self.everywhere(self._desk.ledger.height())
        except ScenarioError as ended:
            if ended.verdict is not Verdict.LIVENESS:
                raise
            why = f"not steady before any fault: {ended.why}"
            raise ScenarioError(Verdict.INFRA, why) from ended

    # Faults.

    def begin(self, step: FaultStep) -> None:
        """Break what a step says, and see that it bites."""
        aim = self._aim()
        self._tip = max(self._tip, aim.sight.tip)
        planned = deciding.carried(deciding.planned(step, aim), shut_by(self._running.values()))
        blast = self._case.written.budget.blast
        deciding.require_budget(planned, blast, aim.town, hit=self._hit())
        self._ever_hit.update(planned.targets)
        self._groups[step.id] = planned.groups
        self._tell(doing.breaks(planned))
        self._arena.note("fault.begin", id=step.id, **planned.brief())
        row = {**planned.row(), "began": self._arena.moment()}
        self.findings.faults.append(row)
        stack, begun_at = ExitStack(), self._arena.now()
        try:
            bite = stack.enter_context(self._arena.injected(planned))
        except BaseException:
            row["ended"] = self._arena.moment()
            self._arena.note("fault.end", id=step.id, fault=step.fault)
            self.findings.hit_times.append((begun_at, self._arena.now()))
            raise
        running = self._running[step.id] = Running(planned, begun_at, bite, 0, row, stack)
        # From here on it is healed, whatever happens.
        row["bitten_at"] = self._arena.moment() - (self._arena.now() - bite.at)
        row["evidence"] = bite.evidence
        self._arena.note("fault.bitten", id=step.id, fault=step.fault)
        self.mark(after=bite.at)
        running.tip = self._tip

    def wait_end(self, name: str) -> None:
        """Let a lease run out, and see that nothing is left."""
        running = self._running[name]
        self.let_pass(running.ends_at - self._arena.now())
        # Recovery is counted from the first host's end, or that of a fault which ended later.
        self.mark(after=max(self._since, running.bite.ends_from))
        self.heal(name)

    def heal(self, name: str) -> None:
        """End a fault; what is left of it is added to the verdict, and changes it no other way."""
        running = self._running.pop(name)
        try:
            running.stack.close()
        except ScenarioError as left:
            if left.verdict is not Verdict.UNHEALED:
                raise
            self.findings.residues.append(left.why)
        finally:
            running.row["ended"] = self._arena.moment()
            self.findings.hit_times.append(running.lasted(self._arena.now()))
            self._arena.note("fault.end", id=name, fault=running.planned.fault)

    def heal_all(self) -> None:
        """End every fault, whatever becomes of the others."""
        with ExitStack() as rest:
            for name in self._running:
                rest.callback(self.heal, name)

    def _aim(self) -> targets.Aim:
        mesh, hit = self._arena, self._hit()
        return targets.Aim(
            mesh.town, mesh.sight(), self._dice, mesh.next_leader, hit, self._ever_hit, self._groups
        )

    def _hit(self) -> list[str]:
        return [name for each in self._running.values() for name in each.planned.targets]

    def expect(self, name: str) -> None:
        """Watch until a fault is nearly over; require what follows from voting power."""
        running = self._running[name]
        powers = self._powers()
        cut = cut_by(self._running.values())
        down = under(self._running.values(), expecting.DOWN)
        away = under(self._running.values(), expecting.AWAY)
        must = expecting.expect(powers, cut=cut, down={*down, *away})
        must_not = expecting.expect(powers, cut=cut, down=down)
        both = [each for each in self._running.values() if each is running or each.takes_part]
        began, first = self._arena.now(), self._arena.sight()
        end = min(each.ends_at - MARGIN * each.planned.lease_s for each in both)
        while self._arena.now() < end:
            self._pause(POLL_S)
        watched_s = self._arena.now() - began
        last = self._arena.sight(after=self._arena.now() - min(FRESH_S, watched_s))
        if began >= end:  # an expectation that nobody watched would hold of anything
            raise ScenarioError(Verdict.INCONCLUSIVE, f"{name} was over before it was watched")
        for group in must.progress:
            self._watch.require_progress(group, first, last, watched_s=watched_s)
        for group in must_not.still:
            self._watch.require_stillness(group, last, both)

    def _powers(self) -> Mapping[str, int]:
        """Tell who votes with which power, which in most scenarios nobody moves."""
        town, moved = self._arena.town, acts.moves_power(self._case.acts)
        return {**dict.fromkeys(town.powers, 0), **self._arena.powers()} if moved else town.powers

    def wait_for(self, condition: Condition) -> None:
        """Wait until something has come to be; keep what it took, where that is asked for."""
        awaited = self._awaited(condition)
        self._tell(f"waiting: {awaited.what}")
        self.until(awaited.what, awaited.look, within_s=awaited.within_s)
        took_s = max(0.0, awaited.came() - self._since)
        self._arena.note("step", name=awaited.what, took_s=round(took_s, 3))
        if condition.record:
            self.findings.records[condition.record] = took_s
            self._told.append(f"{condition.record} {took_s:.1f} s")

    def until(self, what: str, look: Callable[[], Look[None]], *, within_s: float) -> None:
        """Wait for something, longer while every look shows progress."""
        wait_until(
            what,
            look,
            deadline_s=within_s,
            stretch_s=STRETCH * within_s,
            clock=self._arena.now,
            pause=self._pause,
        )

    def everywhere(self, height: int) -> None:
        """Wait until every node has a block."""
        wanted, names = HeightsAdvance(by=1), list(self._arena.town.powers)
        awaited = conditions.advance(wanted, self._arena, names=names, tip=height - 1)
        self.until(awaited.what, awaited.look, within_s=awaited.within_s)

    def found(self, name: str, told: str, *, met: bool) -> None:
        """Keep a judgement of what somebody did."""
        self._watch.keep(name, told, met=met)

    @cached_property
    def _desk(self) -> Desk:
        arena = self._arena
        return Desk(arena.ledger(), arena.deployer(), self, list(arena.town.powers), self._dice)

    def _awaited(self, condition: Condition) -> conditions.Awaited:
        return conditions.awaited(
            condition,
            self._arena,
            names=lambda words: targets.chosen(words, self._aim()),
            tip=self._tip,
            since=self._since,
        )

    def mark(self, *, after: float = 0.0) -> None:
        """Begin to count anew: blocks from the tip as it is, seconds from now or that moment."""
        self._since = after or self._arena.now()
        # When all are silent, what they had told before is still final.
        self._tip = max(self._tip, self._arena.sight(after=self._since).tip)

    def now(self) -> float:
        """Return the seconds of the mesh's clock."""
        return self._arena.now()

    def let_pass(self, length_s: float) -> None:
        """Let time pass. Raises: ScenarioError as soon as anything unsafe was seen."""
        until = self._arena.now() + length_s
        while (left := until - self._arena.now()) > 0:
            self._pause(min(left, POLL_S))

    def lasting(self) -> list[tuple[str, float]]:
        """Name the faults that last, with the moments when they end."""
        return [(name, each.ends_at) for name, each in self._running.items()]

    def _pause(self, wait_s: float) -> None:
        self._arena.pause(wait_s)
        if self._arena.now() > self._until:
            wall = self._case.written.budget.wall
            raise ScenarioError(Verdict.INCONCLUSIVE, f"not done within its budget of {wall}")

    def _judge_figures(self) -> list[figures.Figure]:
        judged = list(figures.judge(self._case, self.findings.records))
        self.findings.objectives += [msgspec.structs.asdict(figure) for figure in judged]
        return judged
