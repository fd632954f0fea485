"""How is one change of an environment carried out, judged and recorded? The same for all verbs.

A deploy and a rollback prepare a `Change` each in its own way; from here on they are one thing:
roll, verify, return everything on a failure, write the record everywhere, say how it ended.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import history, verifying
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.history import Record
from aitbc_toolkit.release.outcome import Outcome, counted, fact, seconds
from aitbc_toolkit.release.progress import duration, note, step
from aitbc_toolkit.release.reading import Pace, tip
from aitbc_toolkit.release.rolling import Course, Rolled, Run, give_back, measure, roll
from aitbc_toolkit.release.source import SHORT, who
from aitbc_toolkit.release.verifying import Prove


@dataclass(frozen=True, slots=True)
class Change:
    """Say what is to become of which nodes, and what they are now."""

    action: Literal["deploy", "rollback"]
    commit: str
    subject: str
    snapshot: bool
    course: Course
    genesis_hash: str
    records: Sequence[Record]
    began: float
    prove: Prove
    stall_ms: int = 0
    lines: Sequence[str] = ()

    @property
    def changed(self) -> list[str]:
        """List the nodes that are switched, in the order of the waves."""
        return [name for wave in self.course.order.waves for name in wave]


@dataclass(slots=True)
class _End:
    """Collect what the record and the result block say."""

    exit: Exit = Exit.OK
    outcome: history.Outcome = "healthy"
    reason: str = ""
    root: str = ""
    height: int = 0
    checks: str = ""
    pace: Pace | None = None
    figures: dict[str, Any] = field(default_factory=dict)


def carry_out(run: Run, change: Change) -> Outcome:
    """Roll the waves, prove the mesh, keep the record; return everything when one of them fails."""
    end = _End()
    rolled = Rolled()
    try:
        roll(run, change.course, rolled)
        if rolled.ok:
            _verify(run, change, rolled, end)
        else:
            end.reason = _wave_reason(change, rolled)
        _judge(change, rolled, end)
        end.pace = measure(run, rolled)
    except KeyboardInterrupt:
        end.outcome, end.reason, end.exit = "interrupted", "Ctrl-C", Exit.INTERRUPTED
        note(run.tell, _left_behind(run, change, rolled))
        _record(run, change, rolled, end)
        raise
    _record(run, change, rolled, end)
    return _outcome(run, change, rolled, end)


def _left_behind(run: Run, change: Change, rolled: Rolled) -> str:
    """Say what an interrupted run leaves, and both ways out."""
    if not rolled.switched:
        return f"interrupted; no node of {run.environment.name} was switched"
    name, switched = run.environment.name, " ".join(rolled.switched)
    out = f"aitbc {change.action} {name} goes on"
    if change.action == "deploy":
        out += f", aitbc rollback {name} goes back"
    return f"interrupted; {switched} switched to {change.commit[:SHORT]}: {out}"


def _verify(run: Run, change: Change, rolled: Rolled, end: _End) -> None:
    """Prove the mesh as a whole; what is wrong with it takes the whole fleet back."""
    with step(run.tell, "smoke", "smoke suite, then state roots") as now:
        end.checks, problem = change.prove(run.environment)
        if not problem:
            # After the suite: its transfers have changed the state that has to be equal.
            end.height, end.root, problem = verifying.unequal_roots(run.mesh)
        now.say(problem or f"{end.checks}, roots equal at height {end.height:,}")
    if problem:
        end.reason = problem
        rolled.failed = dict.fromkeys(rolled.switched, problem)
        if change.course.on_failure == "rollback":
            rolled.stranded = give_back(run, rolled, change.course)


def _wave_reason(change: Change, rolled: Rolled) -> str:
    if not rolled.failed:
        return f"wave {rolled.wave + 1} of {change.course.waves}: {rolled.stopped}"
    why, names = _by_reason(rolled.failed)[0]
    return f"wave {rolled.wave} of {change.course.waves}: {' '.join(names)} {why}"


def _by_reason(failed: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Put nodes with the same reason together, with the log lines of the first."""
    found: dict[str, tuple[str, list[str]]] = {}
    for name, why in failed.items():
        found.setdefault(why.partition("\n")[0], (why, []))[1].append(name)
    return list(found.values())


def _judge(change: Change, rolled: Rolled, end: _End) -> None:
    if not end.reason:
        return
    if rolled.stranded or (rolled.switched and change.course.on_failure != "rollback"):
        end.outcome, end.exit = "mixed", Exit.MIXED
    else:
        end.outcome = "rolled back"
        end.exit = Exit.ROLLED_BACK if rolled.switched else Exit.REFUSED


def _record(run: Run, change: Change, rolled: Rolled, end: _End) -> None:
    """Write the same record here and on every host, whatever the end was."""
    took_s = time.monotonic() - change.began
    end.figures = {"restart_ms": max(rolled.restart_ms, default=0)}
    if end.pace is not None:
        end.figures |= {
            "longest_gap_ms": end.pace.longest_gap_ms,
            "interval_ms": end.pace.interval_ms,
            "extra_rounds": end.pace.extra_rounds,
            "heights": [end.pace.first, end.pace.last],
            "floor_ms": rolled.floor_ms(end.pace.interval_ms),
        }
    record = Record(
        id=secrets.token_hex(8),
        number=max((each.number for each in change.records), default=0) + 1,
        action=change.action,
        environment=run.environment.name,
        commit=change.commit,
        subject=change.subject,
        configs={name: place[1] for name, place in change.course.targets.items()},
        nodes={
            name: list(place)
            for name, place in {**change.course.before, **change.course.targets}.items()
        },
        previous={name: list(place) for name, place in change.course.before.items()},
        outcome=end.outcome,
        reason=end.reason.partition("\n")[0],
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - took_s)),
        took_s=round(took_s, 3),
        who=who(),
        genesis_hash=change.genesis_hash,
        snapshot=change.snapshot,
        figures=end.figures,
    )
    history.append(run.environment, record)
    running = {place[0] for place in change.course.before.values()}
    keep = {change.commit, *running, *history.kept_commits([*change.records, record])}
    rows = run.crew.record(record.to_line(), keep=sorted(keep - {""}))
    for row in rows.values():
        if not row.ok:
            note(run.tell, f"the record is not on {row.host}: {row.error}")


def _outcome(run: Run, change: Change, rolled: Rolled, end: _End) -> Outcome:
    took_s = time.monotonic() - change.began
    facts = {
        "action": change.action,
        "environment": run.environment.name,
        "commit": change.commit,
        "previous": sorted({place[0] for place in change.course.before.values()} - {""}),
        "outcome": end.outcome,
        "state_root": end.root,
        "state_root_height": end.height,
        "expected_stall_ms": change.stall_ms,
        **end.figures,
    }
    if end.exit is Exit.OK:
        lines = _good_news(run, change, end, took_s=took_s)
        return Outcome(end.exit, lines, changed=change.changed, took_s=took_s, facts=facts)
    error, hint, lines = _bad_news(run, change, rolled, end, took_s=took_s)
    return Outcome(
        end.exit, lines, error=error, hint=hint, changed=change.changed, took_s=took_s, facts=facts
    )


def _good_news(run: Run, change: Change, end: _End, *, took_s: float) -> list[str]:
    name, environment = run.environment.name, run.environment
    statuses = run.mesh.statuses()
    votes = len(voting(environment, statuses))
    verb = "Deployed" if change.action == "deploy" else "Rolled back"
    to = f"{change.commit[:SHORT]} to {name}"
    if change.action == "rollback":
        to = f"{name} to {change.commit[:SHORT]}"
    count = f"{len(change.changed)} of {len(environment.instances)} nodes"
    head = f"{verb} {to}: {count}, {counted(change.course.waves, 'wave')}, "
    head += f"{votes} of {len(environment.validators)} vote, took {duration(took_s)}"
    lines = [head, *change.lines]
    lines += [*_pace_lines(end), *_stall_lines(change, end)]
    lines.append(fact("same state", f"root {end.root[:12]} at height {end.height:,} on all nodes"))
    lines.append(fact("smoke", end.checks))
    if end.pace is None:
        lines.append(fact("height", f"{tip(statuses):,}"))
    return lines


def _pace_lines(end: _End) -> list[str]:
    if end.pace is None:
        return []
    gap = f"longest gap between blocks {seconds(end.pace.longest_gap_ms)} by block times"
    floor = seconds(end.figures["floor_ms"])
    return [
        fact("unavailable", f"{gap} (usual {seconds(end.pace.interval_ms)})"),
        fact("floor", f"{floor}: each wave restarts, then votes in 3 heights; both of this run"),
    ]


def _stall_lines(change: Change, end: _End) -> list[str]:
    """Put the stop that was expected beside the one that was measured."""
    if not change.stall_ms or end.pace is None:
        return []
    measured = f"measured {seconds(end.pace.longest_gap_ms)}"
    return [fact("stall", f"expected {seconds(change.stall_ms)} at least, {measured}")]


def _bad_news(
    run: Run, change: Change, rolled: Rolled, end: _End, *, took_s: float
) -> tuple[str, str, list[str]]:
    name, mixed = run.environment.name, end.exit is Exit.MIXED
    never = [each.name for each in run.environment.instances if each.name not in rolled.switched]
    lines = [_undone(change, rolled)]
    if never:
        lines.append(fact("never changed", " ".join(never)))
    lines += [
        fact("stranded", f"{' '.join(names)}: {why}") for why, names in _by_reason(rolled.stranded)
    ]
    lines.append(fact("mesh", "mixed, see aitbc status" if mixed else _as_before(change)))
    lines += [*_pace_lines(end), *_stall_lines(change, end)]
    what = f"{change.action} of {change.commit[:SHORT]} to {name}"
    ended = "left the fleet mixed" if mixed else "failed and was rolled back"
    lines.append(f"{what[0].upper()}{what[1:]} {ended}; took {duration(took_s)}")
    hint = f"aitbc status {name}\naitbc rollback {name}" if mixed else f"aitbc history {name}"
    return f"{what} failed: {end.reason}", hint, lines


def _undone(change: Change, rolled: Rolled) -> str:
    """Say what became of the nodes that were switched."""
    if change.course.on_failure != "rollback":
        return fact("left as it is", " ".join(rolled.switched) or "nothing was switched")
    undone = [each for each in rolled.switched if each not in rolled.stranded]
    return fact("rolled back", " ".join(undone) or "nobody")


def _as_before(change: Change) -> str:
    old = sorted({place[0][:SHORT] for place in change.course.before.values() if place[0]})
    return f"as before: {' '.join(old)}" if old else "as before: not running"
