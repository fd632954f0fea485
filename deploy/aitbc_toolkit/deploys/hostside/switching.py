"""How does a node change from one release to another, and how does it start and stop?

Two renames and one restart. A kill between them leaves a host whose running commit differs from
its links; the next run sees that and restarts. Standard library only.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files, journaling, leasing, services, staging
from aitbc_toolkit.deploys.hostside.supervising import Supervisord
from aitbc_toolkit.deploys.hostside.trouble import Trouble


def switch(params: dict[str, Any]) -> dict[str, Any]:
    """Point the named nodes at a release and restart them."""
    layout = params["layout"]
    manager = services.manager(params)
    began = time.monotonic()
    with leasing.guarded(params):
        for instance in params["instances"]:
            _switch(instance, base=Path(layout["base"]), manager=manager)
        since = {each["name"]: _anew(each, manager.restart) for each in params["instances"]}
    return {
        "since": since,
        "restart_ms": int((time.monotonic() - began) * 1000),
        "services": {each["name"]: manager.state(each) for each in params["instances"]},
    }


def _switch(instance: dict[str, Any], *, base: Path, manager: services.Manager) -> None:
    release = base / "releases" / instance["commit"]
    config = staging.config_folder(release, instance)
    for needed in (release / "manifest.json", config):
        if not needed.exists():
            raise Trouble(f"{needed} is not on this host", hint="deploy the commit anew")
    log = Path(instance["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    files.point(Path(instance["current"]), f"../releases/{instance['commit']}")
    files.point(Path(instance["config"]), str(config))
    manager.install(instance, (config / "service").read_text(encoding="utf-8"))


def service(params: dict[str, Any]) -> dict[str, Any]:
    """Start, stop or restart the named nodes, or take them back to having no release at all."""
    manager = services.manager(params)
    action = params["action"]
    since = {}
    with leasing.guarded(params):
        for instance in params["instances"]:
            if action == "stop":
                manager.stop(instance)
            elif action == "start":
                since[instance["name"]] = _anew(instance, manager.start)
            elif action == "restart":
                since[instance["name"]] = _anew(instance, manager.restart)
            elif action == "remove":
                manager.stop(instance)
                Path(instance["current"]).unlink(missing_ok=True)
                Path(instance["config"]).unlink(missing_ok=True)
    return {
        "since": since,
        "services": {
            each["name"]: _seen(each, manager, params["lines"]) for each in params["instances"]
        },
    }


def _anew(instance: dict[str, Any], begin: Callable[[dict[str, Any]], str]) -> str:
    """Start a node, also one that has given up: an operator's start is not one of its own tries.

    Return where in the log its own words begin.
    """
    (Path(instance["data"]) / "run" / "fast_exits.json").unlink(missing_ok=True)
    return begin(instance)


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
        if isinstance(manager, Supervisord):
            manager.shut_down(instances)
        else:
            for instance in instances:
                manager.stop(instance)
        if params["wipe"]:
            _wipe(params)
    return {"stopped": stopped, "wiped": bool(params["wipe"])}


def _wipe(params: dict[str, Any]) -> None:
    """Remove chain data, keys and configuration links; staged releases stay, they are code."""
    for instance in params["instances"]:
        for kind in ("data", "keys", "home"):
            shutil.rmtree(instance[kind], ignore_errors=True)
        Path(instance["config"]).unlink(missing_ok=True)
        Path(instance["log"]).unlink(missing_ok=True)
    journaling.forget(Path(params["layout"]["state"]))
