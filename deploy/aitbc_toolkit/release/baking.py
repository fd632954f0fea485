"""Does the canary stay well for a while, before the others follow it? Watches; changes nothing."""

import time
from collections.abc import Collection, Mapping

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import roots
from aitbc_toolkit.release.alarming import Alarm
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.reading import Mesh, tip

# One look that goes wrong may be a busy machine; this long is a node that is not well.
_UNWELL_S = 3.0
_POLL_S = 0.2
_LAG_MAX = 3


def bake(
    mesh: Mesh, names: Collection[str], *, bake_s: float, stall_s: float, alarm: Alarm
) -> dict[str, str]:
    """Watch the named nodes; return those that did not stay well, and why."""
    began = time.monotonic()
    since = dict.fromkeys(names, 0.0)
    height, grew = 0, began
    while (now := time.monotonic()) - began < bake_s:
        statuses = mesh.statuses()
        if tip(statuses) > height:
            height, grew = tip(statuses), now
        if now - grew > stall_s:
            return dict.fromkeys(names, f"the mesh made no block for {now - grew:.0f} s")
        unwell = _unwell(mesh.environment, statuses, names)
        since = {name: (since[name] or now) if name in unwell else 0.0 for name in names}
        lasting = {name: why for name, why in unwell.items() if now - since[name] > _UNWELL_S}
        if alarmed := alarm.heard(names):
            return {name: f"{why}, while it was watched" for name, why in alarmed.items()}
        if lasting:
            return {name: f"{why} while it was watched" for name, why in lasting.items()}
        time.sleep(_POLL_S)
    # A node that was down before may be down still.
    problem = roots.compare(mesh, needed=names).problem
    return dict.fromkeys(names, problem) if problem else {}


def _unwell(
    environment: Environment,
    statuses: Mapping[str, schema.Status | None],
    names: Collection[str],
) -> dict[str, str]:
    votes, height = voting(environment, statuses), tip(statuses)
    found = {}
    for name in names:
        status = statuses.get(name)
        if status is None:
            found[name] = "did not answer"
        elif status.height < height - _LAG_MAX:
            found[name] = f"fell back to height {status.height:,} of {height:,}"
        elif environment.instance(name).role == "validator" and name not in votes:
            found[name] = f"did not vote, last at height {status.last_voted_height:,}"
    return found
