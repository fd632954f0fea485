"""Which faults can this host be given? Each mechanism is tried, in a place where it breaks nothing.

Rules and queues are tried in a network of their own that ends with the trial. Standard library
only.
"""

import glob
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import biting, residue, services
from aitbc_toolkit.deploys.hostside.moments import Moment

_RULES = {
    "nft": "counter drop",
    "nft-random": "numgen random mod 10000 < 500 counter drop",
    "nft-reset": "meta l4proto tcp counter reject with tcp reset",
    "nft-mark": "meta priority set 1:2 counter",
    "nft-dup": "counter dup to ip daddr",
    "nft-redirect": "tcp dport 1 counter redirect to :2",
}
_HOOKS = {
    "nft-reset": "filter hook input priority -400",
    "nft-redirect": "nat hook output priority -150",
}
_HOOK = "filter hook prerouting priority -400"
_QUEUES = {
    "tc-rate": "tc qdisc add dev lo root handle 1: htb default 1 && "
    "tc class add dev lo parent 1: classid 1:2 htb rate 1mbit",
    "tc-delay": "tc qdisc add dev lo root netem delay 10ms",
}
_FAKETIME = "/usr/lib/*/faketime/libfaketime.so.1"
_TRIAL = """nft -f - <<'END'
table {family} trial {{
  set peers {{ type ipv4_addr; flags timeout; elements = {{ 192.0.2.1 timeout 9s }} }}
  chain in {{ type {hook}; ip daddr @peers {rule}; }}
}}
END"""


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Tell what can be done to this host, what is done to it now, and what is left of earlier."""
    folder = Path(params["chaos"])
    manager = services.manager(params)
    known = residue.active(folder)
    device = _device(params["peers"])
    return {
        "offers": _offers(params) if params["probe"] else {},
        "addresses": _addresses(),
        "device": device,
        "queue": _queue(device) if device else "",
        "library": next(iter(sorted(glob.glob(_FAKETIME))), ""),  # noqa: PTH207 - the folder is a pattern, too
        "processes": {each["name"]: manager.state(each)["pid"] for each in params["instances"]},
        "reached": biting.reachable(params["peers"]),
        "boot": Moment.read().boot,
        "active": [residue.shown(each) for each in known],
        "residue": [] if known else residue.left(folder, params),
    }


def _offers(params: dict[str, Any]) -> dict[str, str]:
    """Name each mechanism with why it is not there, or nothing where it is."""
    is_ours = params["manager"]["kind"] == "systemd"
    found = {"signals": "", "systemd": "" if is_ours else "its nodes run below supervisord"}
    if not is_ours:
        missing = "this machine is not the mesh's alone, and its nodes share one address"
        return found | dict.fromkeys([*_RULES, *_QUEUES, "faketime", "freezer", "prlimit"], missing)
    for name, rule in _RULES.items():
        family = "ip" if name == "nft-dup" else "inet"
        text = _TRIAL.format(family=family, hook=_HOOKS.get(name, _HOOK), rule=rule)
        found[name] = _tried(text)
    for name, text in _QUEUES.items():
        found[name] = _tried(text)
    found["faketime"] = "" if glob.glob(_FAKETIME) else "libfaketime is not installed there"  # noqa: PTH207 - as above
    found["prlimit"] = "" if shutil.which("prlimit") else "prlimit is not installed there"
    whole = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    found["freezer"] = (
        "" if whole else "its cgroups are of version 1, which systemd does not freeze"
    )
    return found


def _tried(text: str) -> str:
    argv = ["unshare", "--net", "sh", "-ec", text]
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=10)  # noqa: S603 - fixed words
    except FileNotFoundError:
        return "unshare is not installed there"
    said = (done.stderr.strip() or f"status {done.returncode}").splitlines()
    return said[0] if done.returncode else ""


def _addresses() -> list[str]:
    """List the addresses that others may reach this host by."""
    return [
        str(each["local"])
        for link in _asked("ip", "-json", "address", "show", "scope", "global")
        for each in link.get("addr_info", ())
        if "local" in each
    ]


def _device(peers: list[list[Any]]) -> str:
    """Name the interface on which the peers are reached; nothing when they are none, or several."""
    found = {
        str(route["dev"])
        for peer in peers
        for route in _asked("ip", "-json", "route", "get", str(peer[0]))
    }
    return found.pop() if len(found) == 1 else ""


def _queue(device: str) -> str:
    """Name the queue of an interface that somebody has set; the kernel's own one has no handle."""
    for each in _asked("tc", "-json", "qdisc", "show", "dev", device):
        if each.get("root") and each["handle"] != "0:":
            return f"{each['kind']} {each['handle']}"
    return ""


def _asked(*argv: str) -> list[dict[str, Any]]:
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=10)  # noqa: S603 - fixed words
    except FileNotFoundError:
        return []
    found: list[dict[str, Any]] = json.loads(done.stdout) if done.stdout.strip() else []
    return found
