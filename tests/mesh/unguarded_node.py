"""A node that goes on signing when it meets votes of its own key from elsewhere: its guard is off.

Tests run it as a program in the place of `aitbc_node`, to have a key sign twice for real.
"""

import sys

from aitbc_node.__main__ import main
from aitbc_node.consensus.signing import SignGuard


def _nothing_is_foreign(*_args: object, **_options: object) -> bool:
    return False


def run() -> int:
    """Run the node."""
    SignGuard._is_foreign = _nothing_is_foreign  # type: ignore[method-assign]
    return main()


if __name__ == "__main__":
    sys.exit(run())
