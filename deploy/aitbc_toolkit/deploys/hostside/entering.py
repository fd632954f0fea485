"""What does a host do first for a run? In one round trip, because every run pays for it.

Do not add what happens after that: it is a step of its own. Standard library only.
"""

from typing import Any

from aitbc_toolkit.deploys.hostside import checking, leasing


def enter(params: dict[str, Any]) -> dict[str, Any]:
    """Take the lease, then look around; what is seen is seen under it."""
    return {**leasing.acquire(params), **checking.look(params)}
