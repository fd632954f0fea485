"""What is on this host now? Reads only; the plan writes nothing. Standard library only."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import leasing, services

_PYTHON_OLDEST = (3, 11)


def observe(params: dict[str, Any]) -> dict[str, Any]:
    """Tell what runs, what is staged, and what the next steps will need."""
    layout = params["layout"]
    manager = services.manager(params)
    base = Path(layout["base"])
    return {
        "findings": _findings(params),
        "wall_ms": time.time_ns() // 1_000_000,
        "hostname": socket.gethostname(),
        "releases": {
            each.parent.name: sorted(config.name for config in each.parent.glob("etc/*"))
            for each in base.glob("releases/*/manifest.json")
        },
        "instances": {
            each["name"]: _instance(each, manager=manager) for each in params["instances"]
        },
        "lease": leasing.seen(layout),
        "records": records(Path(layout["state"]) / "journal.jsonl"),
    }


def records(journal: Path) -> list[dict[str, Any]]:
    """Read the deploy journal; a line that a kill has torn is passed over."""
    if not journal.is_file():
        return []
    found = []
    for line in journal.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


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
        "taken_ports": [] if state["active"] else _taken(instance),
    }


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def running_commit(pid: int) -> str:
    """Read from a live process which release it was started from, whatever the links say now."""
    if not pid:
        return ""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    for variable in variables:
        name, _, value = variable.partition(b"=")
        if name == b"PYTHONPATH":
            return Path(os.fsdecode(value)).parent.name
    return ""


def _taken(instance: dict[str, Any]) -> list[str]:
    """List the ports of an instance that is down and that somebody else listens on."""
    return [
        f"{address}:{port} ({what})"
        for what, (address, port) in instance["listen"].items()
        if _is_taken(address, port)
    ]


def _is_taken(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False


def _findings(params: dict[str, Any]) -> list[dict[str, str]]:
    """List everything that would make a deploy to this host fail."""
    found = []
    if sys.version_info < _PYTHON_OLDEST:
        version = ".".join(map(str, sys.version_info[:2]))
        found.append(_finding(f"python is {version}, 3.11 is needed", "apt-get install python3"))
    found += [
        _finding(f"{program} is missing", f"install {program} on this host")
        for program in ("git", params["uv"])
        if shutil.which(program) is None
    ]
    if params["manager"]["kind"] == "supervisord" and not _ends_with_parent():
        what = "setpriv --pdeathsig is missing: nodes would outlive a killed supervisor"
        found.append(_finding(what, "install util-linux on this host"))
    if (
        params["run_as"]
        and subprocess.run(  # noqa: S603 - fixed words
            ["id", params["run_as"]],  # noqa: S607 - a program of every host
            check=False,
            capture_output=True,
        ).returncode
    ):
        user = params["run_as"]
        found.append(_finding(f"there is no user {user}", f"useradd --system --user-group {user}"))
    free_mib = shutil.disk_usage(_existing(Path(params["layout"]["base"]))).free // 2**20
    if free_mib < params["disk_free_mib_min"]:
        least = params["disk_free_mib_min"]
        found.append(_finding(f"{free_mib} MiB of disk are free, {least} are needed", "df -h"))
    return found


def _ends_with_parent() -> bool:
    argv = ["setpriv", "--pdeathsig", "TERM", "true"]
    try:
        return subprocess.run(argv, check=False, capture_output=True).returncode == 0  # noqa: S603 - fixed words
    except FileNotFoundError:
        return False


def _finding(what: str, hint: str) -> dict[str, str]:
    return {"what": what, "hint": hint}


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
