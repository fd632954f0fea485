"""A fault in a process of its own, to be killed.

Arguments: environment, state, inventories, kind, lease in seconds, words.
"""

import json
import sys
from pathlib import Path

from aitbc_toolkit import faults
from aitbc_toolkit.faults import Seen, aiming
from aitbc_toolkit.inventory import Inventory

name, state, inventories, kind, lease_s, *words = sys.argv[1:]
environment = Inventory.load(name, state=Path(state), folder=Path(inventories))
seen = Seen({each.name: each.power for each in environment.instances})
shape = "" if words else "apart"
if kind.startswith("net.") and not words:
    words = list(seen.powers)
fault = aiming.aim(kind, words, seen, lease_s=float(lease_s), shape=shape)


def tell(record: object) -> None:
    """Say it to the test that reads along."""
    print(json.dumps(record), flush=True)  # noqa: T201 - what the test reads


with faults.injected(environment, fault, tell=tell) as told:
    told.wait_end()
