"""For how long may a switched node be unproved before its host takes it back by itself?

Each wave is armed by the step that switches it, and disarmed when its nodes have shown that they
take part, before the next wave is touched: so at most one wave is armed. Values only; what hosts do
is in `hostside/deadman` and `hostside/firing`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aitbc_node.rpc import schema
from aitbc_toolkit import render
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.history import NOTHING, Place

# What comes on top of gate and watchdog: the stop of a node (at most 10 s), the comparison of state
# roots (10 s), and round trips.
_MARGIN_S = 25.0
# Every validator proposes once in a rotation; one more allows for a height that took a round.
_ROTATIONS = 2
# Waiting longer costs more than the one round that it saves.
_DRAIN_MS_MAX = 120_000


@dataclass(frozen=True, slots=True)
class Guard:
    """Say what a host does beside a switch: wait for a good moment, and take it back in time.

    `before` holds the nodes that are armed, with where they stood; nobody is when it is empty.
    `app_version` is by which rules the chain goes on at that time; None is *nobody told*.
    """

    before: Mapping[str, Place] = field(default_factory=dict)
    after_s: float = 0.0
    drain_ms: int = 0
    app_version: int | None = None


def guard(
    environment: Environment,
    wave: Collection[str],
    before: Mapping[str, Place],
    *,
    after_s: float,
    drains: bool,
    app_version: int | None,
) -> Guard:
    """Arm those of a wave that have something to go back to; drain those that others wait for.

    `after_s` counts from the restart: the time that draining takes comes on top.
    """
    known = {name: before[name] for name in wave if before.get(name, NOTHING) != NOTHING}
    rotation_ms = len(environment.validators) * environment.chain.block_interval_ms
    drain_ms = min(_ROTATIONS * rotation_ms, _DRAIN_MS_MAX) if drains else 0
    return Guard(known, after_s + drain_ms / 1000, drain_ms, app_version)


def rules(statuses: Mapping[str, schema.Status | None]) -> int | None:
    """Tell by which rules the chain goes on: by the newest that any node of the mesh tells.

    A node that is down or behind does not know what is in force by now.
    """
    return max((each.app_version for each in statuses.values() if each), default=None)


def fill(
    params: Mapping[str, dict[str, Any]],
    targets: Mapping[str, Sequence[str]],
    guard: Guard,
    environment: Environment,
) -> None:
    """Tell hosts where each node goes, where it stood, and when and with what they act."""
    for name, document in params.items():
        for instance in document["instances"]:
            instance["commit"], instance["config_hash"] = targets[instance["name"]]
            instance["before"] = guard.before.get(instance["name"], NOTHING)
        document["arm"] = {}
        if guard.before:
            keeper = render.keeper(environment.host(name))
            own = environment.on(name)[0]
            ways = ((own.way_to(each), each.rpc_port) for each in environment.instances)
            nodes = [[address, port] for address, port in ways if address]
            known = {"after_s": guard.after_s, "app_version": guard.app_version}
            document["arm"] = {**known, "nodes": nodes, **keeper}


def armed(answers: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """List the hosts that will take nodes back by themselves, by what each one told."""
    return [{"host": name, **told["switch"]} for name, told in answers.items() if told["switch"]]


def acted(answers: Mapping[str, Mapping[str, Any]], *, since: str) -> list[dict[str, Any]]:
    """List the hosts whose switch has ended by itself since then, by what each one told."""
    found = {name: told.get("acted") for name, told in answers.items()}
    return [{"host": name, **each} for name, each in found.items() if each and each["at"] >= since]


def ended(switch: Mapping[str, Any]) -> str:
    """Say of one host what it did by itself, or why it did not."""
    nodes, host, reason = " ".join(switch["nodes"]), switch["host"], switch["reason"]
    if switch["state"] == "withheld":
        return f"withheld at {switch['at']}: {host} left {nodes} as they were, {reason}"
    return f"fired at {switch['at']}: {host} took {nodes} back, {reason}"


def said(switch: Mapping[str, Any]) -> str:
    """Say of one armed host what it will do, and when."""
    nodes, due_s = " ".join(switch["nodes"]), max(0.0, switch["due_in_s"])
    return f"armed: {switch['host']} takes {nodes} back in {due_s:.0f} s unless a run comes first"


def after_s(gate_s: float, *, proof_s: float) -> float:
    """Say how long after it was armed a switch acts: never while a wave may still be proved."""
    found = gate_s + proof_s + _MARGIN_S
    assert found > gate_s + proof_s, "a node that may still pass its gate is not taken back"
    return found
