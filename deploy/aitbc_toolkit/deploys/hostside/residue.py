"""What has a fault left behind on this host? What it shows now, beside what it showed before.

The picture is taken before the first fault and kept until a host without any shows the same again.
It lies where a reboot clears it, because a reboot heals. Standard library only.
"""

import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files, services
from aitbc_toolkit.deploys.hostside.moments import Moment

SHOWN = ("id", "kind", "about", "lease_s", "nodes", "targets")
"""What is kept of a fault while it goes on, for whoever asks."""

_PICTURE = "before.json"
_CLOCK_S = 1.0
_DISK_MIB = 64
_DISK_SHARE = 0.05
_TABLE = re.compile(r"^table ", re.MULTILINE)
_UNSET = "unlimited"

Picture = dict[str, Any]


def active(folder: Path) -> list[dict[str, Any]]:
    """List the faults whose end has not come, or did not do what it should."""
    found, boot = [], Moment.read().boot
    for path in sorted(folder.glob("*.fault")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue  # it has ended just now
        if record["boot"] == boot:
            found.append(record)
    return found


def shown(record: dict[str, Any]) -> dict[str, Any]:
    """Say of a fault what an operator wants to know."""
    left_s = round(record["ends_s"] - Moment.read().now_s, 1)
    return {**{key: record[key] for key in SHOWN}, "left_s": left_s}


def remember(folder: Path, params: dict[str, Any]) -> None:
    """Keep the picture of a host without faults; one that is there already stays."""
    if not (folder / _PICTURE).exists():
        files.write(folder / _PICTURE, json.dumps(_picture(params)))


def forget(folder: Path) -> None:
    """Let the next fault take a new picture."""
    (folder / _PICTURE).unlink(missing_ok=True)


def left(folder: Path, params: dict[str, Any]) -> list[str]:
    """Name what differs from the picture; nothing when there is none."""
    path = folder / _PICTURE
    if not path.exists():
        return []
    before: Picture = json.loads(path.read_text(encoding="utf-8"))
    if before["boot"] != Moment.read().boot:
        return []
    return list(differences(before, _picture(params)))


def differences(before: Picture, after: Picture) -> Iterator[str]:
    """Compare two pictures; what got better by itself is no residue."""
    for name, was in before["texts"].items():
        now = after["texts"].get(name, "")
        if now != was:
            yield f"{name}: {_first_difference(was, now)}"
    for name, was in before["lists"].items():
        more = Counter(after["lists"].get(name, [])) - Counter(was)
        yield from (f"{name}: {each}" for each in more.elements())
    for name, was in before["nodes"].items():
        now = after["nodes"].get(name, {})
        for key, value in was.items():
            if now.get(key) != value and not (key == "active" and now.get(key)):
                yield f"{name} {key}: {now.get(key)}, was {value}"
    offset_s = after["clock_s"] - before["clock_s"]
    if abs(offset_s) > _CLOCK_S:
        yield f"clock: {offset_s:+.1f} s"
    for path, (free, size) in after["disks"].items():
        less = before["disks"].get(path, [free])[0] - free
        if less > max(_DISK_MIB, _DISK_SHARE * size):
            yield f"disk of {path}: {less:.0f} MiB less are free"


def _picture(params: dict[str, Any]) -> Picture:
    is_ours = params["manager"]["kind"] == "systemd"
    manager = services.manager(params)
    own, table = params["mesh"], params["table"]
    rules = _ruleset() if is_ours else ""
    return {
        "boot": Moment.read().boot,
        "texts": {
            "nftables": _rules(rules, table),
            "queues": _said("tc", "qdisc", "show") if is_ours else "",
            "watchdogs": _said("systemctl", "service-watchdogs") if is_ours else "",
        },
        "lists": {
            "failed unit": _units("--state=failed", "--all") if is_ours else [],
            "unit of a fault": _units("--all", f"{own}-chaos-*") if is_ours else [],
            "table of a fault": _tables(rules, table),
            "stopped process": sorted(_stopped(_processes(params, manager))),
        },
        "nodes": {each["name"]: _node(each, manager, params) for each in params["instances"]},
        # The wall clock by the boot's own: an offset that only a jump or a slew changes.
        "clock_s": time.time() - Moment.read().now_s,
        "disks": {each["data"]: _free_mib(Path(each["data"])) for each in params["instances"]},
    }


def _ruleset() -> str:
    """Give all rules of the host, without counters or time-outs."""
    return _said("nft", "--stateless", "list", "ruleset")


def _rules(ruleset: str, table: str) -> str:
    """Leave out what faults put beside the host's own rules."""
    bounds = [*(found.start() for found in _TABLE.finditer(ruleset)), len(ruleset)]
    tables = [ruleset[at:to] for at, to in pairwise(bounds)]
    return "".join(each for each in tables if not each.startswith(_own(table)))


def _tables(ruleset: str, table: str) -> list[str]:
    """Name the tables of faults, which a host without any has not."""
    found = [line for line in ruleset.splitlines() if line.startswith(_own(table))]
    return [line.removeprefix("table ").removesuffix(" {") for line in found]


def _own(table: str) -> tuple[str, ...]:
    return tuple(f"table {family} {table} {{" for family in ("inet", "ip", "ip6"))


def _node(
    instance: dict[str, Any], manager: services.Manager, params: dict[str, Any]
) -> dict[str, Any]:
    """Tell what a fault may change of a node's service; a restart alone is no residue."""
    state = manager.state(instance)
    found = {"active": state["active"], "drop-ins": manager.drop_ins(instance)}
    if params["manager"]["kind"] == "systemd":
        found["freezer"] = _said(
            "systemctl", "show", instance["unit"], "-p", "FreezerState", "--value"
        ).strip()
    if state["pid"]:
        found["address space"] = address_space(state["pid"])
    return found


def address_space(pid: int) -> str:
    """Read how much address space a process may use; as one without a limit when it is gone."""
    try:
        text = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    except OSError:
        return _UNSET
    line = next((each for each in text.splitlines() if each.startswith("Max address space")), "")
    return line.split()[3] if line else _UNSET


def _processes(params: dict[str, Any], manager: services.Manager) -> list[Path]:
    """List the processes that are a fault's: all of a mesh's own host, elsewhere only its nodes."""
    if params["manager"]["kind"] == "systemd":
        return list(Path("/proc").glob("[0-9]*"))
    pids = [manager.state(each)["pid"] for each in params["instances"]]
    return [Path("/proc", str(pid)) for pid in pids if pid]


def _stopped(processes: Iterable[Path]) -> Iterator[str]:
    """Name the processes that a signal has stopped; by name, because a number comes again."""
    for process in processes:
        try:
            text = (process / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        name, _, rest = text.rpartition(")")
        if rest.split()[0] in "Tt":
            yield name.partition("(")[2]


def _free_mib(path: Path) -> tuple[float, float]:
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize / 2**20, found.f_blocks * found.f_frsize / 2**20


def _units(*words: str) -> list[str]:
    said = _said("systemctl", "list-units", "--plain", "--no-legend", *words)
    return [line.split()[0] for line in said.splitlines() if line.strip()]


def _said(*argv: str) -> str:
    """Let a program tell; one that is not here has nothing to tell."""
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=10)  # noqa: S603 - fixed words
    except FileNotFoundError:
        return ""
    return done.stdout


def _first_difference(was: str, now: str) -> str:
    new = [line.strip() for line in now.splitlines() if line not in was.splitlines()]
    gone = [line.strip() for line in was.splitlines() if line not in now.splitlines()]
    lines = [*(f"+ {each}" for each in new), *(f"- {each}" for each in gone)]
    return (lines or ["another order of the same lines"])[0]
