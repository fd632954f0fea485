"""Does the whole mesh work after the last wave? Equal state roots, then the smoke suite.

Only asks; what follows from a problem is decided by the caller.
"""

import time
from collections.abc import Callable

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.reading import Mesh, tip
from aitbc_toolkit.suites import live

Prove = Callable[[Environment], tuple[str, str]]
"""Run a suite on a live mesh; return what it did, and what is wrong, empty when nothing."""

_ROOTS_S = 10.0
_POLL_S = 0.1


def unequal_roots(mesh: Mesh) -> tuple[int, str, str]:
    """Compare the state root of one height on every node.

    Return the height, the root, and what is wrong; the last is empty when all are equal.
    """
    deadline = time.monotonic() + _ROOTS_S
    height = max(1, tip(mesh.statuses()) - 1)
    while True:
        roots = mesh.roots(height)
        silent = [each.name for each in mesh.environment.instances if each.name not in roots]
        if not silent or time.monotonic() > deadline:
            break
        time.sleep(_POLL_S)
    if silent:
        return height, "", f"{' '.join(silent)} did not tell a state root of height {height:,}"
    different = sorted(set(roots.values()))
    if len(different) > 1:
        told = ", ".join(f"{name} {root[:12]}" for name, root in roots.items())
        return height, "", f"state roots differ at height {height:,}: {told}"
    return height, different[0], ""


def smoke(environment: Environment) -> tuple[str, str]:
    """Run the quick smoke suite on the live mesh; return what it did, and what is wrong."""
    return live.smoke(environment, quick=True)
