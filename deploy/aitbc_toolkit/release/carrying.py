"""How is one change of an environment carried out and judged? The same for all verbs.

A deploy, a rollback and a resumed run prepare a `Change` each in its own way; from here on they are
one thing: announce, roll, verify, return everything on a failure, close, say how it ended.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aitbc_toolkit.errors import AitbcError, Exit, Interrupted
from aitbc_toolkit.release import arming, facts, loading, recording, roots, sighting, verifying
from aitbc_toolkit.release.change import Change, End
from aitbc_toolkit.release.course import Rolled, by_reason
from aitbc_toolkit.release.loading import Load
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import note, step
from aitbc_toolkit.release.report import outcome
from aitbc_toolkit.release.returning import finish_return, give_back
from aitbc_toolkit.release.rolling import Run, keep_evidence, measure, roll
from aitbc_toolkit.release.source import SHORT


def carry_out(run: Run, change: Change) -> Outcome:
    """Roll the waves, prove the mesh, keep the record; return everything when one of them fails."""
    with loading.beside(run.environment, run.tell, rate=change.load) as load:
        return _carry_out(run, change, load)


def _carry_out(run: Run, change: Change, load: Load) -> Outcome:
    rolled = Rolled()
    end = End(recording.announce(run, change))
    with _truthful(run, change, rolled):
        _to_its_end(run, change, rolled, end, load)
    return outcome(run, change, rolled, end)


def _to_its_end(run: Run, change: Change, rolled: Rolled, end: End, load: Load) -> None:
    try:
        with sighting.watched(run, change):
            if change.returning:
                _go_back(run, change, rolled, end)
            else:
                _go_forth(run, change, rolled, end, load)
        end.tally = load.finish()
        _judge(change, rolled, end)
        end.pace = measure(run, rolled)
    except KeyboardInterrupt:
        end.outcome, end.reason, end.exit = "interrupted", "Ctrl-C", Exit.INTERRUPTED
        note(run.tell, _left_behind(run, change, rolled))
        recording.close(run, change, rolled, end)
        _tell_armed(run)
        raise Interrupted(_ways_out(run, change, rolled)) from None
    recording.close(run, change, rolled, end)


@contextmanager
def _truthful(run: Run, change: Change, rolled: Rolled) -> Iterator[None]:
    """Call the end of an announced run unknown when it could not be reached or written down."""
    try:
        yield
    except (AitbcError, OSError) as failure:
        raise _unknown(run, change, rolled, failure) from failure


def _unknown(run: Run, change: Change, rolled: Rolled, failure: AitbcError | OSError) -> AitbcError:
    name, what = run.environment.name, f"{change.action} of {change.commit[:SHORT]}"
    hint = failure.hint if isinstance(failure, AitbcError) else ""
    reason = recording.reason_of(failure)
    return AitbcError(
        f"{what} to {name} ended in the middle: {reason}\n"
        f"  switched so far  {' '.join(rolled.switched) or 'nobody'}\n"
        "  its outcome is not on record, so it counts as unknown",
        hint="\n".join(dict.fromkeys([f"aitbc deploy status {name}", *hint.splitlines()])),
        exit_status=Exit.UNKNOWN,
    )


def _go_forth(run: Run, change: Change, rolled: Rolled, end: End, load: Load) -> None:
    roll(run, change.course, rolled)
    if rolled.ok:
        _verify(run, change, rolled, end, load)
    else:
        end.reason = _wave_reason(change, rolled)
        _give_back(run, change, rolled, end)


def _go_back(run: Run, change: Change, rolled: Rolled, end: End) -> None:
    """Finish a return that an earlier attempt began."""
    end.reason = change.returning
    recording.turn_back(run, end, change.changed)
    finish_return(run, change.course, rolled)


def _give_back(run: Run, change: Change, rolled: Rolled, end: End) -> None:
    if change.course.on_failure == "rollback" and rolled.switched:
        recording.turn_back(run, end, rolled.switched)
        rolled.stranded = give_back(run, rolled, change.course)
        run.journal.write("returned", nodes=rolled.switched, stranded=dict(rolled.stranded))


def _left_behind(run: Run, change: Change, rolled: Rolled) -> str:
    """Say what an interrupted run leaves."""
    if not rolled.switched:
        return f"interrupted; no node of {run.environment.name} was switched"
    return f"interrupted; {' '.join(rolled.switched)} switched to {change.commit[:SHORT]}"


def _tell_armed(run: Run) -> None:
    """Say what hosts take back of what was not proved, for nobody waits for it here any more."""
    for switch in arming.armed(run.crew.answers()):
        note(run.tell, arming.said(switch))


def _ways_out(run: Run, change: Change, rolled: Rolled) -> str:
    """Name the commands that go on from what an interrupted run leaves."""
    name = run.environment.name
    ways = [f"aitbc deploy {name} --resume   # goes on"]
    if rolled.switched and change.action == "deploy":
        ways.append(f"aitbc rollback {name}   # goes back")
    return "\n".join(ways)


def _verify(run: Run, change: Change, rolled: Rolled, end: End, load: Load) -> None:
    """Prove the mesh as a whole; what is wrong with it takes the whole fleet back."""
    run.journal.write("verify-begun", nodes=rolled.switched)
    names = _provable(run, change, rolled)
    end.unproved = [each.name for each in run.environment.instances if each.name not in names]
    with step(run.tell, "smoke", "smoke suite, then state roots") as now:
        end.checks, problem = change.prove(verifying.among(run.environment, names))
        if not problem:
            # After the suite: its transfers have changed the state that has to be equal.
            compared = roots.compare(run.mesh, needed=names)
            end.height, end.root, problem = compared.height, compared.root, compared.problem
        now.say(problem or f"{end.checks}, roots equal at height {end.height:,}")
    problem = problem or loading.problem_of(load.finish())
    problem = problem or _elsewhere(run, change, rolled, names)
    if not problem:
        run.journal.write("verified", nodes=rolled.switched)
        return
    end.reason = problem
    rolled.failed = dict.fromkeys(rolled.switched, problem)
    keep_evidence(run, "verify", rolled.failed)
    _give_back(run, change, rolled, end)


def _provable(run: Run, change: Change, rolled: Rolled) -> list[str]:
    """List the nodes that have to be well now: those of the run, and those that were before it."""
    names = {*change.course.targets, *rolled.taking_part} - {
        *change.course.left_out,
        *rolled.stranded,
    }
    return [each.name for each in run.environment.instances if each.name in names]


def _elsewhere(run: Run, change: Change, rolled: Rolled, names: Sequence[str]) -> str:
    """Say which nodes do not run what they were given, or are not the process that was proved.

    Asked last: whatever else proved the mesh, proved what ran then.
    """
    answers = run.crew.answers()
    targets = {name: change.course.targets[name] for name in names if name in change.course.targets}
    differing = facts.differing(run, answers, targets)
    if differing:
        return f"{' '.join(differing)} no longer run what they were given"
    told = {name: each for host in answers.values() for name, each in host["instances"].items()}
    started = [name for name in names if name in told and name in rolled.processes]
    now = {name: int(told[name]["service"]["pid"]) for name in started}
    ended = [name for name in now if now[name] != rolled.processes[name]]
    return f"{' '.join(ended)} crashed after passing the gate" if ended else ""


def _wave_reason(change: Change, rolled: Rolled) -> str:
    if not rolled.failed:
        return f"wave {rolled.wave + 1} of {change.course.waves}: {rolled.stopped}"
    why, names = by_reason(rolled.failed)[0]
    return f"wave {rolled.wave} of {change.course.waves}: {' '.join(names)} {why}"


def _judge(change: Change, rolled: Rolled, end: End) -> None:
    missing = {**change.course.left_out, **rolled.stranded}
    end.is_partial = bool(missing) and not end.reason
    if end.is_partial:
        end.reason = "; ".join(f"{' '.join(names)} {why}" for why, names in by_reason(missing))
    if not end.reason:
        return
    if rolled.unanswered:
        end.outcome, end.exit = "unknown", Exit.UNKNOWN
    elif (
        end.is_partial
        or rolled.stranded
        or (rolled.switched and change.course.on_failure != "rollback")
    ):
        end.outcome, end.exit = "mixed", Exit.MIXED
    else:
        end.outcome = "rolled back"
        end.exit = Exit.ROLLED_BACK if rolled.switched else Exit.REFUSED
