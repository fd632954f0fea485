"""How does an environment return to the release before? Nobody has to name it.

The newest release that was healthy before the current one, from the records; it lies on the hosts
still, so nothing is fetched. Same waves, gates and record as a deploy.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import founding, gates, history, permission, verifying, versions, waves
from aitbc_toolkit.release.carrying import carry_out
from aitbc_toolkit.release.change import Change
from aitbc_toolkit.release.course import Course
from aitbc_toolkit.release.facts import Facts, differing, observe, places, seen
from aitbc_toolkit.release.history import NOTHING, Place, Record
from aitbc_toolkit.release.hooks import Hooks
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import Tell
from aitbc_toolkit.release.reading import following
from aitbc_toolkit.release.request import Settled
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.source import SHORT
from aitbc_toolkit.release.verifying import Prove


def rollback(
    environment: Environment,
    tell: Tell,
    *,
    allow_stall: bool = False,
    break_lease: str = "",
    prove: Prove = verifying.smoke,
    gated: bool = True,
    load: int = 0,
) -> Outcome:
    """Return every node to the newest release that was healthy before the current one."""
    began = time.monotonic()
    permit = permission.require(environment, "rollback", subject=environment.name)
    with at_work(environment, tell, reason="rollback", break_lease=break_lease) as run:
        facts = observe(run, "rollback", may_miss=True)
        hosts = [record for host in facts.values() for record in host["records"]]
        genesis_hash = _genesis_hash(environment, hosts)
        records = history.read(environment, hosts=hosts, genesis_hash=genesis_hash)
        target, skipped = history.before(
            records, environment=environment.name, is_down=_is_down(facts)
        )
        view = seen(run, facts)
        left_out = _left_out(run, view)
        _refuse_missing(environment, facts, target)
        told = run.crew.intact(target.places, verb="rollback", versions=True)
        versions.refuse_unreadable(run, target, told)
        tell({"type": "note", "text": _announcement(environment, facts, target, skipped)})
        targets = target.places
        changed = differing(run, facts, targets)
        order = waves.order(environment, changed, view, allow_stall=allow_stall, verb="rollback")
        down = frozenset(changed) - {*following(run.mesh.statuses())}
        down = frozenset() if order.at_once else down | order.silent
        change = Change(
            action="rollback",
            commit=target.commit,
            subject=target.subject,
            snapshot=target.snapshot,
            course=Course(
                waves.one_by_one(order, down),
                targets,
                _before(records, left_out) | places(facts),
                gated=gated,
                left_out=left_out,
                may_strand=down,
                may_stall=allow_stall,
                silent=order.silent,
            ),
            genesis_hash=genesis_hash,
            records=records,
            began=began,
            prove=prove,
            load=load,
            choice=Settled(allow_stall=allow_stall),
        )
        said = {"action": "rollback", "commit": target.commit, "subject": target.subject}
        hooks = Hooks(environment, tell, {**said, "by": permit.who})
        hooks.before("rollback", nodes=changed)
        done = carry_out(run, change)
        hooks.after("rollback", outcome=done.to_record())
        return done


def _left_out(run: Run, view: waves.Seen) -> dict[str, str]:
    """List the nodes of hosts that do not answer, and why; the others have to be enough.

    While blocks are made those count that vote, and those that are down, for they come first.
    Where none are made there is nothing to keep, and everybody may vote again behind this.

    Raises: AitbcError (refused) when they would not make blocks without them.
    """
    environment, absent = run.environment, run.crew.absent
    left_out = {
        each.name: f"was left out, its host {each.host} does not answer"
        for each in environment.instances
        if each.host in absent
    }
    everybody = [each.name for each in environment.instances]
    if gates.quorum(view.powers.sum(view.voting), view.powers.total):
        everybody = [each for each in everybody if each in view.voting or each not in view.active]
    (budget,) = waves.budgets(view.powers, [tuple(left_out)], everybody)
    if left_out and not budget.goes_on:
        lines = [f"  {host:<14} {why}" for host, why in absent.items()]
        raise AitbcError(
            "\n".join(
                [
                    f"rollback {environment.name} refused: too much voting power does not answer",
                    *lines,
                    f"  without it       {budget.sum}",
                    "  changed so far   nothing, on no host",
                ]
            ),
            hint=f"aitbc preflight {environment.name}",
            exit_status=Exit.REFUSED,
        )
    return left_out


def _before(records: Sequence[Record], names: Collection[str]) -> dict[str, Place]:
    """Say where nodes stand that cannot be asked, as far as the records know."""
    last = history.newest_healthy(records)
    known = last.places if last else {}
    return {name: known.get(name, NOTHING) for name in names}


def _announcement(
    environment: Environment, facts: Facts, target: Record, skipped: Sequence[Record]
) -> str:
    """Say what is returned to, and why it is that one."""
    now = sorted({place[0][:SHORT] for place in places(facts).values() if place[0]})
    bad = ", ".join(f"{each.commit[:SHORT]}, {each.outcome}" for each in skipped)
    return (
        f"roll back {environment.name}: {' '.join(now)} -> {target.commit[:SHORT]}, "
        f"the newest release that was healthy before" + (f" (skips {bad})" if bad else "")
    )


def _genesis_hash(environment: Environment, hosts: Sequence[Mapping[str, Any]]) -> str:
    """Find the chain that this is about; a machine that did not found it has the hosts' word.

    Its own history may be of a chain that was wiped.
    """
    founded = founding.read(environment)
    if founded:
        return founded.hash
    newest = max(hosts, key=lambda record: str(record["started"]), default={"genesis_hash": ""})
    return str(newest["genesis_hash"])


def _is_down(facts: Facts) -> bool:
    told = [each for host in facts.values() for each in host["instances"].values()]
    return not any(each["service"]["active"] for each in told)


def _refuse_missing(environment: Environment, facts: Facts, target: Record) -> None:
    """Refuse before any change when a host does not have the release, or a node no place in it."""
    missing = [
        f"  {host:<14} has no {target.places.get(name, NOTHING)[0][:SHORT]} for {name}"
        for host, told in facts.items()
        for name in told["instances"]
        if not _lies_there(told, name, target.places.get(name, NOTHING))
    ]
    if missing:
        head = f"rollback {environment.name} refused: the release is not on every host"
        raise AitbcError(
            "\n".join([head, *missing, "  changed so far   nothing, on no host"]),
            hint=f"aitbc deploy {environment.name} --ref {target.commit[:SHORT]}",
            exit_status=Exit.REFUSED,
        )


def _lies_there(told: Mapping[str, Any], name: str, place: Place) -> bool:
    commit, config = place
    return f"{name}-{config}" in told["releases"].get(commit, [])
