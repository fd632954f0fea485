"""How does a host keep the newest packets of its nodes for a while, and hand them out?

A program of its own listens, in a unit that the service manager ends; with the unit go its files,
whoever is there then. Whether this host can do it is tried before. Standard library only.
"""

import base64
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files
from aitbc_toolkit.deploys.hostside.trouble import Trouble


def begin(params: dict[str, Any]) -> dict[str, Any]:
    """Start to listen. Raises: Trouble (capability) with the reason why this host cannot."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError as refused:
        what = f"no packet socket: {refused.strerror}"
        raise Trouble(what, kind="capability") from refused
    unit, folder = _unit(params), _folder(params)
    _end(unit)  # of a run that was killed
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    lease_s = params["lease_s"]
    argv = ["systemd-run", "--quiet", "--collect", f"--unit={unit}"]
    # Should the program forget its end, systemd does not.
    argv += [f"--property=RuntimeMaxSec={lease_s + 2:g}"]
    argv += [f"--property=ExecStopPost=/bin/rm -rf {folder}"]
    words = [f"{lease_s:g}", str(folder), f"{params['bytes']}", *map(str, params["ports"])]
    try:
        files.call([*argv, "python3", "-I", "-S", "-c", params["text"], *words])
    except Trouble:
        shutil.rmtree(folder, ignore_errors=True)  # there is no unit that would
        raise
    return {}


def end(params: dict[str, Any]) -> dict[str, Any]:
    """Hand out what was kept, oldest file first, and forget it."""
    found = []
    if params["wanted"]:
        for path in sorted(_folder(params).glob("*.pcap")):
            try:
                found.append(base64.b64encode(path.read_bytes()).decode())
            except FileNotFoundError:
                continue  # given up for a newer one
    _end(_unit(params))
    return {"files": found}


def _end(unit: str) -> None:
    subprocess.run(["systemctl", "stop", f"{unit}.service"], check=False, capture_output=True)  # noqa: S603, S607 - fixed words


def _unit(params: dict[str, Any]) -> str:
    return f"{params['mesh']}-capture"


def _folder(params: dict[str, Any]) -> Path:
    return Path("/run") / _unit(params)
