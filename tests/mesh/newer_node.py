"""A node of a release that knows the rules of one more application version.

Tests run it as a program in the place of `aitbc_node`. Those rules are the same, so what a test
sees is only who goes on at their height.
"""

import sys

from aitbc_node.ledger import upgrades

if __name__ == "__main__":
    upgrades.APP_VERSION += 1
    # Whoever reads the number does so when it is imported, which begins here.
    from aitbc_node.__main__ import main

    sys.exit(main())
