"""How does this host come to take nodes back by itself, and with what does each of them live?

Arming leaves a file, the program that acts on it (`firing`) and its service; the file is judged in
`deadman`. Standard library only.
"""

import time
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import deadman, files, services
from aitbc_toolkit.deploys.hostside.moments import Moment

_PROGRAM = "deadman.py"
_VERSION_FILE = "data_version"
# The version of data without the file; releases that knew no other wrote none.
_FIRST = 1

Versions = dict[str, int | None]
"""What a node lives with: `data_version` and `app_version`; None is *nobody told*."""


def arm(params: dict[str, Any], *, manager: services.Manager) -> None:
    """Let this host take the named nodes back by itself, unless `disarm` comes in time.

    Nodes without a release have nothing to go back to.
    """
    switch, state = params["arm"], Path(params["layout"]["state"])
    rules = switch["app_version"]
    instances = [_kept(each, rules) for each in params["instances"] if each["before"][0]]
    if not instances:
        return
    moment = Moment.read()
    deadman.write(
        state,
        {
            "state": "armed",
            "token": params["lease"]["token"],
            "boot": moment.boot,
            "due_s": moment.now_s + switch["after_s"],
            "due_wall_s": time.time() + switch["after_s"],
            "base": params["layout"]["base"],
            "manager": params["manager"],
            "instances": instances,
            "nodes": switch["nodes"],
            "back": [],
        },
    )
    files.write(state / _PROGRAM, switch["program"])
    keeper = {**switch["keeper"], "config": str(state)}
    manager.install(keeper, switch["service"])
    manager.restart(keeper)


def data_version_of(instance: dict[str, Any]) -> int | None:
    """Tell in which version the data of a node are; None when the file cannot be read."""
    try:
        return int((Path(instance["data"]) / _VERSION_FILE).read_text(encoding="ascii"))
    except FileNotFoundError:
        return _FIRST
    except (OSError, ValueError):
        return None


def _kept(instance: dict[str, Any], app_version: int | None) -> dict[str, Any]:
    """Keep a node with where it stood before."""
    commit, config_hash = instance["before"]
    return {
        **instance,
        "commit": commit,
        "config_hash": config_hash,
        "versions": {"data_version": data_version_of(instance), "app_version": app_version},
    }
