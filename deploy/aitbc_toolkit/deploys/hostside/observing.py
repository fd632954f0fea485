"""What is on this host now? Reads only; the plan writes nothing. Standard library only."""

import errno
import os
import socket
import time
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import deadman, journaling, leasing, services


def observe(params: dict[str, Any]) -> dict[str, Any]:
    """Tell what runs, what is staged, and what the next steps will need."""
    layout = params["layout"]
    manager = services.manager(params)
    base = Path(layout["base"])
    return {
        "wall_ms": time.time_ns() // 1_000_000,
        "hostname": socket.gethostname(),
        "releases": {
            each.parent.name: sorted(config.name for config in each.parent.glob("etc/*"))
            for each in base.glob("releases/[!.]*/manifest.json")
        },
        "instances": {
            each["name"]: _instance(each, manager=manager) for each in params["instances"]
        },
        "lease": leasing.seen(layout),
        "switch": deadman.seen(Path(layout["state"])),
        "acted": deadman.ended(Path(layout["state"])),
        "records": journaling.records(Path(layout["state"])),
        "journal": journaling.findings(Path(layout["state"])),
    }


def configured(params: dict[str, Any]) -> dict[str, Any]:
    """Read the rendered files of each named node as they are now."""
    return {"files": {each["name"]: _files(Path(each["config"])) for each in params["instances"]}}


def _files(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        return {}
    return {each.name: each.read_text(encoding="utf-8") for each in sorted(folder.iterdir())}


def _instance(instance: dict[str, Any], *, manager: services.Manager) -> dict[str, Any]:
    current = Path(instance["current"])
    config = Path(instance["config"])
    state = manager.state(instance)
    return {
        "commit": current.resolve().name if current.is_symlink() else "",
        "config": config.resolve().name.rpartition("-")[2] if config.is_symlink() else "",
        "service": state,
        "has_keys": (Path(instance["keys"]) / "consensus.key").exists()
        or (Path(instance["keys"]) / "node.key").exists(),
        "has_data": _has_files(Path(instance["data"])),
        "running_commit": running_commit(state["pid"]),
        "running_config": running_config(state["pid"]),
        "taken_ports": [] if state["active"] else _taken(instance),
    }


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def running_commit(pid: int) -> str:
    """Read from a live process which release it was started from, whatever the links say now."""
    return Path(_variable(pid, "PYTHONPATH")).parent.name


def running_config(pid: int) -> str:
    """Read from a live process which configuration it was started on; empty of an older build."""
    return Path(_variable(pid, "AITBC_CONFIG")).name.rpartition("-")[2]


def _variable(pid: int, wanted: str) -> str:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if pid else []
    except OSError:
        return ""
    for variable in variables:
        name, _, value = variable.partition(b"=")
        if name == wanted.encode():
            return os.fsdecode(value)
    return ""


def _taken(instance: dict[str, Any]) -> list[str]:
    """List the ports of an instance that is down and that it could not listen on."""
    troubles = {what: _trouble(*listen) for what, listen in instance["listen"].items()}
    return [
        f"{address}:{port} ({what}){troubles[what]}"
        for what, (address, port) in instance["listen"].items()
        if troubles[what] is not None
    ]


def _trouble(address: str, port: int) -> str | None:
    """Try to take a port; what is said of it is empty where just somebody else has it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as failure:
            return "" if failure.errno == errno.EADDRINUSE else f": {failure.strerror}"
    return None
