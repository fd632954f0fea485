"""How does a run that ended in the middle come to its end? Whatever is done already stays done.

What there is to do follows from the record and from the hosts: nodes at their target are gated and
not restarted, half-switched ones are restarted, the others follow. A run that was on its way back
goes on back.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import (
    founding,
    history,
    inquiry,
    journal,
    permission,
    recording,
    vouching,
    waves,
)
from aitbc_toolkit.release.carrying import carry_out
from aitbc_toolkit.release.change import Change
from aitbc_toolkit.release.course import Course
from aitbc_toolkit.release.facts import Facts, differing, observe, places, seen
from aitbc_toolkit.release.history import NOTHING, Place, Record
from aitbc_toolkit.release.hooks import Hooks, Phase
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import Tell, note
from aitbc_toolkit.release.request import Choice, Request
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.source import SHORT, Revision
from aitbc_toolkit.release.sparing import has_quorum


def resume(environment: Environment, request: Request, tell: Tell) -> Outcome:
    """Bring the last run to its end, under its own name.

    Raises: AitbcError (refused) when the last run is closed.
    """
    began = time.monotonic()
    known = inquiry.newest(environment, [])
    permit = permission.require(
        environment, known.action if known else "deploy", subject="resume", root=request.checkout
    )
    with at_work(
        environment, tell, reason="deploy --resume", break_lease=request.break_lease
    ) as run:
        facts = observe(run, "deploy")
        record = inquiry.open_run(environment, told(facts))
        if record is None:
            raise _nothing_open(environment)
        if known is None or record.id != known.id:  # another machine's, of which hosts have told
            permit = permission.require(
                environment, record.action, subject="resume", root=request.checkout
            )
        said = {"action": record.action, "commit": record.commit, "subject": record.subject}
        hooks = Hooks(environment, tell, {**said, "by": permit.who, "resumed": True})
        goes_on = not _why_back(journal.read(environment, record.id), record)
        if record.action == "deploy" and goes_on:
            hooks.before("deploy")
        done = finish(run, request, facts, record, hooks, began=began)
        if record.action == "deploy":
            hooks.after("deploy", outcome=done.to_record())
        return done


def told(facts: Facts) -> list[Mapping[str, Any]]:
    """List the records that hosts have told."""
    return [record for host in facts.values() for record in host["records"]]


def leads_to(environment: Environment, record: Record, targets: Mapping[str, Place]) -> bool:
    """Tell whether a run takes these nodes to these places, and is not on its way back."""
    points = journal.read(environment, record.id)
    return not _why_back(points, record) and all(
        record.places.get(name) == place for name, place in targets.items()
    )


def other_wishes(environment: Environment, request: Request, record: Record) -> list[str]:
    """List the options that were given and that a run was not begun with.

    Who gives none asks for nothing else; how another machine began, nobody knows here.
    """
    points = journal.read(environment, record.id)
    if not points:
        return []
    profile = environment.profile
    wanted = request.choice.settled(profile).to_document()
    default = Choice().settled(profile).to_document()
    known = [points[0]["choice"], default]
    others = [
        name
        for name in ("only", "canary", "bake_s")
        if wanted[name] not in [each[name] for each in known]
    ]
    return [f"--{each.removesuffix('_s')}" for each in others] + ["--load"] * bool(request.load)


def refuse_other_wishes(environment: Environment, request: Request, record: Record) -> None:
    """Refuse a deploy that asks for what an open run, which is all that is left to do, was not.

    Raises: AitbcError (refused) that names the options.
    """
    flags = other_wishes(environment, request, record)
    if not flags:
        return
    name = environment.name
    raise AitbcError(
        f"deploy {name} refused: an open run has switched these nodes, begun with another "
        f"{' '.join(flags)}\n  changed so far   nothing, by this attempt",
        hint=f"aitbc deploy {name} --resume   # goes on as it was begun\n"
        f"aitbc rollback {name}   # goes back",
        exit_status=Exit.REFUSED,
    )


def finish(
    run: Run, request: Request, facts: Facts, record: Record, hooks: Hooks, *, began: float
) -> Outcome:
    """Do what is left of a run, under its own name and as it was wanted when it was begun.

    The hooks of what is done anew are asked anew; nobody is asked whether a run may go back.
    """
    environment = run.environment
    run = replace(run, id=record.id, journal=journal.of(environment, record.id))
    points = journal.read(environment, record.id)
    note(run.tell, f"{record.action} of {record.commit[:SHORT]}: {inquiry.said(points, record)}")
    request = _as_begun(request, points)
    course, returning = _course(run, request, facts, record, points)
    founded = founding.read(environment)
    # A machine that did not found the chain still keeps to its records.
    genesis_hash = founded.hash if founded else record.genesis_hash
    change = Change(
        action=record.action,
        commit=record.commit,
        subject=record.subject,
        snapshot=record.snapshot,
        course=course,
        genesis_hash=genesis_hash,
        records=history.read(environment, hosts=told(facts), genesis_hash=genesis_hash),
        began=began,
        prove=request.prove,
        choice=request.choice.settled(environment.profile),
        open=record,
        returning=returning,
    )
    if record.action == "deploy" and course.order.waves and not returning:
        _vouch_anew(environment, request, record, run.tell)
    goals = course.before if returning else course.targets
    run.crew.intact({name: goals[name] for name in change.changed}, verb="deploy --resume")
    phase: Phase = "waves" if record.action == "deploy" else "rollback"
    if not returning:
        hooks.before(phase, nodes=change.changed)
    done = carry_out(run, change)
    hooks.after(phase, outcome=done.to_record())
    return done


def _vouch_anew(environment: Environment, request: Request, record: Record, tell: Tell) -> None:
    """Let a commit go on to the nodes that are left only if it would be let begin now.

    Whoever vouched for it may have been revoked since, an approval may have run out.

    Raises: AitbcError as `vouching.admit`, which says that the run stays open.
    """
    revision = Revision(record.commit, record.subject, dirty=0, snapshot=record.snapshot)
    try:
        vouching.admit(environment, request, revision, tell)
    except AitbcError as refused:
        raise AitbcError(
            f"{recording.reason_of(refused)}\n"
            "  changed so far   nothing that runs, by this attempt\n"
            f"  the run itself   is open: {record.outcome}",
            hint=f"{refused.hint}\naitbc rollback {environment.name}   # goes back".strip(),
            exit_status=refused.exit_status,
        ) from refused


def _as_begun(request: Request, points: inquiry.Points) -> Request:
    """Want what was wanted when the run was begun; another machine knows only what it is asked."""
    if not points:
        return request
    begun = points[0]
    choice = Choice.of(begun["choice"])
    choice = replace(choice, allow_stall=choice.allow_stall or request.choice.allow_stall)
    # Nobody asks for the default; who says another one now has thought again.
    on_failure = begun["on_failure"] if request.on_failure == "rollback" else request.on_failure
    return replace(request, choice=choice, on_failure=on_failure, gated=bool(begun["gated"]))


def _why_back(points: inquiry.Points, record: Record) -> str:
    """Say why a run was on its way back, by its journal or by the hosts'; empty when it was not."""
    said = [str(each["reason"]) for each in points if each["point"] == "return-begun"]
    return said[-1] if said else record.returning


def _nothing_open(environment: Environment) -> AitbcError:
    return AitbcError(
        f"deploy {environment.name} refused: there is no run to resume\n"
        "  the last one     has ended, or was stopped before it had changed anything\n"
        "  changed so far   nothing, on no host",
        hint=f"aitbc deploy {environment.name}",
        exit_status=Exit.REFUSED,
    )


def _course(
    run: Run, request: Request, facts: Facts, record: Record, points: inquiry.Points
) -> tuple[Course, str]:
    """Work out what is left, and, for a run that was on its way back, why it was."""
    before = {name: (place[0], place[1]) for name, place in record.previous.items()}
    targets = {name: record.places[name] for name in record.configs}
    if why := _why_back(points, record):
        course = _way_back(run, facts, targets, before)
        return replace(course, silent=begun_with(points, "silent") or frozenset()), why
    changed = differing(run, facts, targets)
    arrived = [name for name in targets if name not in changed and targets[name] != before[name]]
    choice = request.choice.settled(run.environment.profile)
    # Another machine's journal is not here, but nobody went beyond a canary that was not watched.
    beyond = not points and len(arrived) > choice.canary
    watched = beyond or any(each["point"] == "bake-passed" for each in points)
    # Of a canary that was not watched to the end, these have still to be switched.
    is_watched = choice.canary > 0 and not watched and has_quorum(run.mesh)
    canary = max(0, choice.canary - len(arrived)) if is_watched else 0
    order = waves.Order((), stalls=False, at_once=run.environment.profile.rollout == "all")
    if changed:
        # Who has arrived is gated before anybody follows, so it is as good as one that votes.
        view, stall = seen(run, facts), choice.allow_stall
        view = replace(view, voting=view.voting | {*arrived})
        order = waves.order(run.environment, changed, view, allow_stall=stall, canary=canary)
    may_strand, silent = begun_with(points, "may_strand"), begun_with(points, "silent")
    if may_strand and not order.at_once:
        order = waves.one_by_one(order, may_strand)
    course = Course(
        order,
        targets,
        before,
        bake_s=choice.bake_s,
        arrived=tuple(arrived),
        watches_arrived=is_watched and not canary and bool(changed),
        on_failure=request.on_failure,
        gated=request.gated,
        may_strand=may_strand or frozenset(),
        may_stall=record.action == "rollback" and choice.allow_stall,
        silent=order.silent if silent is None else silent,
    )
    return course, ""


def begun_with(
    points: inquiry.Points, names: Literal["may_strand", "silent"]
) -> frozenset[str] | None:
    """Give such nodes of the run as it was begun; None where its journal does not tell.

    Who is silent by now may have voted before the run: that has to vote again, behind a return.
    """
    told = points[0].get(names) if points else None
    return None if told is None else frozenset(told)


def _way_back(
    run: Run, facts: Facts, targets: Mapping[str, Place], before: Mapping[str, Place]
) -> Course:
    """Take back what is not back; those that the mesh lacks already go first."""
    now = places(facts)
    goals = {name: before[name] for name in targets if targets[name] != before[name]}
    existing = {name: place for name, place in goals.items() if place != NOTHING}
    left = differing(run, facts, existing)
    left += [name for name in goals if name not in existing and now[name] != NOTHING]
    view = seen(run, facts)
    order = waves.Order((), stalls=False)
    if left:
        order = waves.order(run.environment, left, view, allow_stall=True)
        lacking_first = sorted(order.waves, key=lambda wave: bool({*wave} & view.voting))
        order = replace(order, waves=tuple(lacking_first))
    arrived = tuple(name for name in goals if name not in left)
    return Course(order, targets, before, arrived=arrived)
