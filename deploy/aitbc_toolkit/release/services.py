"""How is one node started, stopped or restarted where it is, and what did it write?

The same guard as for a deploy: nobody takes a node away that the mesh cannot spare, unless told to.
No release changes here.
"""

import time
from collections.abc import Sequence
from typing import Literal

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import gates, permission, powers, sparing
from aitbc_toolkit.release.gates import quorum, voting
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.outcome import Outcome, fact
from aitbc_toolkit.release.progress import Tell, duration, step
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.waves import budgets
from aitbc_toolkit.remote import Hosts

Action = Literal["start", "stop", "restart"]


def control(
    environment: Environment,
    action: Action,
    name: str,
    tell: Tell,
    *,
    force: bool = False,
    break_lease: str = "",
) -> Outcome:
    """Do one thing to one node's service, and wait until it shows.

    Raises: AitbcError (refused) when the mesh would stop, unless forced.
    """
    began = time.monotonic()
    instance = environment.instance(name)
    permission.require(environment, "operate", subject=f"{action} {name}")
    reason = f"{action} {name}"
    at = at_work(environment, tell, reason=reason, break_lease=break_lease, decides=force)
    with at as run:
        ran = bool(run.crew.watch([name]).get(name, {}).get("active"))
        if action != "start" and not force:
            again = f"aitbc node {action} {name} -e {environment.name} --force   # stops the mesh"
            spare(run, name, f"{action} {name}", again=again)
        with step(tell, action, f"{name} on {instance.host}") as now:
            rows = run.crew.service(action, [name])
            reached = rows[instance.host].kind != "unreachable"
            run.crew.require(
                rows,
                verb=f"{action} {name} of",
                changed=f"see aitbc status {environment.name}" if reached else "nothing",
                status=Exit.FAILED,
            )
            word = rows[instance.host].answer["services"][name]["word"]
            now.say(f"{name} on {instance.host}: {word}")
        if action == "stop":
            has_quorum = sparing.has_quorum(run.mesh)
        else:
            has_quorum = await_part(run, name, tell)
    took_s = time.monotonic() - began
    done = {"start": "started", "stop": "stopped", "restart": "restarted"}[action]
    if ran is (action == "start") and action != "restart":
        done = "runs already" if ran else "was stopped already"
    lines = [f"{name} of {environment.name} {done}, took {duration(took_s)}"]
    if not has_quorum:
        lines += _without_quorum(environment, action, name)
    facts = {"node": name, "quorum": has_quorum}
    return Outcome(Exit.OK, lines, changed=[name], took_s=took_s, facts=facts)


def _without_quorum(environment: Environment, action: Action, name: str) -> list[str]:
    """Say what it means that too few vote now, and what ends it."""
    if action == "stop":
        again = f"next: aitbc node start {name} -e {environment.name}"
        return [fact("but", "the mesh has no quorum now: it makes no blocks"), again]
    up = "up" if environment.rules.dirty else "deploy"
    others = f"next: aitbc {up} {environment.name}   # starts the others"
    return [fact("but", "it cannot vote: the mesh has no quorum"), others]


def logs(environment: Environment, name: str, *, lines: int) -> Sequence[str]:
    """Read the newest lines that one node wrote.

    Raises: AitbcError (unreachable) when its host does not answer.
    """
    instance = environment.instance(name)
    with Hosts(environment) as remote:
        seen = Crew(environment, remote).watch([name], lines=lines)
    if name not in seen:
        raise AitbcError(
            f"logs of {name}: host {instance.host} does not answer",
            hint=f"aitbc status {environment.name}",
            exit_status=Exit.UNREACHABLE,
        )
    found: list[str] = seen[name]["log"]
    return found


def spare(run: Run, name: str, what: str, *, again: str, would: str = "it would stop") -> None:
    """Refuse when the mesh has a quorum now and might not without this node.

    Whoever answers counts as there, only who votes counts as staying: in doubt it is a refusal.
    """
    environment = run.environment
    statuses = run.mesh.statuses()
    now = [each.name for each in environment.validators if statuses[each.name] is not None]
    rest = [each for each in voting(environment, statuses) if each != name]
    power = powers.told(run.mesh, statuses)
    (budget,) = budgets(power, [()], rest)
    if not quorum(power.sum(now), power.total) or budget.goes_on:
        return
    raise AitbcError(
        f"{what} refused: {would} the mesh of {environment.name}\n"
        f"  voting power     {power.written()}\n"
        f"  up now           {' '.join(now)} = {power.sum(now)}\n"
        f"  without {name:<9}{' '.join(rest) or 'nobody'} vote: {budget.sum}\n"
        "  changed so far   nothing, on no host",
        hint=f"aitbc network status -e {environment.name}\n{again}",
        exit_status=Exit.REFUSED,
    )


def await_part(run: Run, name: str, tell: Tell) -> bool:
    """Wait until the node takes part again, as far as the mesh lets it; tell whether it votes."""
    environment = run.environment
    statuses = run.mesh.statuses()
    power = powers.told(run.mesh, statuses)
    enough = quorum(power.sum({*voting(environment, statuses), name}), power.total)
    what = f"votes in {gates.HEIGHTS} heights" if enough else "answers; the mesh has no quorum"
    with step(tell, "wait", f"until {name} {what}") as now:
        verdict = gates.pass_gate(
            run.mesh,
            [name],
            watch=run.crew.watch,
            limits=gates.patience(environment, live=False),
            answer_is_enough=not enough,
        )
        if not verdict.passed:
            raise AitbcError(
                f"{name} runs but does not take part: {verdict.failed[name]}",
                hint=f"aitbc node logs {name} -e {environment.name}",
            )
        now.say(f"{name} {what}")
    return enough
