"""What does a host do last for a run? In one round trip, because every run pays for it.

Apart from `entering`, so that no run carries there what only its beginning needs. Standard library
only.
"""

from typing import Any

from aitbc_toolkit.deploys.hostside import leasing, witnessing
from aitbc_toolkit.deploys.hostside.trouble import Trouble


def leave(params: dict[str, Any]) -> dict[str, Any]:
    """Keep what is to be remembered of the run's audit log, then give the lease back anyway."""
    forgot = ""
    if params["lease"]["statement"]:
        try:
            witnessing.witness(params)
        except Trouble as failure:
            forgot = failure.message
    return {**leasing.release(params), "forgot": forgot}
