"""How does one node come to stand on a release: its links, its service, its process?

Used by a switch, and by whoever takes one back. The caller holds the step's lock. Standard library
only.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files, services
from aitbc_toolkit.deploys.hostside.trouble import Trouble


def config_folder(release: Path, instance: dict[str, Any]) -> Path:
    """Find the folder of one node's configuration inside a release."""
    return release / "etc" / f"{instance['name']}-{instance['config_hash']}"


def point(instance: dict[str, Any], *, base: Path, manager: services.Manager) -> None:
    """Turn a node's links to a release that is here, with its service; nothing is restarted."""
    release = base / "releases" / instance["commit"]
    config = config_folder(release, instance)
    for needed in (release / "manifest.json", config):
        if not needed.exists():
            raise Trouble(f"{needed} is not on this host", hint="deploy the commit anew")
    log = Path(instance["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    files.point(Path(instance["current"]), f"../releases/{instance['commit']}")
    files.point(Path(instance["config"]), str(config))
    manager.install(instance, (config / "service").read_text(encoding="utf-8"))


def anew(instance: dict[str, Any], begin: Callable[[dict[str, Any]], str]) -> str:
    """Start a node, also one that has given up: an operator's start is not one of its own tries.

    Return where in the log its own words begin.
    """
    (Path(instance["data"]) / "run" / "fast_exits.json").unlink(missing_ok=True)
    return begin(instance)
