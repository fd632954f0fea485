"""How is a plan put together, kept, and found again? Reads hosts; writes nothing on any of them."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment, Instance
from aitbc_toolkit.release import (
    configuring,
    floor,
    gates,
    inquiry,
    reviving,
    safekeeping,
    source,
    waves,
)
from aitbc_toolkit.release.configuring import PublicKeys
from aitbc_toolkit.release.facts import Facts, differing, observe, places, seen
from aitbc_toolkit.release.founding import Founded
from aitbc_toolkit.release.history import NOTHING, Place
from aitbc_toolkit.release.occupation import looking
from aitbc_toolkit.release.outcome import counted
from aitbc_toolkit.release.plan import NodePlan, Plan, diff, moved
from aitbc_toolkit.release.progress import Tell, note
from aitbc_toolkit.release.request import Choice, Request, Settled
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.source import SHORT, Revision
from aitbc_toolkit.render import Configuration

_HASH_CHARS_MIN = 6


def preview(environment: Environment, request: Request, tell: Tell) -> Plan:
    """Say what a deploy would do now, and keep it, so that a deploy can be held to it."""
    request, revision = settle(environment, request)
    warn_uncommitted(environment, revision, tell)
    configuring.rehearse(environment, revision.commit)
    safekeeping.load(environment)  # what a deploy cannot read stops its plan, too
    with looking(environment, tell) as run:
        found = make(run, request, revision, observe(run, "plan"))
    keep(environment, found)
    return found


def settle(environment: Environment, request: Request) -> tuple[Request, Revision]:
    """Find the exact commit; a request that names a plan takes everything from it.

    Raises: UsageError for a plan or a name that nobody knows.
    """
    if request.lost:
        request = reviving.settle(environment, request, request.lost)
    for name in request.choice.only:
        environment.instance(name)
    _require_others(environment, request.choice)
    if not request.plan:
        revision = source.resolve(request.ref, snapshot=request.snapshot, root=request.checkout)
        return request, revision
    known = read(environment, request.plan)
    choice = Choice.of(known["choice"])
    revision = source.resolve(known["commit"], snapshot=False, root=request.checkout)
    snapshot, subject = bool(known["snapshot"]), str(known["subject"])
    settled = replace(request, ref=known["ref"] or None, choice=choice, snapshot=snapshot)
    return settled, replace(revision, snapshot=snapshot, subject=subject)


def warn_uncommitted(environment: Environment, revision: Revision, tell: Tell) -> None:
    """Say what of this checkout is not deployed, and what is although no commit has it."""
    if revision.dirty:
        paths = counted(revision.dirty, "changed path")
        note(tell, f"warning: {paths} not committed and so not deployed; --dirty takes them along")
    folder = environment.inventories / environment.name
    if not revision.snapshot and source.is_edited(folder):
        where = f"inventories/{environment.name}"
        note(tell, f"warning: the configuration is that of {where} as it is here, edits included")


def _require_others(environment: Environment, choice: Choice) -> None:
    """Refuse a canary that is everybody, for nobody would be left for it to protect, or nobody."""
    nodes = choice.only or [each.name for each in environment.instances]
    if choice.bake_s and not choice.settled(environment.profile).canary:
        raise UsageError(
            "--bake says how long a canary is watched, and there is none",
            hint=f"aitbc deploy {environment.name} --canary 1 --bake 60",
        )
    if (choice.canary or 0) >= len(nodes):
        raise UsageError(
            f"--canary {choice.canary} leaves none of {len(nodes)} nodes to protect",
            hint=f"aitbc deploy {environment.name} --canary 1"
            if len(nodes) > 1
            else f"aitbc deploy {environment.name}",
        )


def wanted(environment: Environment, request: Request, revision: Revision) -> dict[str, Place]:
    """Say where each chosen node should be, as far as that is known before hosts are asked.

    Nothing is said of a deploy that does more than to take nodes there.
    """
    ready, _ = configuring.foreseen(environment, revision.commit)
    if not ready or request.lost:
        return {}
    chosen = _chosen(environment, request.choice)
    return {each.name: (revision.commit, ready[each.name].hash) for each in chosen}


def make(
    run: Run,
    request: Request,
    revision: Revision,
    facts: Facts,
    *,
    learned: tuple[PublicKeys, Founded] | None = None,
) -> Plan:
    """Work out what changes, in which waves; `learned` are keys and genesis after staging.

    Raises: AitbcError (refused) when the mesh cannot spare what would be restarted.
    """
    environment = run.environment
    ready, genesis_hash = configuring.foreseen(environment, revision.commit, learned)
    chosen = _chosen(environment, request.choice)
    targets = {
        each.name: (revision.commit, ready[each.name].hash if ready else "") for each in chosen
    }
    if not ready and request.choice.only:
        raise _needs_whole(environment)
    before, view = places(facts), seen(run, facts)
    changed = differing(run, facts, targets)
    choice = settled(environment, request.choice, view, nodes=len(chosen))
    order = _order(environment, changed, view, choice)
    diffs = _diffs(run, before, changed, ready, commit=revision.commit)
    return Plan(
        environment=environment.name,
        ref=request.ref or "",
        revision=revision,
        genesis_hash=genesis_hash,
        nodes=tuple(
            NodePlan(
                name=each.name,
                host=each.host,
                role=each.role,
                power=view.powers.of.get(each.name, 0),
                old=before.get(each.name, NOTHING),
                new=targets[each.name],
                changes=each.name in changed,
                diff=diffs.get(each.name, ""),
            )
            for each in chosen
        ),
        order=order,
        budgets=tuple(waves.budgets(view.powers, order.waves, view.voting)),
        choice=choice,
        floor=floor.of(environment, order, choice),
        facts={
            "hosts": sorted(facts),
            "active": sorted(view.active),
            "data_versions": list(view.data_versions),
            "voting": sorted(view.voting),
            "running": _running(facts, targets),
        },
        seen=view,
        open_run=inquiry.open_words(
            environment, [record for host in facts.values() for record in host["records"]]
        ),
    )


def keep(environment: Environment, plan: Plan) -> None:
    """Keep a plan under its hash on this machine."""
    path = _folder(environment) / f"{plan.hash}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(plan.to_bytes())
    fresh.rename(path)


def read(environment: Environment, named: str) -> dict[str, Any]:
    """Find the one kept plan whose hash begins so.

    Raises: UsageError when there is none, or more than one.
    """
    found = sorted(_folder(environment).glob(f"{named}*.json")) if named.isalnum() else []
    if len(named) < _HASH_CHARS_MIN or len(found) != 1:
        what = "is too short" if found and len(named) < _HASH_CHARS_MIN else "is not known here"
        raise UsageError(f"plan {named!r} {what}", hint=f"aitbc plan {environment.name}")
    document: dict[str, Any] = json.loads(found[0].read_text(encoding="utf-8"))
    return document


def refuse_moved(environment: Environment, named: str, plan: Plan) -> None:
    """Hold a deploy to the plan that was named.

    Raises: AitbcError (refused) that says which facts have moved since.
    """
    if plan.hash.startswith(named):
        return
    differences = moved(read(environment, named), plan.to_document())
    lines = [f"  since then       {each}" for each in differences]
    raise AitbcError(
        "\n".join(
            [
                f"deploy {environment.name} refused: facts have moved since plan {named[:SHORT]}",
                *lines,
                "  changed so far   nothing, on no host",
            ]
        ),
        hint=f"aitbc plan {environment.name}",
        exit_status=Exit.REFUSED,
    )


def _chosen(environment: Environment, choice: Choice) -> list[Instance]:
    return [each for each in environment.instances if not choice.only or each.name in choice.only]


def settled(environment: Environment, choice: Choice, view: waves.Seen, *, nodes: int) -> Settled:
    """Settle how careful a run is.

    The profile's canary is left out where it would protect nobody: among so few nodes, or on a
    mesh that makes no blocks, whose nodes come up together. One that was asked for is refused.
    """
    found = choice.settled(environment.profile)
    lives = gates.quorum(view.powers.sum(view.voting), view.powers.total)
    if choice.canary is None and (found.canary >= nodes or not lives):
        return replace(found, canary=0)
    return found


def _order(
    environment: Environment, changed: Collection[str], view: waves.Seen, choice: Settled
) -> waves.Order:
    if not changed:
        return waves.Order((), stalls=False)
    return waves.order(
        environment, changed, view, allow_stall=choice.allow_stall, canary=choice.canary
    )


def _diffs(
    run: Run,
    before: Mapping[str, Place],
    changed: Sequence[str],
    ready: Mapping[str, Configuration],
    *,
    commit: str,
) -> dict[str, str]:
    """Compare the files on the hosts with those that would take their place."""
    if not ready:
        return {}
    differ = [name for name in changed if before[name][1] != ready[name].hash]
    now = run.crew.configured([name for name in differ if before[name] != NOTHING])
    return {
        name: diff(
            configuring.shown(now.get(name, {}), commit=before[name][0] or commit),
            configuring.shown(ready[name].files, commit=commit),
        )
        for name in differ
    }


def _running(facts: Facts, targets: Mapping[str, Place]) -> dict[str, str]:
    """Say which commit each chosen node's process was started from."""
    return {
        name: str(told["running_commit"])
        for host in facts.values()
        for name, told in host["instances"].items()
        if name in targets
    }


def _needs_whole(environment: Environment) -> AitbcError:
    return AitbcError(
        f"deploy {environment.name} refused: its first deploy takes every node, for their keys\n"
        "  changed so far   nothing, on no host",
        hint=f"aitbc deploy {environment.name}",
        exit_status=Exit.REFUSED,
    )


def _folder(environment: Environment) -> Path:
    return environment.folder / "plans"
