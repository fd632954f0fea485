"""What do hosts and nodes tell before a change, and which nodes differ from a release?

Observing changes nothing. What follows from it is decided in `waves` and `plan`.
"""

import time
from collections.abc import Collection, Mapping
from typing import Any

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import powers, waves
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.history import NOTHING, Place
from aitbc_toolkit.release.outcome import counted
from aitbc_toolkit.release.powers import Statuses
from aitbc_toolkit.release.progress import step
from aitbc_toolkit.release.reading import Mesh, tip
from aitbc_toolkit.release.rolling import Run

Facts = Mapping[str, Mapping[str, Any]]
"""What each host told, by its name."""

_SECOND_LOOKS_S = 3.0
_LOOK_S = 0.2


def observe(run: Run, verb: str, *, may_miss: bool = False) -> Facts:
    """Ask every host once; refuse when one of them cannot take a release.

    Hosts that `may_miss` lets go are in nobody's way from here on: `run.crew.absent` names them.
    Raises: AitbcError (refused) with every finding.
    """
    with step(run.tell, "observe", f"looking at {host_count(run.environment)}") as now:
        facts = run.crew.observe(verb, may_miss=may_miss)
        lost = "".join(f"; {name} does not" for name in run.crew.absent)
        now.say(f"{counted(len(facts), 'host')} answer{lost}")
    refuse_unready(run.environment, facts, verb=verb)
    refuse_taken_ports(run.environment, facts, verb=verb)
    return facts


def host_count(environment: Environment) -> str:
    """Say how many hosts there are."""
    return counted(len(environment.hosts), "host")


def places(facts: Facts) -> dict[str, Place]:
    """Read from the hosts which release each node has."""
    return {
        name: (str(told["commit"]), str(told["config"])) if told["commit"] else NOTHING
        for host in facts.values()
        for name, told in host["instances"].items()
    }


def differing(run: Run, facts: Facts, targets: Mapping[str, Place]) -> list[str]:
    """List the nodes that do not run what they should, whatever their links say."""
    changed = []
    for host in facts.values():
        for name, told in host["instances"].items():
            if name not in targets:
                continue
            service = told["service"]
            managed = service["active"] and not service["orphan"]
            runs = managed and told["running_commit"] == targets[name][0]
            if told["running_config"] not in {"", targets[name][1]}:
                runs = False  # a kill between the links and the restart, with the same commit
            if not runs or (told["commit"], told["config"]) != targets[name]:
                changed.append(name)
    order = [each.name for each in run.environment.instances]
    return sorted(changed, key=order.index)


def seen(run: Run, facts: Facts) -> waves.Seen:
    """Put together what hosts and nodes tell about the mesh before a change."""
    active = {
        name
        for host in facts.values()
        for name, told in host["instances"].items()
        if told["service"]["active"]
    }
    statuses = settled(run.mesh, active)
    return waves.Seen(
        active=frozenset(active),
        voting=frozenset(voting(run.environment, statuses)),
        height=tip(statuses),
        powers=powers.told(run.mesh, statuses),
        data_versions=tuple(sorted({told.data_version for told in statuses.values() if told})),
    )


def settled(mesh: Mesh, active: Collection[str]) -> Statuses:
    """Ask all nodes; again for a moment while one that runs does not vote in a mesh that does.

    A busy host is late now and then, and to be taken for silent would refuse the whole run.
    """
    expected = {each.name for each in mesh.environment.validators if each.name in active}
    until = time.monotonic() + _SECOND_LOOKS_S
    while True:
        statuses = mesh.statuses()
        votes = voting(mesh.environment, statuses)
        if not votes or expected.issubset(votes) or time.monotonic() > until:
            return statuses
        time.sleep(_LOOK_S)


def refuse_unready(environment: Environment, facts: Facts, *, verb: str) -> None:
    """Refuse when a host that was observed cannot take a release.

    Raises: AitbcError (refused) with everything that is missing, on every host.
    """
    failed = [
        (host, check)
        for host, told in facts.items()
        for check in told["checks"]
        if check["state"] == "fail"
    ]
    if not failed:
        return
    lines = [f"  {host:<14} {check['evidence']}" for host, check in failed]
    raise AitbcError(
        "\n".join([f"{verb} {environment.name} refused: hosts are not ready", *lines]),
        hint="\n".join(dict.fromkeys(check["hint"] for _, check in failed)),
        exit_status=Exit.REFUSED,
    )


def refuse_taken_ports(environment: Environment, facts: Facts, *, verb: str) -> None:
    """Refuse when a node that is down would find somebody else on its ports.

    Raises: AitbcError (refused) that names every port.
    """
    taken = [
        f"  {name:<14} {port} on {host}"
        for host, told in facts.items()
        for name, instance in told["instances"].items()
        for port in instance["taken_ports"]
    ]
    if taken:
        raise AitbcError(
            "\n".join(
                [
                    f"{verb} {environment.name} refused: ports that are not free",
                    *taken,
                    "  changed so far   nothing, on no host",
                ]
            ),
            hint="ss -ltnp   # shows who listens\n"
            f"edit inventories/{environment.name}/inventory.toml   # ports of the instance",
            exit_status=Exit.REFUSED,
        )
