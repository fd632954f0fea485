"""How does a node get its next keys, and who signs that they count? All of it on this host.

The running node makes a key that votes, for it alone holds that folder's sign states; the one by
which others know the node is made beside it. The operator's key signs what the ledger is told. Only
public parts leave. Standard library only.
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
    return _ask(params, "sign-rotation", words="rotation")


def node_key(params: dict[str, Any]) -> dict[str, Any]:
    """Make the next key by which others know the node, put it in place, or sign for another's."""
    return _ask(params, "node-key", what="what", words="words")


def _ask(params: dict[str, Any], command: str, *, words: str, what: str = "") -> dict[str, Any]:
    """Let the build that runs do it, as the user whose keys they are; by names of parameters."""
    with leasing.guarded(params):
        argv = [command, params[what]] if what else [command]
        (instance,) = params["instances"]
        release = Path(instance["current"]).resolve()
        program: list[str | Path] = [release / "venv/bin/python", "-P", "-m", "aitbc_node"]
        said = files.call(
            [*program, *argv, "--key-dir", instance["keys"]],
            env={"PYTHONPATH": str(release / "node")},
            user=params["run_as"],
            stdin=json.dumps(params[words]),
        )
        told: dict[str, Any] = json.loads(said)
        return told
