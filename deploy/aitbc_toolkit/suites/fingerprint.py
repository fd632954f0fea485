"""What was a load run asked, and of which mesh? One hash, and the commits that the nodes run.

Two runs with the same hash differ in their seed at most, and in what is under test: the nodes' own
version is no part of it. Do not add the machine: `measured`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites.scenario.schema import Case

_NAMES = frozenset({"id", "hrp"})
"""What tells two chains apart that are alike."""


def configuration(
    environment: Environment,
    plan: Mapping[str, Any],
    statuses: Iterable[schema.Status],
    *,
    beside: Case | None = None,
) -> str:
    """Hash what was asked without its seed, and the shape of the mesh that it was asked of.

    What is done to the mesh meanwhile (`beside`) is part of what was asked.
    """
    told = {
        "plan": {key: value for key, value in plan.items() if key != "seed"},
        "powers": sorted(each.power for each in statuses),
        **_mesh(environment),
    }
    if beside is not None:
        told["steps"] = [msgspec.to_builtins(each) for each in beside.steps]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def of_mesh(environment: Environment | None, asked: object) -> str:
    """Hash what was asked of a mesh that was not asked itself; of the simulator without one."""
    told: dict[str, object] = {"asked": msgspec.to_builtins(asked)}
    if environment is not None:
        told |= _mesh(environment)
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _mesh(environment: Environment) -> dict[str, object]:
    """Tell its chain, profile and nodes; which of them share a host, but no host's name.

    Two environments that are alike but for their names can be compared.
    """
    chain = msgspec.to_builtins(environment.chain)
    hosts = {each.host for each in environment.instances}
    return {
        "chain": {key: value for key, value in chain.items() if key not in _NAMES},
        "log_level": environment.profile.log_level,
        "limits": environment.profile.limits,
        "hosts": sorted(
            sorted((each.role, each.power) for each in environment.on(host)) for host in hosts
        ),
    }


def builds(statuses: Iterable[schema.Status]) -> list[str]:
    """Name the commits that the nodes run, each once."""
    return sorted({each.commit for each in statuses})
