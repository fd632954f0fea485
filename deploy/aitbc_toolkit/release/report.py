"""What does an operator read at the end of a change? The result block, in words and figures."""

import time
from typing import Any

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release.change import Change, End
from aitbc_toolkit.release.course import Rolled, by_reason
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.history import NOTHING
from aitbc_toolkit.release.outcome import Outcome, counted, fact, seconds
from aitbc_toolkit.release.progress import duration
from aitbc_toolkit.release.reading import tip
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.source import SHORT
from aitbc_toolkit.release.waves import diagnosis

_HINTS = {
    Exit.MIXED: "aitbc deploy status {name}\naitbc rollback {name}",
    Exit.UNKNOWN: "aitbc deploy status {name}",
}
_ENDED = {
    Exit.REFUSED: "was stopped before its first switch",
    Exit.ROLLED_BACK: "failed and was rolled back",
    Exit.MIXED: "left the fleet mixed",
    Exit.UNKNOWN: "failed, and its outcome is unknown",
}


def outcome(run: Run, change: Change, rolled: Rolled, end: End) -> Outcome:
    """Put the end of a change into its result block and its figures."""
    took_s = time.monotonic() - change.began
    facts = {
        "action": change.action,
        "environment": run.environment.name,
        "commit": change.commit,
        "previous": sorted({place[0] for place in change.course.before.values()} - {""}),
        "outcome": end.outcome,
        "state_root": end.root,
        "state_root_height": end.height,
        "not_asked": list(end.unproved),
        "expected_stall_ms": change.stall_ms,
        "changes": _changes(run, change),
        **end.figures,
    }
    error, hint = "", ""
    if end.exit is Exit.OK or end.is_partial:
        lines = _good_news(run, change, rolled, end, took_s=took_s)
        if end.is_partial:
            error, hint = _left_behind(run, change, end)
    else:
        error, hint, lines = _bad_news(run, change, rolled, end, took_s=took_s)
    return Outcome(
        end.exit, lines, error=error, hint=hint, changed=change.changed, took_s=took_s, facts=facts
    )


def _left_behind(run: Run, change: Change, end: End) -> tuple[str, str]:
    """Say for whom a change that went well did not, and how they follow."""
    name = run.environment.name
    error = f"{change.action} of {change.commit[:SHORT]} to {name} is not whole: {end.reason}"
    again = f"aitbc rollback {name}   # again, when its host answers: takes the rest along"
    if change.action == "deploy":
        again = f"aitbc deploy {name} --resume"
    return error, f"aitbc deploy status {name}\n{again}"


def _good_news(run: Run, change: Change, rolled: Rolled, end: End, *, took_s: float) -> list[str]:
    name, environment = run.environment.name, run.environment
    statuses = run.mesh.statuses()
    votes = len(voting(environment, statuses))
    verb = "Deployed" if change.action == "deploy" else "Rolled back"
    to = f"{change.commit[:SHORT]} to {name}"
    if change.action == "rollback":
        to = f"{name} to {change.commit[:SHORT]}"
    moved = [*change.course.arrived, *change.changed]
    done = [each for each in moved if each not in rolled.stranded]
    count = f"{len(done)} of {len(environment.instances)} nodes"
    if change.course.arrived:
        count += f" ({' '.join(change.course.arrived)} by an earlier attempt)"
    head = f"{verb} {to}: {count}, {counted(change.course.waves, 'wave')}, "
    head += f"{votes} of {len(environment.validators)} vote, took {duration(took_s)}"
    lines = [head, *change.lines]
    lines.append(_changed_line(run, change))
    lines += [*_pace_lines(end), *_stall_lines(change, end), *_load_lines(end)]
    where = f"all but {' '.join(end.unproved)}" if end.unproved else "all nodes"
    lines.append(fact("same state", f"root {end.root[:12]} at height {end.height:,} on {where}"))
    if end.unproved:
        lines.append(fact("not asked", f"{' '.join(end.unproved)}, down before or left behind"))
    lines.append(fact("smoke", end.checks))
    if end.pace is None:
        lines.append(fact("height", f"{tip(statuses):,}"))
    return lines


def _changes(run: Run, change: Change) -> list[dict[str, Any]]:
    """Say what was changed where; what became of a change that failed is said beside it."""
    course = change.course
    found = []
    for name in change.changed:
        old, new = course.before.get(name, NOTHING), course.targets[name]
        host = run.environment.instance(name).host
        places = {"from": old[0], "to": new[0]}
        found.append({"node": name, "host": host, **places, "configuration": old[1] != new[1]})
    return found


def _changed_line(run: Run, change: Change) -> str:
    changes = _changes(run, change)
    if not changes:
        return fact("changed", "nothing by this attempt")
    releases = sum(each["from"] != each["to"] for each in changes)
    texts = sum(each["configuration"] for each in changes)
    hosts = counted(len({each["host"] for each in changes}), "host")
    if not releases and not texts:
        return fact("changed", f"{' '.join(change.changed)} started anew as before, on {hosts}")
    what = f"{counted(releases, 'release')} and {counted(texts, 'configuration')}"
    return fact("changed", f"{what} on {hosts}: {' '.join(change.changed)}")


def _pace_lines(end: End) -> list[str]:
    if end.pace is None:
        return []
    gap = f"longest gap between blocks {seconds(end.pace.longest_gap_ms)} by block times"
    floor_ms = end.figures["floor_ms"]
    floor = f"{seconds(floor_ms)}: each wave restarts, then votes in 3 heights; both of this run"
    rounds = f"{end.pace.extra_rounds} from {end.pace.first:,} to {end.pace.last:,}"
    late = " ".join(end.figures["undrained"])
    return [
        fact("unavailable", f"{gap} (usual {seconds(end.pace.interval_ms)})"),
        *([fact("floor", floor)] if floor_ms else []),
        fact("extra rounds", f"{rounds}; {late} not drained in time" if late else rounds),
    ]


def _stall_lines(change: Change, end: End) -> list[str]:
    """Put the stop that was expected beside the one that was measured."""
    if not change.stall_ms or end.pace is None:
        return []
    measured = f"measured {seconds(end.pace.longest_gap_ms)}"
    return [fact("stall", f"expected {seconds(change.stall_ms)} at least, {measured}")]


def _load_lines(end: End) -> list[str]:
    """Say what became of the payments beside the change, and what its restarts cost the blocks."""
    if end.tally is None:
        return []
    lines = [fact("lost transactions", f" {end.tally.loss}")]
    if end.tally.to_final_ms:
        waits = (f"p{percent} {seconds(ms)}" for percent, ms in end.tally.to_final_ms.items())
        lines.append(fact("to final", ", ".join(waits)))
    if end.pace is not None:
        blocks = counted(end.pace.last - end.pace.first + 1, "block")
        lines.append(fact("extra rounds", f"{end.pace.extra_rounds} in {blocks}"))
    return lines


def _bad_news(
    run: Run, change: Change, rolled: Rolled, end: End, *, took_s: float
) -> tuple[str, str, list[str]]:
    name, mixed = run.environment.name, end.exit in {Exit.MIXED, Exit.UNKNOWN}
    never = [each.name for each in run.environment.instances if each.name not in rolled.switched]
    lines = [_undone(change, rolled)]
    if never:
        lines.append(fact("never changed", " ".join(never)))
    lines += [
        fact("stranded", f"{' '.join(names)}: {why}") for why, names in by_reason(rolled.stranded)
    ]
    lines.append(fact("mesh", "mixed, see aitbc deploy status" if mixed else _as_before(change)))
    lines += [*_pace_lines(end), *_stall_lines(change, end), *_load_lines(end)]
    what = f"{change.action} of {change.commit[:SHORT]} to {name}"
    lines.append(f"{what[0].upper()}{what[1:]} {_ENDED[end.exit]}; took {duration(took_s)}")
    hint = _HINTS.get(end.exit, "aitbc history {name}").format(name=name)
    if end.exit is Exit.ROLLED_BACK and rolled.failed:
        first = next(iter(rolled.failed))
        hint = f"aitbc node logs {first} -e {name}   # what it wrote\n{hint}"
    silent = change.course.silent
    if not rolled.stopped:
        silent &= {*rolled.failed, *rolled.stranded}
    if silent:
        hint = f"{diagnosis(name, ' '.join(sorted(silent)))}\n{hint}"
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
