"""How do a lost node's keys come back to its host, and from which height on may they sign?

Keys are put where none are, never over others. What they have signed is lost with the old host, so
the node itself begins a sign state that stands above all of that. Standard library only.
"""

import json
import re
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files, leasing, staging
from aitbc_toolkit.deploys.hostside.trouble import Trouble

_NAME = re.compile(r"((node|consensus)(\.[0-9]{1,4})?|node\.next|operator)\.key")


def unseal(params: dict[str, Any]) -> dict[str, Any]:
    """Write the keys of the named nodes; return which files were missing."""
    with leasing.guarded(params):
        put = {each["name"]: _put(params, each) for each in params["instances"]}
    return {"put": put}


def begin_signing(params: dict[str, Any]) -> dict[str, Any]:
    """Give each named validator that lost its sign state one that begins at a height."""
    release = Path(params["layout"]["base"]) / "releases" / params["commit"]
    with leasing.guarded(params):
        validators = [each for each in params["instances"] if each["role"] == "validator"]
        return {"signing": {each["name"]: _begin(params, each, release) for each in validators}}


def _put(params: dict[str, Any], instance: dict[str, Any]) -> list[str]:
    keys: dict[str, str] = params["keys"][instance["name"]]
    folder = Path(instance["keys"])
    strangers = sorted(name for name in keys if not _NAME.fullmatch(name))
    if strangers:
        raise Trouble(f"the backup of {instance['name']} holds {strangers[0]}, which is no key")
    others = [name for name, text in keys.items() if _differs(folder / name, text)]
    if others:
        raise Trouble(
            f"{folder / others[0]} is there and is another key; none is ever overwritten",
            hint="move it away if it was made by mistake, then try again",
        )
    staging.make_folders(params, instance)
    missing = [name for name in keys if not (folder / name).exists()]
    for name in missing:
        files.write(folder / name, keys[name], mode=0o600, owner=params["run_as"])
    return missing


def _differs(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") != text


def _begin(params: dict[str, Any], instance: dict[str, Any], release: Path) -> dict[str, Any]:
    argv = [str(release / "venv/bin/python"), "-P", "-m", "aitbc_node", "begin-signing", "--json"]
    argv += ["--key-dir", instance["keys"], "--not-before-height", str(params["not_before"])]
    said = files.call(argv, env={"PYTHONPATH": str(release / "node")}, user=params["run_as"])
    told: dict[str, Any] = json.loads(said)
    return told
