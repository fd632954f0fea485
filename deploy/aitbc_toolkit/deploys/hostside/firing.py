"""What does an armed dead-man's switch do when nobody disarms it? The one program kept on a host.

It waits for the switch's end, then takes the nodes back to the release before: never while the mesh
needs a node that votes, never over a change of data or rules that the release before may not know.
The service manager runs it, also after a reboot. Standard library only.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import (
    answering,
    arming,
    deadman,
    files,
    linking,
    services,
)
from aitbc_toolkit.deploys.hostside.moments import Moment
from aitbc_toolkit.deploys.hostside.trouble import Trouble

_POLL_S = 0.2
_RETRY_S = 0.5
# Commits in which a node that votes shows; without a block for so long there is nothing to lose.
_HEIGHTS = 3
_STALLED_S = 30.0


def run(state: Path) -> None:
    """Wait until the switch is disarmed, or due and carried out; then end."""
    os.umask(0o022)
    while deadman.read(state).get("state") == "armed":
        switch = deadman.read(state)
        left_s = deadman.wait_s(switch, Moment.read())
        if left_s > 0:
            time.sleep(min(left_s, _POLL_S))
            continue
        try:
            with files.locked(state / "lock"):
                done = _act(state)
        except Trouble as trouble:
            # Another step is at work, or the manager did not answer: no reason to give up.
            done = False
            _say(trouble.message)
        if not done:
            time.sleep(_RETRY_S)


def _act(state: Path) -> bool:
    """Take one node back, if that is right now; tell whether the switch has come to its end.

    One at a time: the next one is judged by who votes then.
    """
    switch = deadman.read(state)
    if switch.get("state") != "armed":
        return True
    rules = app_version_of(switch["nodes"])
    now: dict[str, arming.Versions] = {
        each["name"]: {"data_version": arming.data_version_of(each), "app_version": rules}
        for each in switch["instances"]
    }
    why = _why_never(switch, now)
    if why:
        deadman.settle(state, switch, "withheld", why)
        _say(f"withheld: {why}")
        return True
    silent = [name for name, each in now.items() if None in each.values()]
    if silent:
        _say(f"waits: nobody tells which data or rules {' '.join(silent)} would live with")
        return False
    left = [each for each in switch["instances"] if each["name"] not in switch["back"]]
    spared = next((each for each in left if not is_needed(each)), None)
    if spared is None:
        _say(f"waits: the mesh needs {' '.join(each['name'] for each in left)}")
        return False
    manager = services.manager(switch)
    linking.point(spared, base=Path(switch["base"]), manager=manager)
    linking.anew(spared, manager.restart)
    _say(f"fired: {spared['name']} is back at {spared['commit']}")
    return bool(deadman.note_back(state, switch, spared["name"])["state"] == "fired")


def app_version_of(nodes: Sequence[Sequence[Any]]) -> int | None:
    """Tell by which rules the chain goes on: by the newest that any node of the mesh tells.

    A node that is down or behind does not know what is in force by now.
    """
    from concurrent.futures import (  # noqa: PLC0415 - each wave starts this program, few are asked
        ThreadPoolExecutor,
    )

    asked = [{"listen": {"rpc": each}} for each in nodes]
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        told = list(pool.map(lambda each: answering.get(each, "/status"), asked))
    # Releases from before there were other rules do not tell which they live by.
    return max((int(each.get("app_version", 0)) for each in told if each), default=None)


def _why_never(switch: dict[str, Any], now: dict[str, arming.Versions]) -> str:
    """Say why the release before might not know what a node lives with; nothing if it does.

    What was not known when the switch was armed cannot be compared, so nothing is taken back.
    """
    before = {each["name"]: each["versions"] for each in switch["instances"]}
    unknown = [name for name, each in before.items() if None in each.values()]
    if unknown:
        return f"{' '.join(unknown)}: nobody told its data or rules when it was armed"
    newer = [name for name in before if _is_newer(before[name], now[name])]
    return f"{' '.join(newer)}: data or rules have changed since" if newer else ""


def _is_newer(before: arming.Versions, now: arming.Versions) -> bool:
    return any((now[name] or 0) > (before[name] or 0) for name in before)


def is_needed(instance: dict[str, Any]) -> bool:
    """Tell whether the mesh would stop without this node: it votes, and the rest is too little.

    Judged by the commits in the newest blocks of the node itself. A node that says nothing, or that
    has not voted in any of them, is not missed.
    """
    status = answering.get(instance, "/status")
    page = answering.get(instance, f"/blocks?count={_HEIGHTS}")
    if not status or not page or not page["blocks"] or status["validator"] is None:
        return False
    commits = [block["last_commit"] for block in page["blocks"]]
    votes = any(status["validator"] in commit["signers"] for commit in commits)
    if not votes or status["block_age_ms"] > _STALLED_S * 1000:
        return False
    # Who votes late is in the next commit, so the newest may show too few; then this waits.
    newest = commits[-1]
    own = status["power"] if status["validator"] in newest["signers"] else 0
    return bool(3 * (newest["power"] - own) <= 2 * status["total_power"])


def _say(text: str) -> None:
    sys.stdout.write(f"dead-man's switch {text}\n")
    sys.stdout.flush()
