"""What has each node of this host used since its process began? Reads only; proc(5).

The difference of two answers is what happened between them, where `began` is the same in both: a
process that was started anew counts from zero. Standard library only.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import services

_USER_FIELD, _SYSTEM_FIELD, _START_FIELD = 11, 12, 19
_BLOCK_BYTES = 512


def meter(params: dict[str, Any]) -> dict[str, Any]:
    """Tell of each node what its process used; nothing of one that does not run."""
    manager = services.manager(params)
    return {
        "instances": {
            each["name"]: used(int(manager.state(each)["pid"]), Path(each["data"]))
            for each in params["instances"]
        }
    }


def used(pid: int, data: Path) -> dict[str, Any]:
    """Read one process and its data folder; an empty answer where it has ended.

    Units: `began` in clock ticks since the boot, memory and disk in bytes.
    """
    with suppress(OSError):
        return {
            **_processor(pid),
            "memory_bytes": _kilobytes(pid, "VmRSS:"),
            "memory_max_bytes": _kilobytes(pid, "VmHWM:"),
            "disk_bytes": _size(data),
            "handles": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        }
    return {}


def _processor(pid: int) -> dict[str, Any]:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    # The second field is the program's name, which may hold spaces and brackets.
    fields = text.rpartition(")")[2].split()
    ticks = int(fields[_USER_FIELD]) + int(fields[_SYSTEM_FIELD])
    return {"cpu_s": ticks / os.sysconf("SC_CLK_TCK"), "began": int(fields[_START_FIELD])}


def _kilobytes(pid: int, name: str) -> int:
    for line in (
        Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").split("\n")
    ):
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/{pid}/status does not tell {name}")


def _size(folder: Path) -> int:
    """Add up what files take of the disk; one that goes away meanwhile takes nothing."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += _BLOCK_BYTES * path.lstat().st_blocks
    return total
