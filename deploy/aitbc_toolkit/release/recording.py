"""How does everybody come to know of a run? Announced before its first switch, closed at its end.

Both are the same record, here and in the journal of every host; a run that was announced and never
closed is one whose outcome is unknown.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import history
from aitbc_toolkit.release.change import Change, End
from aitbc_toolkit.release.course import Rolled
from aitbc_toolkit.release.history import Record
from aitbc_toolkit.release.progress import note
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.source import who

_CHANGED = "  changed "


def announce(run: Run, change: Change) -> Record:
    """Write the run down here and on every host; nothing is switched before that.

    Raises: AitbcError (refused) when somebody cannot write it down; a new run is closed then as if
    it had failed, one that is resumed stays what it was.
    """
    record = change.open or _record(run, change)
    try:
        _announce(run, change, record)
    except OSError as failure:
        if change.open is None:
            _tell_hosts(
                run, change, replace(record, outcome="rolled back", reason=reason_of(failure))
            )
        raise _refused(run, change, failure) from failure
    except AitbcError as failure:
        if change.open is None:
            raise
        raise _refused(run, change, failure) from failure
    return record


def reason_of(failure: AitbcError | OSError) -> str:
    """Say why a run could not go on, without what a failure says of everything before it."""
    if isinstance(failure, OSError):
        return f"{failure.strerror or failure}: {failure.filename or 'no file is named'}"
    said = failure.message.splitlines()
    return "\n".join(line for line in said if not line.startswith(_CHANGED))


def turn_back(run: Run, end: End, nodes: Sequence[str]) -> None:
    """Let everybody know that this run goes back, before the first node does.

    Who ends it from another machine has only the hosts' word for it. That one of them does not
    answer keeps nobody from going back.
    """
    reason = end.reason.partition("\n")[0]
    run.journal.write("return-begun", nodes=list(nodes), reason=reason)
    end.record = replace(end.record, returning=reason)
    for row in run.crew.turn_back(end.record.to_document()).values():
        if not row.ok:
            note(run.tell, f"{row.host} does not know that this run goes back: {row.error}")


def close(run: Run, change: Change, rolled: Rolled, end: End) -> None:
    """Write the same end here and on every host, whatever it was."""
    end.figures = _figures(rolled, end)
    took_s = round(time.monotonic() - change.began, 3)
    reason = end.reason.partition("\n")[0]
    _close(
        run,
        change,
        replace(end.record, outcome=end.outcome, reason=reason, took_s=took_s, figures=end.figures),
    )


def _announce(run: Run, change: Change, record: Record) -> None:
    run.journal.write(
        "begun",
        record=record.to_document(),
        waves=[list(wave) for wave in change.course.order.waves],
        nodes=change.changed,
        on_failure=change.course.on_failure,
        choice=change.choice.to_document(),
        gated=change.course.gated,
        may_strand=sorted(change.course.may_strand),
        silent=sorted(change.course.silent),
        resumed=change.open is not None,
    )
    if change.open is None:
        history.append(run.environment, record)
    try:
        run.crew.announce(record.to_document())
    except AitbcError as refused:
        if change.open is None:
            reason = refused.message.partition("\n")[0]
            _close(run, change, replace(record, outcome="rolled back", reason=reason))
        raise
    run.journal.write("announced", nodes=[])


def _refused(run: Run, change: Change, failure: AitbcError | OSError) -> AitbcError:
    """Refuse before the first switch of this attempt; an earlier one may have made some."""
    name = run.environment.name
    lines = [reason_of(failure)]
    hint = f"df -h {run.environment.folder}"
    status = Exit.REFUSED
    if isinstance(failure, AitbcError):
        hint, status = failure.hint, failure.exit_status
    else:
        lines = [f"{change.action} {name} refused: {lines[0]}"]
    lines.append(f"{_CHANGED}so far   nothing that runs, on no host")
    if change.open is not None:
        lines[-1] += ", by this attempt"
        lines.append(f"  the run itself   is open: {change.open.outcome}")
        hint = f"{hint}\naitbc deploy status {name}".strip()
    return AitbcError("\n".join(lines), hint=hint, exit_status=status)


def _close(run: Run, change: Change, record: Record) -> None:
    run.journal.write("closing", outcome=record.outcome, reason=record.reason, nodes=[])
    history.append(run.environment, record)
    _tell_hosts(run, change, record)
    run.journal.write("closed", outcome=record.outcome, nodes=[])


def _tell_hosts(run: Run, change: Change, record: Record) -> None:
    """Let hosts know how a run ended; one that cannot is named, and it ends all the same."""
    running = {place[0] for place in change.course.before.values()}
    keep = {change.commit, *running, *history.kept_commits([*change.records, record])}
    rows = run.crew.record(record.to_document(), keep=sorted(keep - {""}))
    for row in rows.values():
        if not row.ok:
            note(run.tell, f"the record is not on {row.host}: {row.error}")


def _record(run: Run, change: Change) -> Record:
    course = change.course
    return Record(
        id=run.id,
        number=max((each.number for each in change.records), default=0) + 1,
        action=change.action,
        environment=run.environment.name,
        commit=change.commit,
        subject=change.subject,
        configs={name: place[1] for name, place in course.targets.items()},
        nodes={name: list(place) for name, place in {**course.before, **course.targets}.items()},
        previous={name: list(place) for name, place in course.before.items()},
        outcome="unknown",
        reason="its end was not recorded",
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        took_s=0.0,
        who=who(),
        genesis_hash=change.genesis_hash,
        snapshot=change.snapshot,
    )


def _figures(rolled: Rolled, end: End) -> dict[str, Any]:
    figures: dict[str, Any] = {"restart_ms": max(rolled.restart_ms, default=0)}
    figures["undrained"] = list(rolled.undrained)
    if end.pace is not None:
        figures |= {
            "longest_gap_ms": end.pace.longest_gap_ms,
            "interval_ms": end.pace.interval_ms,
            "extra_rounds": end.pace.extra_rounds,
            "heights": [end.pace.first, end.pace.last],
            "floor_ms": rolled.floor_ms(end.pace.interval_ms),
        }
    if end.tally is not None:
        figures["load"] = end.tally.to_document()
    return figures
