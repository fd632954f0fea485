"""Where, when and of which commit was a figure measured?

A figure without these says nothing to somebody who reads it later. Do not measure here.
"""

import os
import platform
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from aitbc_toolkit import shell

# The swarm's engine, the nodes' loop and codec, and what verifies: as installed here.
_LIBRARIES = (
    "locust",
    "gevent",
    "msgspec",
    "uvloop",
    "httptools",
    "cryptography",
    "py-ed25519-zebra-bindings",
)


def circumstances(root: Path) -> dict[str, object]:
    """Tell the commit of a checkout, whether it was edited, the machine and the date (UTC).

    `load` is the machine's load average over 1, 5 and 15 minutes: what else ran beside.
    Without a repository the commit is empty.
    """
    return {
        "commit": _git(root, "rev-parse", "HEAD"),
        "dirty": bool(_git(root, "status", "--porcelain")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "cpu": _cpu(),
            "kernel": platform.release(),
            "load": [round(load, 2) for load in os.getloadavg()],
        },
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    """Tell of which versions Python is, and what of others the figures hang on most."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 20 ms

    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _cpu() -> str:
    """Name the processor; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")


def _git(root: Path, *words: str) -> str:
    return shell.run(["git", "-C", root, *words], check=False).stdout.strip()
