"""How does a commit come to every node of an environment? Step by step, as the manual has it.

Resolve, plan, prepare; then the change is carried out. Until then nothing that runs is touched,
and a failure costs nothing.
"""

import time
from collections.abc import Mapping
from dataclasses import replace

from aitbc_toolkit import neighbours, remote
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import (
    audit,
    compatibility,
    configuring,
    history,
    inquiry,
    occupation,
    permission,
    preview,
    pushing,
    resuming,
    reviving,
    vouching,
)
from aitbc_toolkit.release.carrying import carry_out
from aitbc_toolkit.release.change import Change
from aitbc_toolkit.release.course import Course
from aitbc_toolkit.release.facts import Facts, observe, places
from aitbc_toolkit.release.history import Place
from aitbc_toolkit.release.hooks import Hooks
from aitbc_toolkit.release.outcome import Outcome, fact
from aitbc_toolkit.release.permission import Permit
from aitbc_toolkit.release.plan import Plan
from aitbc_toolkit.release.preparing import prepare
from aitbc_toolkit.release.progress import Tell, note
from aitbc_toolkit.release.request import Lost, Request
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.source import SHORT, Revision
from aitbc_toolkit.release.unchanged import nothing_to_do
from aitbc_toolkit.release.vouching import Admission

__all__ = ["Request", "deploy", "stage"]


def deploy(environment: Environment, request: Request, tell: Tell) -> Outcome:
    """Take a commit to the nodes and prove that the mesh works with it."""
    began = time.monotonic()
    refuse_snapshot(environment, request)
    if request.push:
        pushing.refuse_elsewhere(environment)
    neighbours.refuse_clashes(environment)
    remote.reach_early(environment)
    if request.lost:
        subject = f"keys of {request.lost.host} from their backup"
        permit = permission.require(environment, "operate", subject=subject, root=request.checkout)
        _audit_gone(environment, request.lost, permit)
    request, revision, admitted = _admitted(environment, request, tell)
    said = {"action": "deploy", "commit": revision.commit, "subject": revision.subject}
    hooks = Hooks(environment, tell, {**said, "by": admitted.deployer})
    hooks.before("deploy")
    done = _change_hosts(environment, request, revision, admitted, hooks, began=began)
    done = replace(done, facts={**done.facts, "bypassed": admitted.is_bypassed})
    hooks.after("deploy", outcome=done.to_record())
    return done


def stage(environment: Environment, request: Request, tell: Tell) -> Plan:
    """Do everything of a deploy that touches nothing that runs; return what it would change.

    For the benchmark of staging, and no command: what a deploy refuses before it (uncommitted work,
    clashes with neighbours, lost keys, `--push`) is not looked at here.
    """
    remote.reach_early(environment)
    request, revision, admitted = _admitted(environment, request, tell)
    with occupation.at_work(environment, tell, reason="stage") as run:
        facts, plan = _look(run, request, revision)
        return _prepared(run, request, plan, facts, admitted)


def _admitted(
    environment: Environment, request: Request, tell: Tell
) -> tuple[Request, Revision, Admission]:
    """Find the exact commit, and whether it may be deployed; no host is asked for it."""
    request, revision = preview.settle(environment, request)
    preview.warn_uncommitted(environment, revision, tell)
    configuring.rehearse(environment, revision.commit)
    _refuse_other_wishes(environment, request, revision, tell)
    return request, revision, vouching.admit(environment, request, revision, tell)


def _change_hosts(
    environment: Environment,
    request: Request,
    revision: Revision,
    admitted: Admission,
    hooks: Hooks,
    *,
    began: float,
) -> Outcome:
    at = occupation.at_work(
        environment,
        hooks.tell,
        reason=f"deploy {revision.short}",
        break_lease=request.break_lease,
        wanted=preview.wanted(environment, request, revision),
    )
    with at as run:
        facts, plan = _look(run, request, revision)
        more = plan.pending or inquiry.open_run(environment, resuming.told(facts))
        if more and occupation.stay(run, break_lease=request.break_lease):
            facts, plan = _look(run, request, revision)
        if request.plan:
            preview.refuse_moved(environment, request.plan, plan)
        if not plan.pending:
            return _nothing_left(run, request, plan, facts, hooks, began=began)
        if plan.choice.bake_s:
            run.alarm.begin()  # what goes on while hosts prepare is no fault of the release
        hooks.before("stage", plan=plan.to_document())
        revival = reviving.bring_keys(run, request.lost, facts) if request.lost else None
        plan = _prepared(run, request, plan, facts, admitted)
        hooks.after("stage", plan=plan.to_document())
        if not plan.pending:
            return nothing_to_do(run, plan, began=began)
        compatibility.require(run, request, plan, facts)
        hooks.before("waves", plan=plan.to_document())
        if revival:
            reviving.begin_signing(run, revival, revision.commit)
        done = carry_out(run, _change(run, request, plan, facts, began=began))
        hooks.after("waves", outcome=done.to_record())
        return done


def _look(run: Run, request: Request, revision: Revision) -> tuple[Facts, Plan]:
    """See what hosts have, and what would change."""
    facts = observe(run, "deploy")
    return facts, preview.make(run, request, revision, facts)


def _refuse_other_wishes(
    environment: Environment, request: Request, revision: Revision, tell: Tell
) -> None:
    """Look before the lease is taken: whoever is refused has disarmed no dead-man's switch."""
    record = inquiry.open_run(environment, [])
    if record is None or not resuming.other_wishes(environment, request, record):
        return
    with occupation.looking(environment, tell) as run:
        plan = preview.make(run, request, revision, observe(run, "deploy"))
    if not plan.pending and resuming.leads_to(environment, record, plan.targets):
        resuming.refuse_other_wishes(environment, request, record)


def _nothing_left(
    run: Run, request: Request, plan: Plan, facts: Facts, hooks: Hooks, *, began: float
) -> Outcome:
    """Say that every node is where it goes; a run that was to take them there ends with that."""
    record = inquiry.open_run(run.environment, resuming.told(facts))
    if record is not None and resuming.leads_to(run.environment, record, plan.targets):
        resuming.refuse_other_wishes(run.environment, request, record)
        note(run.tell, "an earlier run that never ended switched these nodes: it goes on")
        return resuming.finish(run, request, facts, record, hooks, began=began)
    return nothing_to_do(run, plan, began=began)


def _audit_gone(environment: Environment, lost: Lost, permit: Permit) -> None:
    """Keep the operator's word that no two hosts will sign with the same keys."""
    entry = audit.Entry(
        "restore-keys",
        lost.host,
        "old host is gone",
        permit.who,
        lost.gone,
        bypassed=permit.bypassed,
    )
    audit.append(audit.path_of(environment), entry)


def refuse_snapshot(environment: Environment, request: Request) -> None:
    """Let uncommitted work go only where nobody else depends on it.

    Raises: AitbcError (refused).
    """
    if request.snapshot and not environment.rules.dirty:
        raise AitbcError(
            f"deploy {environment.name} refused: uncommitted work is deployed to dev and lab only",
            hint="git commit",
            exit_status=Exit.REFUSED,
        )


def _prepared(run: Run, request: Request, plan: Plan, facts: Facts, admitted: Admission) -> Plan:
    """Do everything that touches nothing that runs; return the plan with what was learned by it.

    Raises: AitbcError (refused) when keys on the hosts are not those that a named plan knew.
    """
    learned = prepare(run, request, plan.revision, facts, admitted)
    fresh = preview.make(run, request, plan.revision, facts, learned=learned)
    if request.plan and plan.is_whole and fresh.targets != plan.targets:
        preview.refuse_moved(run.environment, request.plan, fresh)
    return fresh


def _change(run: Run, request: Request, plan: Plan, facts: Facts, *, began: float) -> Change:
    records = [record for host in facts.values() for record in host["records"]]
    known = history.read(run.environment, hosts=records, genesis_hash=plan.genesis_hash)
    return Change(
        action="deploy",
        commit=plan.revision.commit,
        subject=plan.revision.subject,
        snapshot=plan.revision.snapshot,
        course=Course(
            plan.order,
            plan.targets,
            places(facts),
            bake_s=plan.choice.bake_s,
            on_failure=request.on_failure,
            gated=request.gated,
            silent=plan.order.silent,
        ),
        genesis_hash=plan.genesis_hash,
        records=known,
        began=began,
        prove=request.prove,
        stall_ms=plan.floor.stall_ms if plan.order.stalls else 0,
        load=request.load,
        choice=plan.choice,
        lines=_was(run.environment, known, plan.targets),
    )


def _was(
    environment: Environment, records: list[history.Record], targets: Mapping[str, Place]
) -> list[str]:
    """Say what a rollback of this deploy would return to; nothing when it only starts nodes."""
    last = history.newest_healthy(records)
    if last is None or all(last.places.get(name) == place for name, place in targets.items()):
        return []
    commit = last.commit[:SHORT]
    return [fact("was", f"{commit} (aitbc rollback {environment.name} returns to it)")]
