"""What did a lab write down about its hosts when it was made? Addresses, keys and host keys.

Whether they run is the lab's own knowledge; here only its record is read.
"""

import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aitbc_toolkit.declared import Declared
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit

LAB = "lab"


def name_of(environment: str) -> str:
    """Name the lab of an environment that uses one."""
    return environment.removeprefix(f"{LAB}-")


def is_used(written: Declared) -> bool:
    """Tell whether an environment has hosts of a lab."""
    return any(entry.connector == "lab" for entry in written.hosts.values())


def hosts_of(written: Declared, name: str, *, state: Path) -> Mapping[str, Any]:
    """Find the hosts of an environment's lab, if it uses one.

    Raises: AitbcError when the lab is not there, ConfigError when it lacks a host.
    """
    if not is_used(written):
        return {}
    lab = name_of(name)
    found = _read(lab, state=state)
    missing = [
        host
        for host, entry in written.hosts.items()
        if entry.connector == "lab" and host not in found
    ]
    if missing:
        raise ConfigError(
            f"lab {lab} has no host {', '.join(missing)}; it has {', '.join(found)}",
            hint=f"aitbc lab down {lab}\naitbc up {name}   # with all hosts",
        )
    return found


def _read(lab: str, *, state: Path) -> dict[str, Any]:
    """Read the addresses and keys that a lab wrote down when it was made."""
    path = state / "labs" / lab / "lab.json"
    if not path.is_file():
        raise AitbcError(
            f"lab {lab} is not there",
            hint=f"aitbc up lab-{lab}" if lab != LAB else "aitbc up lab",
            exit_status=Exit.UNREACHABLE,
        )
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        known_hosts = str(Path(written["folder"]) / "known_hosts")
        return {
            host["name"]: {**host, "known_hosts": known_hosts}
            for host in written["hosts"]
            if ipaddress.ip_address(host["ipv4"] or host["ipv6"])
        }
    except (ValueError, KeyError, TypeError) as damaged:
        raise ConfigError(
            f"{path} is damaged: {damaged}", hint=f"aitbc lab down {lab}\naitbc lab up {lab}"
        ) from damaged
