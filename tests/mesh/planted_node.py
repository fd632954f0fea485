"""A node with a planted bug: `planted_node.py NAME FILE run --config ...`; the file asks for it.

Tests run it as a program in the place of `aitbc_node`.
"""

import sys
from pathlib import Path

from aitbc_node.__main__ import main
from aitbc_sim import live_bugs

if __name__ == "__main__":
    name, asked = sys.argv[1:3]
    del sys.argv[1:3]
    with live_bugs.planted(name, asked_from=live_bugs.written_in(Path(asked))):
        sys.exit(main())
