"""How do nodes find each other at once when a network is back?

Each is told, on its own host, to dial whom it misses without the delays that grew while that was
in vain; a link brings what it lacks of blocks by itself. No process, file or block is touched, so
no lease is asked for: where a network was cut, the hosts that grant one may be out of reach. Do not
add what a node dials.
"""

import time
from collections.abc import Mapping
from typing import Any

from aitbc_toolkit import partition
from aitbc_toolkit.asking import MeshClient, open_mesh
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.partition import Split
from aitbc_toolkit.release import permission
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.outcome import Outcome, fact
from aitbc_toolkit.release.progress import Tell, duration, step
from aitbc_toolkit.remote import Hosts, Row

LINKS_S = 20.0
_POLL_S = 0.5


def recover(environment: Environment, name: str, tell: Tell) -> Outcome:
    """Let one node, or all of them, dial whom they miss; say who was reached before and after.

    Raises: AitbcError (unreachable) when no host can be asked.
    """
    began = time.monotonic()
    names = [environment.instance(name).name] if name else [x.name for x in environment.instances]
    permission.require(environment, "operate", subject=f"network recover {name}".strip())
    with open_mesh(environment) as mesh:
        before = partition.look(environment.name, mesh)
        with step(tell, "dial", f"{' '.join(names)}: whoever is missing is dialled now") as now:
            told, lost = _dialled(environment, names)
            now.say(", ".join(f"{node} {_words(each)}" for node, each in told.items()))
        with step(tell, "wait", "until every node reaches all the voting power") as now:
            after = _await(environment, mesh, until=time.monotonic() + LINKS_S)
            now.say(_sum(after))
    took_s = time.monotonic() - began
    head = f"{environment.name}: {_sum(after)}, took {duration(took_s)}"
    lines = [head, fact("before", _sum(before)), fact("after", _sum(after))]
    lines += [fact(host, f"cannot be asked: {why}") for host, why in lost.items()]
    facts = {"before": before.to_json(), "after": after.to_json(), "dialled": told}
    if after.is_whole:
        return Outcome(Exit.OK, lines, took_s=took_s, facts=facts)
    return Outcome(
        Exit.FAILED,
        lines,
        error=f"network recover {environment.name}: {_sum(after)}",
        hint=f"aitbc network partition -e {environment.name}\n"
        f"aitbc diagnose network -e {environment.name}",
        took_s=took_s,
        facts=facts,
    )


def _dialled(
    environment: Environment, names: list[str]
) -> tuple[dict[str, Mapping[str, Any] | None], dict[str, str]]:
    """Give the order on the hosts of these nodes; tell what each node did, and which host is lost.

    Raises: AitbcError (unreachable) when none of the hosts can be asked.
    """
    with Hosts(environment) as remote:
        crew = Crew(environment, remote)
        rows = crew.redial(names)
        if not any(row.ok for row in rows.values()):
            crew.require(
                rows, verb="network recover", changed="nothing, on no host", status=Exit.FAILED
            )
    told = {node: each for row in rows.values() if row.ok for node, each in _nodes(row)}
    lost = {row.host: row.error.partition("\n")[0] for row in rows.values() if not row.ok}
    if not any(told.values()):
        raise AitbcError(
            f"network recover {environment.name}: no node took the order",
            hint=f"aitbc status {environment.name}",
            exit_status=Exit.UNREACHABLE,
        )
    return {node: told.get(node) for node in names}, lost


def _nodes(row: Row) -> list[tuple[str, Mapping[str, Any] | None]]:
    return list(row.answer["nodes"].items())


def _words(told: Mapping[str, Any] | None) -> str:
    return f"dials {told['sought']}" if told else "took no order"


def _await(environment: Environment, mesh: MeshClient, *, until: float) -> Split:
    while True:
        seen = partition.look(environment.name, mesh)
        if seen.is_whole or time.monotonic() > until:
            return seen
        time.sleep(_POLL_S)


def _sum(seen: Split) -> str:
    if seen.is_whole:
        return "every node reaches all the voting power"
    silent = [each.name for each in seen.views if each.height is None]
    said = [f"no answer from {' '.join(silent)}"] if silent else []
    said += [f"out of reach for some: {' '.join(seen.missed)}"] if seen.missed else []
    return "; ".join(said)
