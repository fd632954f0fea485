"""How do nodes change from one release to another, wave by wave, and all back when one fails?

Used by deploys and rollbacks alike. What to change and in which order was decided before; what is
told to the operator at the end is decided after.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import gates
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.progress import Tell
from aitbc_toolkit.release.reading import Mesh, Pace, tip
from aitbc_toolkit.release.turns import has_time
from aitbc_toolkit.release.waves import Plan

Place = tuple[str, str]
"""A release of one node: commit and configuration hash; two empty texts for none."""

NOTHING: Place = ("", "")

_GATE_S = 20.0
_GATE_INTERVALS = 20
# Two rounds that fail take up to 8 s with the default time-outs.
_STALL_S = 10.0
_STALL_INTERVALS = 4


@dataclass(frozen=True, slots=True)
class Run:
    """Hold what every part of one run works with."""

    environment: Environment
    crew: Crew
    mesh: Mesh
    tell: Tell


@dataclass(slots=True)
class Rolled:
    """Collect what happened: which nodes changed, what failed, and what was undone."""

    switched: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    wave: int = 0
    stranded: dict[str, str] = field(default_factory=dict)
    restart_ms: list[int] = field(default_factory=list)
    first_height: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def ok(self) -> bool:
        """Tell whether every wave passed."""
        return not self.failed

    def floor_ms(self, interval_ms: int) -> int:
        """Give the least time that these waves could take: each restarts, then votes."""
        return sum(self.restart_ms) + len(self.restart_ms) * gates.HEIGHTS * interval_ms


def roll(
    run: Run,
    plan: Plan,
    targets: Mapping[str, Place],
    before: Mapping[str, Place],
    rolled: Rolled,
) -> None:
    """Switch wave after wave, each through its gate; at the first failure return all nodes.

    What happens is kept in `rolled` as it happens, so that an interrupted run can tell.
    """
    rolled.first_height = tip(run.mesh.statuses())
    left = list(plan.waves)
    for number in range(1, len(plan.waves) + 1):
        wave = _next(run, left, plan)
        rolled.wave = number
        rolled.switched += wave
        place = f"wave {number}/{len(plan.waves)}"
        rolled.failed = _switch(run, wave, targets, rolled=rolled, place=place)
        if rolled.failed:
            rolled.stranded = give_back(run, rolled, before, at_once=len(plan.waves) == 1)
            break


def _next(run: Run, left: list[tuple[str, ...]], plan: Plan) -> tuple[str, ...]:
    """Take the next wave: in the plan's order, but of single validators the one that can wait."""
    wave = left[0]
    if wave[0] in plan.by_turn:
        wave = (has_time(run.mesh, [each[0] for each in left]),)
    left.remove(wave)
    return wave


def measure(run: Run, rolled: Rolled) -> Pace | None:
    """Measure the blocks since the run began; nothing when there was no chain before it."""
    if rolled.first_height == 0:
        return None
    return run.mesh.pace(rolled.first_height, tip(run.mesh.statuses()))


def gate_limits(environment: Environment, *, live: bool) -> gates.Limits:
    """Give a node as long as a start and a bad run of rounds may take, a live mesh less."""
    interval_s = environment.chain.block_interval_ms / 1000
    stall_s = _STALL_S + _STALL_INTERVALS * interval_s if live else math.inf
    return gates.Limits(_GATE_S + _GATE_INTERVALS * interval_s, stall_s)


def _switch(
    run: Run, wave: Sequence[str], targets: Mapping[str, Place], *, rolled: Rolled, place: str
) -> dict[str, str]:
    """Take one wave to its targets and through the gate; return who failed and why."""
    names = " ".join(wave)
    commit = targets[wave[0]][0]
    fields = {"type": "wave", "nodes": list(wave), "place": place}
    run.tell({**fields, "state": "begin", "text": f"{place} {names} restart {commit[:12]}"})
    began = time.monotonic()
    rows = run.crew.switch({name: targets[name] for name in wave})
    failed = {
        name: row.error
        for row in rows.values()
        if not row.ok
        for name in wave
        if run.environment.instance(name).host == row.host
    }
    if not failed:
        verdict = gates.pass_gate(
            run.mesh,
            wave,
            watch=run.crew.watch,
            limits=gate_limits(run.environment, live=rolled.first_height > 0),
        )
        failed = dict(verdict.failed)
        commanded = max(int(row.answer["restart_ms"]) for row in rows.values())
        rolled.restart_ms.append(commanded + max(verdict.restart_ms.values()))
    took_s = round(time.monotonic() - began, 3)
    state = "failed" if failed else "done"
    votes = any(run.environment.instance(name).role == "validator" for name in wave)
    passed = f"ok voted in {gates.HEIGHTS} heights" if votes else "ok at the tip"
    text = f"{place} {names} " + ("failed" if failed else passed)
    run.tell({**fields, "state": state, "text": text, "took_s": took_s})
    return failed


def give_back(
    run: Run, rolled: Rolled, before: Mapping[str, Place], *, at_once: bool
) -> dict[str, str]:
    """Take every switched node back to where it was; return those that could not be.

    The nodes that failed go first: until they vote again the mesh can spare nobody else.
    """
    failed = list(rolled.failed)
    last_wave = [*failed, *(name for name in rolled.switched if name not in failed)]
    groups = (
        [last_wave]
        if at_once
        else [failed, *([name] for name in reversed(last_wave[len(failed) :]))]
    )
    stranded: dict[str, str] = {}
    for number, group in enumerate(groups, start=1):
        new = [name for name in group if before.get(name, NOTHING) == NOTHING]
        old = [name for name in group if name not in new]
        if new:
            rows = run.crew.service("remove", new)
            stranded |= {row.host: row.error for row in rows.values() if not row.ok}
        if old:
            place = f"return {number}/{len(groups)}"
            stranded |= _switch(run, old, before, rolled=Rolled(), place=place)
    return stranded
