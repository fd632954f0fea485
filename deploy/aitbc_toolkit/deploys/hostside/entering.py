"""What does a host do first and last for a run? One round trip each, as every run pays for both.

Do not add what happens in between: that is a step of its own. Standard library only.
"""

from typing import Any

from aitbc_toolkit.deploys.hostside import checking, leasing, witnessing
from aitbc_toolkit.deploys.hostside.trouble import Trouble


def enter(params: dict[str, Any]) -> dict[str, Any]:
    """Take the lease, then look around; what is seen is seen under it."""
    return {**leasing.acquire(params), **checking.look(params)}


def leave(params: dict[str, Any]) -> dict[str, Any]:
    """Keep what is to be remembered of the run's audit log, then give the lease back anyway."""
    forgot = ""
    if params["lease"]["statement"]:
        try:
            witnessing.witness(params)
        except Trouble as failure:
            forgot = failure.message
    return {**leasing.release(params), "forgot": forgot}
