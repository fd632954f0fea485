"""What does a host do first for a run? In one round trip, because every run pays for it.

Do not add what happens after that: it is a step of its own. Standard library only.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aitbc_toolkit.deploys.hostside import checking, leasing, leaving
from aitbc_toolkit.deploys.hostside.trouble import Trouble


def enter(params: dict[str, Any]) -> dict[str, Any]:
    """Take the lease, then look around; what is seen is seen under it.

    A run that says on which errand it comes has its lease given back where nothing is left to do:
    `released` tells that. From then on it may change nothing here, unless it asks anew.
    """
    told = {**leasing.acquire(params), **checking.look(params)}
    errand = params["lease"]["errand"]
    if errand and _is_done(told, errand["wanted"]):
        words = {**params["lease"], **errand["last"], "token": told["token"]}
        with suppress(Trouble):  # it is held on then, and given back as it would be otherwise
            told |= leaving.leave({**params, "lease": words})
    return told


def _is_done(told: Mapping[str, Any], wanted: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether all nodes here run what they should, and nothing else is to be seen to."""
    if told["switch"] or any(each["state"] == "fail" for each in told["checks"]):
        return False
    nodes = told["instances"]
    return all(_runs(nodes[name], place) for name, place in wanted.items() if name in nodes)


def _runs(node: Mapping[str, Any], place: Sequence[str]) -> bool:
    """Tell whether a node's links and its process are where they should be."""
    service = node["service"]
    linked = [node["commit"], node["config"]]
    # An older build does not tell on which configuration it was started.
    running = [node["running_commit"], node["running_config"] or node["config"]]
    managed = service["active"] and not service["orphan"]
    return bool(managed and linked == running == list(place))
