"""Is a dead-man's switch armed on this host, until when, and what does it take back?

One file, changed only under the step's lock: armed, disarmed, fired or withheld. An armed switch
has an end by the boot clock and, for after a reboot, by the wall clock. Every step that changes the
host reads it, so nothing else belongs here. Standard library only.
"""

import json
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files
from aitbc_toolkit.deploys.hostside.moments import Moment

_NAME = "deadman.json"


def disarm(state: Path) -> list[str]:
    """Let nothing be taken back any more; tell which nodes have been already."""
    switch = read(state)
    if switch.get("state") == "armed":
        switch = {**switch, "state": "disarmed"}
        write(state, switch)
    return list(switch.get("back", []))


def withdraw(state: Path, names: Collection[str]) -> None:
    """Let an armed switch leave these nodes alone: they are where somebody has taken them."""
    switch = read(state)
    if switch.get("state") != "armed":
        return
    left = [each for each in switch["instances"] if each["name"] not in names]
    if any(each["name"] not in switch["back"] for each in left):
        write(state, {**switch, "instances": left})
    else:
        disarm(state)


def note_back(state: Path, switch: dict[str, Any], name: str) -> dict[str, Any]:
    """Write down that a node is back; with the last of them the switch has fired."""
    back = [*switch["back"], name]
    whole = all(each["name"] in back for each in switch["instances"])
    changed = {**switch, "back": back}
    if whole:
        settle(state, changed, "fired", "nobody disarmed it")
    else:
        write(state, changed)
    return read(state)


def settle(state: Path, switch: dict[str, Any], outcome: str, reason: str) -> None:
    """Write down how an armed switch ended by itself."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    write(state, {**switch, "state": outcome, "reason": reason, "at": at})


def read(state: Path) -> dict[str, Any]:
    """Read the switch of this host; nothing when there never was one."""
    try:
        found: dict[str, Any] = json.loads((state / _NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def seen(state: Path) -> dict[str, Any]:
    """Tell which nodes are armed, and when they would go back; nothing when none is."""
    switch = read(state)
    if switch.get("state") != "armed":
        return {}
    names = [each["name"] for each in switch["instances"]]
    return {"nodes": names, "due_in_s": round(wait_s(switch, Moment.read()), 1)}


def ended(state: Path) -> dict[str, Any]:
    """Tell how the newest switch ended by itself, and for which nodes; nothing when none did."""
    switch = read(state)
    if switch.get("state") not in {"fired", "withheld"}:
        return {}
    back = switch["back"]
    left = [each["name"] for each in switch["instances"] if each["name"] not in back]
    nodes = back if switch["state"] == "fired" else left
    return {"nodes": nodes, **{field: switch[field] for field in ("state", "reason", "at")}}


def wait_s(switch: dict[str, Any], moment: Moment) -> float:
    """Say how long an armed switch still waits.

    A reboot ends the boot clock that it was armed by; then the wall clock has to do.
    """
    if switch["boot"] == moment.boot:
        return float(switch["due_s"] - moment.now_s)
    return float(switch["due_wall_s"] - time.time())


def write(state: Path, switch: dict[str, Any]) -> None:
    """Change the file, whole or not at all."""
    files.write(state / _NAME, json.dumps(switch, sort_keys=True))
