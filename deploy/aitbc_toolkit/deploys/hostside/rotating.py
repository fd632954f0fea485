"""How does a node get its next consensus key, and who signs that it votes? All of it on this host.

The running node makes the key, for it alone holds the folder; the operator's key signs what the
ledger is told. Only public parts leave. Standard library only.
"""

import json
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import answering, files, leasing
from aitbc_toolkit.deploys.hostside.trouble import Trouble


def next_key(params: dict[str, Any]) -> dict[str, Any]:
    """Let the named node make the key that is to vote next."""
    with leasing.guarded(params):
        (instance,) = params["instances"]
        told = answering.next_key(instance)
        if told is None:
            name = instance["name"]
            why = f"{name} makes no key: it does not run, does not vote, or its release cannot"
            raise Trouble(why, hint=f"aitbc node status {name}")
        return told


def sign_rotation(params: dict[str, Any]) -> dict[str, Any]:
    """Sign with the operator's key that a consensus key takes the place of the present one."""
    with leasing.guarded(params):
        (instance,) = params["instances"]
        release = Path(instance["current"]).resolve()
        argv: list[str | Path] = [release / "venv/bin/python", "-P", "-m", "aitbc_node"]
        said = files.call(
            [*argv, "sign-rotation", "--key-dir", instance["keys"]],
            env={"PYTHONPATH": str(release / "node")},
            user=params["run_as"],
            stdin=json.dumps(params["rotation"]),
        )
        signed: dict[str, Any] = json.loads(said)
        return signed
