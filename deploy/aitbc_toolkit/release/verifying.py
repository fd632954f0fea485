"""Does the whole mesh work after the last wave? Whatever suite proves it stands behind one name.

Only asks; what follows from a problem is decided by the caller.
"""

from collections.abc import Callable

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import live

Prove = Callable[[Environment], tuple[str, str]]
"""Run a suite on a live mesh; return what it did, and what is wrong, empty when nothing."""


def smoke(environment: Environment) -> tuple[str, str]:
    """Run the quick smoke suite on the live mesh; return what it did, and what is wrong."""
    return live.smoke(environment, quick=True)
