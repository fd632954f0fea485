"""How do nodes change from one release to another, wave by wave, and all back when one fails?

Used by deploys and rollbacks alike. What to change and in which order was decided before; what is
told to the operator at the end is decided after.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import arming, gates, roots, watching
from aitbc_toolkit.release.alarming import Alarm
from aitbc_toolkit.release.arming import Guard
from aitbc_toolkit.release.baking import bake
from aitbc_toolkit.release.course import Course, Rolled, by_reason
from aitbc_toolkit.release.history import Place
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.journal import Journal, Point
from aitbc_toolkit.release.progress import Tell, note, step
from aitbc_toolkit.release.reading import Mesh, Pace, following, tip
from aitbc_toolkit.release.sparing import short_of_power
from aitbc_toolkit.release.switched import processes, undrained
from aitbc_toolkit.release.turns import farthest
from aitbc_toolkit.release.watching import Watchdog
from aitbc_toolkit.release.waves import Order, Wave
from aitbc_toolkit.remote import Row

_NO_ANSWER = frozenset({"unreachable", "unknown"})
_UNGUARDED = Guard()


@dataclass(frozen=True, slots=True)
class Run:
    """Hold what every part of one run works with; `id` names it here and on all hosts.

    `alarm` is silent until somebody begins it.
    """

    environment: Environment
    crew: Crew
    mesh: Mesh
    tell: Tell
    id: str
    journal: Journal
    alarm: Alarm


def roll(run: Run, course: Course, rolled: Rolled) -> None:
    """Switch wave after wave, each through its gate; at a failure do what the course says.

    What happens is kept in `rolled` as it happens, so that an interrupted run can tell.
    """
    statuses = run.mesh.statuses()
    rolled.first_height, rolled.taking_part = tip(statuses), following(statuses)
    if course.bake_s:
        run.alarm.mark(changed=course.arrived)
    rolled.switched += course.arrived
    failed = gate_arrived(run, course, rolled)
    rolled.stranded = {name: why for name, why in failed.items() if name in course.may_strand}
    rolled.failed = {name: why for name, why in failed.items() if name not in rolled.stranded}
    if rolled.ok and course.watches_arrived:
        rolled.failed = _watch_canary(run, course, rolled)
    watchdog = watching.watchdog(run.mesh)
    left = list(course.order.waves)
    while left and (rolled.ok or course.on_failure == "continue"):
        wave = _next(run, left, course.order)
        rolled.stopped = _short(run, course, wave, rolled)
        if rolled.stopped:
            break
        rolled.wave += 1
        rolled.switched += wave
        place = f"wave {rolled.wave}/{course.waves}"
        baking_s = course.bake_s if rolled.wave == course.order.canary else 0.0
        proof_s = watchdog.patience_s + (baking_s and baking_s + roots.PATIENCE_S)
        guard = _guard(run, course, wave, proof_s=proof_s)
        failed = switch(
            run,
            wave,
            course.targets,
            rolled=rolled,
            place=place,
            gated=course.gated,
            guard=guard,
        )
        stays_behind = bool(failed) and course.may_strand.issuperset(wave)
        failed = failed or _watched(run, course, wave, rolled, watchdog)
        goes_back = bool(failed) and course.on_failure == "rollback" and not stays_behind
        if guard.before and not goes_back:
            failed = _disarm(run, list(guard.before), rolled) | failed
        if failed:
            keep_evidence(run, f"wave-{rolled.wave}", failed)
        if stays_behind:
            rolled.stranded |= failed
        else:
            rolled.failed |= failed


def _short(run: Run, course: Course, wave: Wave, rolled: Rolled) -> str:
    """Say why no further wave may begin: the mesh cannot spare it, and who was to help does not.

    Asked before silent ones, too: they may vote by now, as the first of them was to.
    """
    order = course.order
    if course.may_stall or wave[0] not in order.by_turn | order.silent:
        return ""
    why = short_of_power(run.mesh, wave)
    left = [f"{' '.join(names)} {reason}" for reason, names in by_reason(rolled.stranded)]
    return "; ".join([why, *left]) if why else ""


def _watched(
    run: Run, course: Course, wave: Wave, rolled: Rolled, watchdog: Watchdog
) -> dict[str, str]:
    """Look at a wave that is through its gate: a canary for a while, then roots and pace."""
    failed: dict[str, str] = {}
    if rolled.wave == course.order.canary:
        failed = _watch_canary(run, course, rolled)
    if not failed and course.gated:
        failed = roots.compare_wave(run.mesh, wave) or _slow(watchdog, run, wave, rolled)
    return failed


def _guard(run: Run, course: Course, wave: Wave, *, proof_s: float) -> Guard:
    """Arm a wave, and drain it where the others go on without it meanwhile."""
    gate_s = gates.patience(run.environment, live=True).deadline_s
    after_s = arming.after_s(gate_s, proof_s=proof_s)
    drains = wave[0] in course.order.by_turn
    # Asked here: were it asked by each host of a wave, a mesh would have to answer it n x n times.
    rules = arming.rules(run.mesh.statuses())
    return arming.guard(
        run.environment, wave, course.before, after_s=after_s, drains=drains, app_version=rules
    )


def _slow(watchdog: Watchdog, run: Run, wave: Wave, rolled: Rolled) -> dict[str, str]:
    """Watch the mesh's own pace: what nodes say of themselves is no measure of it."""
    why = watchdog.slowness(run.mesh, is_first=rolled.wave == 1)
    return dict.fromkeys(wave, why) if why else {}


def _disarm(run: Run, armed: Sequence[str], rolled: Rolled) -> dict[str, str]:
    """Let a wave stay; a node that its host took back has failed, or one that has crashed since."""
    rows = run.crew.disarm(armed)
    failed = failed_rows(run, armed, rows, rolled)
    back = [name for row in rows.values() if row.ok for name in row.answer["back"]]
    why = "was taken back by its host: the dead-man's switch was not disarmed in time"
    now = processes(rows)
    ended = [name for name in now if now[name] != rolled.processes.get(name, now[name])]
    failed |= dict.fromkeys(ended, "keeps crashing: it voted, and is another process by now")
    return failed | dict.fromkeys(back, why)


def gate_arrived(
    run: Run, course: Course, rolled: Rolled, *, unvoted: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Let nodes show that they take part where they are; none of them is restarted.

    Who may stay behind is judged alone, so that it fails alone; of `unvoted` an answer is enough.
    """
    alone = [(name,) for name in course.arrived if name in course.may_strand | unvoted]
    rest = tuple(name for name in course.arrived if (name,) not in alone)
    # Those that are down still come after this, and until then there may be no quorum.
    early = bool(course.order.waves) and course.order.at_once
    failed: dict[str, str] = {}
    for wave in [*([rest] if rest else []), *alone]:
        failed |= _gate_here(run, wave, rolled, enough=early or unvoted.issuperset(wave))
    return failed


def _gate_here(run: Run, wave: Wave, rolled: Rolled, *, enough: bool) -> dict[str, str]:
    names = " ".join(wave)
    run.journal.write("gate-begun", nodes=list(wave))
    with step(run.tell, "gate", f"{names}, switched by an earlier attempt") as now:
        limits = gates.patience(run.environment, live=rolled.first_height > 0 and not enough)
        verdict = gates.pass_gate(
            run.mesh,
            wave,
            watch=run.crew.watch,
            limits=limits,
            answer_is_enough=enough,
            tell=run.tell,
        )
        now.say(next(iter(verdict.failed.values()), f"{names} passed, not restarted"))
    _write_gate(run, wave, verdict.failed)
    return dict(verdict.failed)


def _watch_canary(run: Run, course: Course, rolled: Rolled) -> dict[str, str]:
    names = " ".join(rolled.switched)
    watch = f"{course.bake_s:.0f} s"
    run.journal.write("bake-begun", nodes=list(rolled.switched))
    with step(run.tell, "bake", f"watching {names} for {watch}") as now:
        limits = gates.patience(run.environment, live=True)
        failed = bake(
            run.mesh,
            rolled.switched,
            bake_s=course.bake_s,
            stall_s=limits.stall_s,
            alarm=run.alarm,
        )
        said = next(iter(failed.values()), "") or run.alarm.words()
        run.alarm.end()
        now.say(said if failed else f"{names} stayed well for {watch}, {said}")
    run.journal.write("bake-failed" if failed else "bake-passed", nodes=list(rolled.switched))
    return failed


def _next(run: Run, left: list[Wave], order: Order) -> Wave:
    """Take the next wave: in the plan's order, of single validators the one with the most time."""
    wave = left[0]
    if wave[0] in order.by_turn:
        votes = gates.voting(run.environment, run.mesh.statuses())
        # Who fell silent meanwhile goes before those: it costs nothing, and may vote then.
        silent = [each for each in left if each[0] not in votes]
        wave = silent[0] if silent else (farthest(run.mesh, [each[0] for each in left]),)
    left.remove(wave)
    return wave


def measure(run: Run, rolled: Rolled) -> Pace | None:
    """Measure the blocks since the run began; nothing when there was no chain before it."""
    if rolled.first_height == 0:
        return None
    return run.mesh.pace(rolled.first_height, tip(run.mesh.statuses()))


def switch(
    run: Run,
    wave: Sequence[str],
    targets: Mapping[str, Place],
    *,
    rolled: Rolled,
    place: str,
    gated: bool = True,
    guard: Guard = _UNGUARDED,
) -> dict[str, str]:
    """Take one wave to its targets and through the gate; return who failed and why."""
    names = " ".join(wave)
    commit = targets[wave[0]][0]
    fields = {"type": "wave", "nodes": list(wave), "place": place}
    run.tell({**fields, "state": "begin", "text": f"{place} {names} restart {commit[:12]}"})
    began = time.monotonic()
    run.journal.write("switch-begun", nodes=list(wave), place=place, commit=commit)
    rows = run.crew.switch({name: targets[name] for name in wave}, guard)
    failed = failed_rows(run, wave, rows, rolled)
    rolled.processes |= processes(rows)
    rolled.undrained += undrained(rows)
    run.journal.write("switched", nodes=[name for name in wave if name not in failed], place=place)
    if not failed:
        verdict = gates.pass_gate(
            run.mesh,
            wave,
            watch=run.crew.watch,
            limits=gates.patience(run.environment, live=rolled.first_height > 0),
            processes=rolled.processes,
            answer_is_enough=not gated,
            tell=run.tell,
        )
        failed = dict(verdict.failed)
        commanded = max(int(row.answer["restart_ms"]) for row in rows.values())
        rolled.restart_ms.append(commanded + max(verdict.restart_ms.values()))
    _write_gate(run, wave, failed)
    took_s = round(time.monotonic() - began, 3)
    state = "failed" if failed else "done"
    votes = any(run.environment.instance(name).role == "validator" for name in wave)
    passed = f"ok voted in {gates.HEIGHTS} heights" if votes else "ok at the tip"
    passed = passed if gated else "answers, not gated"
    text = f"{place} {names} " + ("failed" if failed else passed)
    run.tell({**fields, "state": state, "text": text, "took_s": took_s})
    return failed


def failed_rows(
    run: Run, wave: Sequence[str], rows: Mapping[str, Row], rolled: Rolled
) -> dict[str, str]:
    """Name the nodes whose host could not switch them; one that did not answer may have."""
    failed: dict[str, str] = {}
    for row in rows.values():
        names = [name for name in wave if run.environment.instance(name).host == row.host]
        rolled.unanswered = [name for name in rolled.unanswered if name not in names]
        if not row.ok:
            failed |= dict.fromkeys(names, row.error)
        if row.kind in _NO_ANSWER:
            rolled.unanswered += names
    return failed


def keep_evidence(run: Run, name: str, failed: Mapping[str, str]) -> None:
    """Keep what the nodes say, beside the journal of the run."""
    path = run.journal.path.with_suffix("") / "evidence" / f"{name}.json"
    roots.keep_evidence(run.mesh, path, failed)
    note(run.tell, f"evidence: {path}")


def _write_gate(run: Run, names: Sequence[str], failed: Mapping[str, str]) -> None:
    reasons = {name: why.partition("\n")[0] for name, why in failed.items()}
    point: Point = "gate-failed" if failed else "gate-passed"
    run.journal.write(point, nodes=list(names), reasons=reasons)
