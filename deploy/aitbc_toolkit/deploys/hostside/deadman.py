"""Is a dead-man's switch armed on this host, until when, and what does it take back?

One file, changed only under the step's lock: armed, disarmed, fired or withheld. An armed switch
has an end by the boot clock and, for after a reboot, by the wall clock. The program that acts on
it is `firing`, stored here by the step that arms. Standard library only.
"""

import json
import time
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import answering, files, services
from aitbc_toolkit.deploys.hostside.leasing import Moment

PROGRAM = "deadman.py"
_NAME = "deadman.json"
_VERSION_FILE = "data_version"


def arm(params: dict[str, Any], *, manager: services.Manager) -> None:
    """Let this host take the named nodes back by itself, unless `disarm` comes in time.

    Nodes without a release have nothing to go back to.
    """
    switch, state = params["arm"], Path(params["layout"]["state"])
    instances = [_kept(each) for each in params["instances"] if each["before"][0]]
    if not instances:
        return
    moment = Moment.read()
    _write(
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
            "back": [],
        },
    )
    files.write(state / PROGRAM, switch["program"])
    keeper = {**switch["keeper"], "config": str(state)}
    manager.install(keeper, switch["service"])
    manager.restart(keeper)


def disarm(state: Path) -> list[str]:
    """Let nothing be taken back any more; tell which nodes have been already."""
    switch = read(state)
    if switch.get("state") == "armed":
        switch = {**switch, "state": "disarmed"}
        _write(state, switch)
    return list(switch.get("back", []))


def note_back(state: Path, switch: dict[str, Any], name: str) -> dict[str, Any]:
    """Write down that a node is back; with the last of them the switch has fired."""
    back = [*switch["back"], name]
    whole = len(back) == len(switch["instances"])
    changed = {**switch, "back": back}
    if whole:
        settle(state, changed, "fired", "nobody disarmed it")
    else:
        _write(state, changed)
    return read(state)


def settle(state: Path, switch: dict[str, Any], outcome: str, reason: str) -> None:
    """Write down how an armed switch ended by itself."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    _write(state, {**switch, "state": outcome, "reason": reason, "at": at})


def read(state: Path) -> dict[str, Any]:
    """Read the switch of this host; nothing when there never was one."""
    try:
        found: dict[str, Any] = json.loads((state / _NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def wait_s(switch: dict[str, Any], moment: Moment) -> float:
    """Say how long an armed switch still waits.

    A reboot ends the boot clock that it was armed by; then the wall clock has to do.
    """
    if switch["boot"] == moment.boot:
        return float(switch["due_s"] - moment.now_s)
    return float(switch["due_wall_s"] - time.time())


def versions(instance: dict[str, Any]) -> dict[str, int]:
    """Tell which data and which rules of the chain this node lives with, as far as it shows."""
    found = {}
    written = Path(instance["data"]) / _VERSION_FILE
    if written.is_file():
        found["data_version"] = int(written.read_text(encoding="ascii"))
    told = answering.get(instance, "/status")
    if told is not None and "app_version" in told:  # which older releases do not tell
        found["app_version"] = int(told["app_version"])
    return found


def _kept(instance: dict[str, Any]) -> dict[str, Any]:
    """Keep a node with where it stood before."""
    commit, config_hash = instance["before"]
    return {
        **instance,
        "commit": commit,
        "config_hash": config_hash,
        "versions": versions(instance),
    }


def _write(state: Path, switch: dict[str, Any]) -> None:
    files.write(state / _NAME, json.dumps(switch, sort_keys=True))
