"""How does a fault begin, prove itself, and end? Snapshot, inject, prove, heal, compare.

The hosts keep the end. All that is lost with this process is who hears that it came.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.faults import planning, rebooting
from aitbc_toolkit.faults.kinds import Fault
from aitbc_toolkit.faults.links import Cap
from aitbc_toolkit.faults.planning import Plan
from aitbc_toolkit.faults.told import NotBitten, Residue, Told, TooLate
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.remote import Hosts, Row

PROVE_S = 5.0
SETTLE_S = 15.0
# With less of the lease left, a host that is asked to look may do so when it is over: a cut is seen
# in two rounds of connecting of 1 s each, behind the start of whoever looks.
_GLANCE_S = 3.0
_STEP_S = 40
# An order that is being carried out holds its host for so long; its heal waits for that.
_END_S = 2 * _STEP_S + int(SETTLE_S)

Tell = Callable[[Mapping[str, object]], None]
"""Hears of `fault.begin`, `fault.proved` and `fault.end`, each with what is known of the fault."""


@contextmanager
def injected(
    environment: Environment,
    fault: Fault,
    *,
    tell: Tell | None = None,
    cap: Cap | None = None,
    remote: Hosts | None = None,
) -> Iterator[Told]:
    """Break hosts until the block ends, or the lease, whichever is first.

    The block begins when every host has shown that the fault bites. Give `remote` to share
    connections between faults that overlap.
    Raises: NotBitten, Residue, which is also what any AitbcError becomes where something is left
    behind; AitbcError (refused, denied, unreachable) before anything is done.
    """
    hear = tell or (lambda _record: None)
    with nullcontext(remote) if remote else Hosts(environment) as hosts:
        plan = planning.plan(environment, fault, hosts, cap=cap)
        _refuse(plan)
        told = Told(plan.id, fault)
        try:
            _begin(plan, hosts, told)
            hear({"kind": "fault.begin", **told.to_document()})
            _prove(plan, hosts, told)
            hear({"kind": "fault.proved", **told.to_document()})
            yield told
        except BaseException as failure:
            _end(plan, hosts, told)
            hear({"kind": "fault.end", **told.to_document()})
            if not told.residue:
                raise
            if isinstance(failure, AitbcError) and not isinstance(failure, Residue):
                said = f"{failure.message}\n{_left(told.residue)}"
                raise Residue(said, hint=_hint(environment)) from failure
            failure.add_note(_left(told.residue))
            raise
        _end(plan, hosts, told)
        hear({"kind": "fault.end", **told.to_document()})
        _require_clean(environment, told.residue)


def heal(
    environment: Environment,
    remote: Hosts,
    *,
    ids: Collection[str] | None = None,
    accept: bool = False,
) -> dict[str, Mapping[str, Any]]:
    """Bring the end of some faults forward, or of all; tell what each host has left.

    With `accept` what is left is only told, and hosts take it for how they should be.
    Raises: Residue when a host is not as it was; AitbcError (unreachable) when one does not answer.
    """
    rows = _ask_end(
        environment, [each.name for each in environment.hosts], remote, ids, accept=accept
    )
    planning.require(environment, rows, status=Exit.UNREACHABLE)
    if not accept:
        _require_clean(environment, {name: row.answer["residue"] for name, row in rows.items()})
    return {name: row.answer for name, row in rows.items()}


def status(environment: Environment, remote: Hosts) -> dict[str, Mapping[str, Any]]:
    """Let every host tell which faults it has, and what is left of earlier ones."""
    hosts: dict[str, tuple[str, ...]] = {each.name: () for each in environment.hosts}
    return planning.look(environment, remote, hosts, probe=False)


def _refuse(plan: Plan) -> None:
    if not plan.refusals:
        return
    lines = [f"  {host:<14} {why}" for host, why in plan.refusals.items()]
    raise AitbcError(
        "\n".join([f"{plan.fault.kind} refused", *lines, "  changed so far nothing, on no host"]),
        hint="aitbc chaos kinds",
        exit_status=Exit.REFUSED,
    )


def _begin(plan: Plan, remote: Hosts, told: Told) -> None:
    """Inject on all hosts side by side.

    Raises: Residue, AitbcError (infrastructure); what was done by then is the caller's to end.
    """
    fault = plan.fault
    params = planning.documents(plan.environment, [each.host for each in plan.orders])
    for each in plan.orders:
        params[each.host]["order"] = {
            "id": plan.id,
            "kind": fault.kind,
            "about": fault.about,
            "lease_s": fault.lease_s,
            "nodes": list(plan.radius.nodes),
            "targets": list(fault.targets),
            "do": list(each.do),
            "undo": each.undo,
        }
    told.ask()
    rows = remote.step("fault-inject", params, deadline_s=_STEP_S)
    told.begin()
    unclean = {name: [row.error] for name, row in rows.items() if row.kind == "residue"}
    if unclean:
        raise Residue(_left(unclean), hint=_hint(plan.environment))
    planning.require(plan.environment, rows, status=Exit.INFRASTRUCTURE)
    if fault.kind == rebooting.KIND:
        told.boots = {name: str(row.answer["boot"]) for name, row in rows.items()}


def _prove(plan: Plan, remote: Hosts, told: Told) -> None:
    """Let every host measure that the fault bites; one that starts anew is seen to be gone.

    Raises: NotBitten; TooLate where the lease may have ended before its hosts had looked.
    """
    within_s, left_s = PROVE_S, told.ends_from - time.time()
    if plan.fault.kind == rebooting.KIND:
        within_s = rebooting.GONE_S
        gone = rebooting.await_gone([plan.environment.host(each.host) for each in plan.orders])
        told.evidence = {name: {"way in": why or "it is open"} for name, why in gone.items()}
        dull = [name for name, why in gone.items() if not why]
    else:
        dull = _measure(plan, remote, told)
    told.bitten_at = time.time()
    if dull:
        told.bitten_at = 0.0
        lines = [f"  {name:<14} {told.evidence[name]}" for name in dull]
        head, error = f"{plan.fault.about} does not bite within {within_s:g} s", NotBitten
        looked = all(isinstance(told.evidence[name], dict) for name in dull)
        if left_s < _GLANCE_S and looked:
            head, error = f"{plan.fault.about} was over before it was proved", TooLate
        raise error(
            "\n".join([head, *lines]), hint=f"aitbc chaos status -e {plan.environment.name}"
        )


def _measure(plan: Plan, remote: Hosts, told: Told) -> list[str]:
    """Have the proofs of each host taken; name the hosts where not all of them hold."""
    params = planning.documents(plan.environment, [each.host for each in plan.orders])
    for each in plan.orders:
        params[each.host] |= {"proofs": list(each.proofs), "within_s": PROVE_S}
    rows = remote.step("fault-prove", params, deadline_s=_STEP_S)
    told.evidence = {
        name: row.answer["evidence"] if row.ok else row.error for name, row in rows.items()
    }
    return [name for name, row in rows.items() if not (row.ok and row.answer["bites"])]


def _end(plan: Plan, remote: Hosts, told: Told) -> None:
    """Heal what the lease has not healed yet, and compare every host with what it was."""
    hosts = [each.host for each in plan.orders]
    rows = _ask_end(plan.environment, hosts, remote, [plan.id])
    same: list[str] = []
    if told.boots:
        rows = rebooting.await_back(
            lambda: _ask_end(plan.environment, hosts, remote, [plan.id]), told.boots
        )
        now = {name: str(row.answer.get("boot", row.error)) for name, row in rows.items()}
        same = [name for name, boot in now.items() if boot == told.boots[name]]
        for name, boot in now.items():
            told.evidence.setdefault(name, {})["boot"] = f"{told.boots[name]}, then {boot}"
    told.healed_at = min(time.time(), told.ends_at) if told.ends_at else time.time()
    told.residue = {
        name: found
        for name, row in rows.items()
        if (found := list(row.answer["residue"]) if row.ok else [f"unknown: {row.error}"])
    }
    told.residue |= {name: ["it was not started anew: its boot is that of before"] for name in same}
    told.active = {
        name: [str(each["about"]) for each in row.answer["active"]]
        for name, row in rows.items()
        if row.ok and row.answer["active"]
    }


def _ask_end(
    environment: Environment,
    hosts: Collection[str],
    remote: Hosts,
    ids: Collection[str] | None,
    *,
    accept: bool = False,
) -> dict[str, Row]:
    chosen = None if ids is None else list(ids)
    params = planning.documents(environment, hosts, ids=chosen, settle_s=SETTLE_S, accept=accept)
    return remote.step("fault-end", params, deadline_s=_END_S)


def _require_clean(environment: Environment, residue: Mapping[str, Collection[str]]) -> None:
    left = {name: found for name, found in residue.items() if found}
    if left:
        raise Residue(_left(left), hint=_hint(environment))


def _hint(environment: Environment) -> str:
    own = f"aitbc chaos heal -e {environment.name}"
    return f"{own}\n{own} --accept"


def _left(residue: Mapping[str, Collection[str]]) -> str:
    lines = [f"  {name:<14} {each}" for name, found in residue.items() for each in found]
    return "\n".join(["a fault has left something behind", *lines])
