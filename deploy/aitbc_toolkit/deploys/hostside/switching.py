"""How does a node change from one release to another, and how does it start and stop?

Two renames and one restart. A kill between them leaves a host whose running commit differs from
its links; the next run sees that and restarts. Standard library only.
"""

import shutil
import time
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import (
    answering,
    arming,
    deadman,
    journaling,
    keeping,
    leasing,
    linking,
    services,
)


def switch(params: dict[str, Any]) -> dict[str, Any]:
    """Point the named nodes at a release and restart them.

    Armed before anything is changed, then drained where the mesh wants that, and stopped at once:
    what stands between costs the node its moment. On the way back nothing is armed, and what is
    armed lets go of the nodes when they are there, not before.
    """
    layout = params["layout"]
    manager = services.manager(params)
    with leasing.guarded(params, disarms=bool(params["arm"])):
        if params["arm"]:
            arming.arm(params, manager=manager)
        drained = {each["name"]: _drained(each, params) for each in params["instances"]}
        began = time.monotonic()
        for instance in params["instances"]:
            linking.point(instance, base=Path(layout["base"]), manager=manager)
        since = {each["name"]: linking.anew(each, manager.restart) for each in params["instances"]}
        if not params["arm"]:
            _let_go(params)
    return {
        "since": since,
        "drained": drained,
        "restart_ms": int((time.monotonic() - began) * 1000),
        "services": {each["name"]: manager.state(each) for each in params["instances"]},
    }


def _let_go(params: dict[str, Any]) -> None:
    state = Path(params["layout"]["state"])
    deadman.withdraw(state, [each["name"] for each in params["instances"]])


def _drained(instance: dict[str, Any], params: dict[str, Any]) -> dict[str, Any] | None:
    """Wait for the moment at which stopping a node costs no round, as long as the run gives it."""
    if not params["drain_ms"]:
        return None
    return answering.drain(instance, deadline_ms=params["drain_ms"])


def disarm(params: dict[str, Any]) -> dict[str, Any]:
    """Let what was switched stay; tell what this host has taken back by itself, and what runs."""
    manager = services.manager(params)
    with leasing.guarded(params) as back:
        pass
    return {
        "back": back,
        "services": {each["name"]: manager.state(each) for each in params["instances"]},
    }


def service(params: dict[str, Any]) -> dict[str, Any]:
    """Start, stop or restart the named nodes, or take them back to having no release at all."""
    manager = services.manager(params)
    action = params["action"]
    since = {}
    with leasing.guarded(params, disarms=False):
        for instance in params["instances"]:
            if action == "stop":
                manager.stop(instance)
            elif action == "start":
                since[instance["name"]] = linking.anew(instance, manager.start)
            elif action == "restart":
                since[instance["name"]] = linking.anew(instance, manager.restart)
            elif action == "remove":
                manager.stop(instance)
                Path(instance["current"]).unlink(missing_ok=True)
                Path(instance["config"]).unlink(missing_ok=True)
        _let_go(params)
    return {
        "since": since,
        "services": {
            each["name"]: _seen(each, manager, params["lines"]) for each in params["instances"]
        },
    }


def finalize(params: dict[str, Any]) -> dict[str, Any]:
    """Let the named nodes write a data version from now on; tell which version each has now."""
    with leasing.guarded(params):
        told = {
            each["name"]: answering.finalize(each, data_version=params["data_version"])
            for each in params["instances"]
        }
    return {"versions": {name: each["data_version"] if each else 0 for name, each in told.items()}}


def redial(params: dict[str, Any]) -> dict[str, Any]:
    """Let the named nodes dial whom they miss; tell what each said, none of one that is silent."""
    return {"nodes": {each["name"]: answering.redial(each) for each in params["instances"]}}


def watch(params: dict[str, Any]) -> dict[str, Any]:
    """Tell the state and the newest log lines of the named nodes; take no lock, change nothing."""
    manager = services.manager(params)
    return {
        "services": {
            each["name"]: _seen(each, manager, params["lines"]) for each in params["instances"]
        }
    }


def _seen(instance: dict[str, Any], manager: services.Manager, lines: int) -> dict[str, Any]:
    return {**manager.state(instance), "log": manager.log(instance, lines, since=instance["since"])}


def shut_down(params: dict[str, Any]) -> dict[str, Any]:
    """Stop the named nodes and the supervisor, if it is ours; `wipe` removes what they kept."""
    manager = services.manager(params)
    instances = params["instances"]
    with leasing.guarded(params):
        stopped = [each["name"] for each in instances if manager.state(each)["active"]]
        manager.shut_down(instances)
        if params["wipe"]:
            _wipe(params)
    return {"stopped": stopped, "wiped": bool(params["wipe"])}


def _wipe(params: dict[str, Any]) -> None:
    """Remove chain data, keys and configuration links; staged releases stay, they are code."""
    for instance in params["instances"]:
        for kind in ("data", "keys", "home"):
            shutil.rmtree(instance[kind], ignore_errors=True)
        for kept in keeping.places_before(Path(instance["data"])).values():
            shutil.rmtree(kept, ignore_errors=True)
        Path(instance["config"]).unlink(missing_ok=True)
        Path(instance["log"]).unlink(missing_ok=True)
    journaling.forget(Path(params["layout"]["state"]))
