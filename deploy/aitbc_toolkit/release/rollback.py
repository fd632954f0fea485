"""How does an environment return to the release before? Nobody has to name it.

The newest release that was healthy before the current one, from the records; it lies on the hosts
still, so nothing is fetched. Same waves, gates and record as a deploy.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import founding, history, permission, verifying, versions, waves
from aitbc_toolkit.release.carrying import carry_out
from aitbc_toolkit.release.change import Change
from aitbc_toolkit.release.facts import Facts, differing, observe, places, seen
from aitbc_toolkit.release.history import NOTHING, Place, Record
from aitbc_toolkit.release.hooks import Hooks
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import Tell
from aitbc_toolkit.release.rolling import Course
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
        facts = observe(run, "rollback")
        founded = founding.read(environment)
        genesis_hash = founded.hash if founded else ""
        hosts = [record for host in facts.values() for record in host["records"]]
        records = history.read(environment, hosts=hosts, genesis_hash=genesis_hash)
        target, skipped = history.before(
            records, environment=environment.name, is_down=_is_down(facts)
        )
        _refuse_missing(environment, facts, target)
        run.crew.intact(target.commit, verb="rollback")
        versions.refuse_unreadable(run, target)
        tell({"type": "note", "text": _announcement(environment, facts, target, skipped)})
        targets = target.places
        changed = differing(run, facts, targets)
        order = waves.order(environment, changed, seen(run, facts), allow_stall=allow_stall)
        change = Change(
            action="rollback",
            commit=target.commit,
            subject=target.subject,
            snapshot=target.snapshot,
            course=Course(order, targets, places(facts), gated=gated),
            genesis_hash=genesis_hash,
            records=records,
            began=began,
            prove=prove,
            load=load,
        )
        said = {"action": "rollback", "commit": target.commit, "subject": target.subject}
        hooks = Hooks(environment, tell, {**said, "by": permit.who})
        hooks.before("rollback", nodes=changed)
        done = carry_out(run, change)
        hooks.after("rollback", outcome=done.to_record())
        return done


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
