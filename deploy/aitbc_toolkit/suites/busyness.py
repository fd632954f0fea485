"""Had a machine other work when a swarm began on it? Then the swarm is late, and nobody's fault.

Pure. Do not add what a late run means: `aitbc_load.judging`.
"""

from collections.abc import Mapping
from typing import Any


def told(circumstances: Mapping[str, Any]) -> str:
    """Say it to somebody who sees an INVALID run for the first time; empty where it was quiet."""
    machine = circumstances.get("machine", {})
    wanted, cores = (machine.get("load") or [0.0])[0], machine.get("cores") or 0
    if not cores or wanted <= cores:
        return ""
    return f"this machine was busy: {wanted:.1f} processes wanted its {cores} cores before it began"
